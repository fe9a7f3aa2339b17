"""The value model: what is taken, what is refused and how the refusal helps."""

import copy
import datetime as dt
import decimal
import enum
import math
import pickle
import uuid
from types import MappingProxyType

import pytest

from syncline.errors import DeveloperError
from syncline.values.value import Int64, normalize, normalize_number, same


class Colour(str, enum.Enum):  # noqa: UP042 - its str() is not its value, which is the point
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (1, 1),
        (1.0, 1),
        (2.5, 2.5),
        (2**53, 2**53),
        (-(2.0**53), -(2**53)),
        (2.0**53 + 2, 2.0**53 + 2),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (MappingProxyType({"a": 1.0}), {"a": 1}),
        ({"": [None, True]}, {"": [None, True]}),
        ({"a b~": b"\x00"}, {"a b~": b"\x00"}),
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_plain_python_values_are_taken(given, kept):
    normal = normalize(given)
    assert same(normal, kept)
    assert type(normal) is type(kept)


def test_negative_zero_and_special_floats_stay_floats():
    assert math.copysign(1, normalize(-0.0)) == -1
    assert type(normalize(-0.0)) is float
    assert type(normalize_number(0.0)) is int
    assert math.isnan(normalize(math.nan))
    assert normalize(-math.inf) == -math.inf


def test_the_result_shares_no_containers_with_what_was_given():
    given = {"a": [1]}
    normal = normalize(given)
    assert normal == given
    given["a"].append(2)
    assert normal == {"a": [1]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((1,), "Invalid value: a tuple is not a value that can be stored or sent; use a list."),
        ({"a": [1, {"b": {1}}]}, "Invalid value at .a[1].b: a set is not"),
        (2**53 + 1, "the int 9007199254740993 lies outside ±2^53; use Int64 or a float"),
        ({"n": -(2**53) - 1}, "at .n: the int -9007199254740993 lies outside"),
        pytest.param(10**6000, "the int one of 19932 bits lies outside", id="10**6000"),
        ("\ud800", "lone surrogate"),
        ({"é": 1}, "the field name 'é' has characters other than printable ASCII"),
        ({"\x7f": 1}, "printable ASCII"),
        ({"$a": 1}, "the field name '$a' starts with '$', which is reserved"),
        ({"x" * 1025: 1}, "longer than 1024 characters"),
        ({1: 1}, "the field name 1 is not a string"),
        (nested(65), "nested deeper than 64 levels"),
        ([0] * 8193, "an array of 8193 elements (limit: 8192)"),
        ({str(n): n for n in range(1025)}, "an object of 1025 fields (limit: 1024)"),
        (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "use milliseconds since the epoch"),
        (decimal.Decimal(1), "use a float or a string"),
        (uuid.UUID(int=0), "use str(...)"),
        (bytearray(), "use bytes(...)"),
        (object(), "use None, bool, int, float, Int64, str, bytes, list or dict"),
    ],
)
def test_anything_else_is_refused_with_its_path_and_a_remedy(given, message):
    with pytest.raises(DeveloperError) as caught:
        normalize(given)
    assert caught.value.code == "InvalidValue"
    assert message in caught.value.message


def test_a_coroutine_is_refused_with_the_advice_to_await_it():
    async def function() -> None: ...

    coroutine = function()
    with pytest.raises(DeveloperError, match="await it first"):
        normalize({"a": coroutine})
    coroutine.close()


def test_the_limits_themselves_are_allowed():
    normalize(nested(64))
    normalize([0] * 8192)
    normalize({str(n): n for n in range(1024)})
    normalize({"x" * 1024: 1})


def test_a_list_that_contains_itself_is_refused():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(DeveloperError, match="nested deeper"):
        normalize(loop)


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (1, 1.0, True),
        (0, -0.0, False),
        (math.nan, math.nan, True),
        (True, 1, False),
        (False, 0, False),
        (Int64(1), 1, False),
        (Int64(1), Int64(1), True),
        (None, False, False),
        ("", b"", False),
        ([1], [True], False),
        ({"a": 0}, {"a": -0.0}, False),
        ({"a": 1}, {"b": 1}, False),
        ([], {}, False),
    ],
)
def test_equality_is_strict_about_types(a, b, equal):
    assert same(a, b) is equal
    assert same(b, a) is equal


def test_int64_is_bounded_immutable_and_not_a_number():
    assert Int64(2**63 - 1).value == 2**63 - 1
    for outside in (2**63, -(2**63) - 1):
        with pytest.raises(ValueError, match="Int64 holds"):
            Int64(outside)
    for wrong in (1.0, True, "1", None):
        with pytest.raises(TypeError, match="Int64 takes an int"):
            Int64(wrong)  # pyright: ignore[reportArgumentType] - that is what is tested
    number = Int64(7)
    with pytest.raises(AttributeError):
        number.value = 8
    with pytest.raises(AttributeError):
        del number.value
    assert number != 7
    assert Int64(7) == number
    assert hash(Int64(7)) == hash(number)
    assert len({Int64(7), number, 7}) == 2
    with pytest.raises(TypeError):
        _ = number < 8


def test_int64_computes():
    assert (Int64(7) + 1, 1 + Int64(7), Int64(7) - 1, 1 - Int64(7)) == tuple(
        map(Int64, (8, 8, 6, -6))
    )
    assert (Int64(7) * 2, 2 * Int64(7), Int64(7) // 2, Int64(-7) % 3, -Int64(7)) == tuple(
        map(Int64, (14, 14, 3, 2, -7))
    )
    assert (int(Int64(3)), [0, 1, 2, 3][Int64(3)], bool(Int64(0)), bool(Int64(1))) == (
        3,
        3,
        False,
        True,
    )
    with pytest.raises(TypeError):
        _ = Int64(1) + 1.5  # pyright: ignore[reportOperatorIssue] - that is what is tested


def test_int64_can_be_copied_and_pickled():
    number = Int64(Int64(-5))
    assert copy.deepcopy(number) == number == pickle.loads(pickle.dumps(number))
    assert repr(number) == "Int64(-5)"

"""The value model (convex-protocol 2.1, 2.2): what documents, arguments and results are made of.

Inside Python a Float64 that is whole and within ±2^53 is an `int`, any other number a `float`
(-0.0, NaN and the infinities stay floats); `Int64` is its own class for JavaScript's BigInt.
"""

import math
import struct
from collections.abc import Awaitable, Mapping
from functools import lru_cache, total_ordering
from typing import TypeAlias, cast, final

from syncline.errors import DeveloperError
from syncline.limits import (
    ARRAY_ELEMENTS_MAX,
    FIELD_NAME_CHARACTERS_MAX,
    OBJECT_FIELDS_MAX,
    VALUE_NESTING_MAX,
)

SAFE_INTEGER_MAX = 2**53
"""Whole floats up to here are exact, so they are Python ints (IEEE 754 binary64)."""


@final
@total_ordering
class Int64:
    """A signed 64-bit integer, JavaScript's BigInt on the wire; never equal to a plain number.

    Immutable. Arithmetic with ints and other Int64s gives an Int64; ValueError outside
    -2^63 to 2^63 - 1, TypeError for a float or bool.
    """

    __slots__ = ("value",)
    value: int

    def __init__(self, value: "int | Int64") -> None:
        if isinstance(value, bool) or not isinstance(value, int | Int64):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
            raise TypeError(f"Int64 takes an int, not {value!r}")
        number = int(value)
        if not -(2**63) <= number < 2**63:
            raise ValueError(f"Int64 holds -2^63 to 2^63 - 1, got {_short(number)}")
        object.__setattr__(self, "value", number)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("Int64 is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("Int64 is immutable")

    def __int__(self) -> int:
        return self.value

    def __index__(self) -> int:
        return self.value

    def __bool__(self) -> bool:
        return self.value != 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Int64) and other.value == self.value

    def __lt__(self, other: object) -> bool:
        return self.value < other.value if isinstance(other, Int64) else NotImplemented

    def __hash__(self) -> int:
        return hash((Int64, self.value))

    def __repr__(self) -> str:
        return f"Int64({self.value})"

    def __add__(self, other: "int | Int64") -> "Int64":
        return Int64(self.value + _operand(other))

    def __sub__(self, other: "int | Int64") -> "Int64":
        return Int64(self.value - _operand(other))

    def __rsub__(self, other: int) -> "Int64":
        return Int64(_operand(other) - self.value)

    def __mul__(self, other: "int | Int64") -> "Int64":
        return Int64(self.value * _operand(other))

    def __floordiv__(self, other: "int | Int64") -> "Int64":
        return Int64(self.value // _operand(other))

    def __mod__(self, other: "int | Int64") -> "Int64":
        return Int64(self.value % _operand(other))

    def __neg__(self) -> "Int64":
        return Int64(-self.value)

    __radd__ = __add__
    __rmul__ = __mul__

    def __reduce__(self) -> tuple[type["Int64"], tuple[int]]:
        return Int64, (self.value,)


def _operand(number: "int | Int64") -> int:
    return Int64(number).value


def _short(number: int) -> str:
    """An int for a message: Python refuses to print those of thousands of digits."""
    return str(number) if number.bit_length() <= 1024 else f"one of {number.bit_length()} bits"


Value: TypeAlias = (
    "bool | int | float | Int64 | str | bytes | list[Value] | dict[str, Value] | None"
)


def float_bytes(number: float) -> bytes:
    """The 8 IEEE 754 bytes, little-endian."""
    return struct.pack("<d", number)


def normalize_number(number: float) -> int | float:
    """A float as it appears inside functions: whole and within ±2^53 becomes an int."""
    if (
        -SAFE_INTEGER_MAX <= number <= SAFE_INTEGER_MAX
        and number == (whole := int(number))
        and (whole or math.copysign(1.0, number) > 0)
    ):
        return whole
    return number


def normalize(value: object) -> Value:
    """Check a Python object given by user code and bring it into the value model.

    The result shares no list or dict with `value`. Raises DeveloperError("InvalidValue") that names
    the path of the offending part and what to use instead (limits: convex-protocol 2.2).
    """
    try:
        return _normalize(value, 0)
    except _Refused as refused:
        path = "".join(reversed(refused.path))
        where = f" at {path}" if path else ""
        raise DeveloperError("InvalidValue", f"Invalid value{where}: {refused}.") from None


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """A refused part; its path is built while it unwinds, so that good values pay nothing."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.path: list[str] = []


def _normalize(value: object, depth: int) -> Value:
    if value is None:
        return None
    kind = type(value)
    if kind is str:
        return _normalize_text(cast("str", value))
    if kind is int:
        return _normalize_int(cast("int", value))
    if kind is dict:
        return _normalize_object(cast("dict[object, object]", value), depth)
    if kind is list:
        return _normalize_list(cast("list[object]", value), depth)
    if kind is float:
        return normalize_number(cast("float", value))
    if kind is bool or kind is bytes or kind is Int64:
        return cast("bool | bytes | Int64", value)
    return _normalize_subclass(value, depth)


def _normalize_text(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _Refused("a string with a lone surrogate, which is no Unicode text") from None
    return text


def _normalize_int(number: int) -> int:
    if -SAFE_INTEGER_MAX <= number <= SAFE_INTEGER_MAX:
        return number
    raise _Refused(f"the int {_short(number)} lies outside ±2^53; use Int64 or a float")


def _normalize_list(items: list[object], depth: int) -> Value:
    if depth >= VALUE_NESTING_MAX:
        raise _Refused(f"nested deeper than {VALUE_NESTING_MAX} levels")
    if len(items) > ARRAY_ELEMENTS_MAX:
        raise _Refused(f"an array of {len(items)} elements (limit: {ARRAY_ELEMENTS_MAX})")
    result: list[Value] = []
    for item in items:
        try:
            result.append(_normalize(item, depth + 1))
        except _Refused as refused:
            refused.path.append(f"[{len(result)}]")
            raise
    return result


def _normalize_object(fields: Mapping[object, object], depth: int) -> Value:
    if depth >= VALUE_NESTING_MAX:
        raise _Refused(f"nested deeper than {VALUE_NESTING_MAX} levels")
    if len(fields) > OBJECT_FIELDS_MAX:
        raise _Refused(f"an object of {len(fields)} fields (limit: {OBJECT_FIELDS_MAX})")
    result: dict[str, Value] = {}
    for key, item in fields.items():
        name = _field_name(key)
        try:
            result[name] = _normalize(item, depth + 1)
        except _Refused as refused:
            refused.path.append(f".{name}")
            raise
    return result


def _field_name(key: object) -> str:
    if not isinstance(key, str):
        raise _Refused(f"the field name {key!r} is not a string")
    name = key if type(key) is str else str.__str__(key)
    problem = field_name_problem(name)
    if problem is not None:
        raise _Refused(f"the field name {name!r} {problem}")
    return name


def _normalize_subclass(value: object, depth: int) -> Value:
    """Subclasses of the plain types (enums among them) count as what they hold."""
    if isinstance(value, str):
        return _normalize_text(str.__str__(value))
    if isinstance(value, int):
        return _normalize_int(int.__int__(value))
    if isinstance(value, float):
        return normalize_number(float.__float__(value))
    if isinstance(value, bytes):
        return bytes(memoryview(value))
    if isinstance(value, list):
        return _normalize_list(cast("list[object]", value), depth)
    if isinstance(value, Mapping):
        return _normalize_object(cast("Mapping[object, object]", value), depth)
    raise _Refused(
        f"a {type(value).__name__} is not a value that can be stored or sent; {_hint(value)}"
    )


def _hint(value: object) -> str:
    if isinstance(value, tuple | set | frozenset):
        return "use a list"
    if isinstance(value, bytearray | memoryview):
        return "use bytes(...)"
    if isinstance(value, Awaitable):
        return "await it first"
    hints = {
        "datetime": "use milliseconds since the epoch (a float) or .isoformat()",
        "date": "use .isoformat()",
        "timedelta": "use .total_seconds()",
        "Decimal": "use a float or a string",
        "UUID": "use str(...)",
    }
    default = "use None, bool, int, float, Int64, str, bytes, list or dict"
    return hints.get(type(value).__name__, default)


@lru_cache(maxsize=4096)
def field_name_problem(name: str) -> str | None:
    """What is wrong with an object's field name (2.2), or None. Remembered: names come again."""
    if len(name) > FIELD_NAME_CHARACTERS_MAX:
        return f"is longer than {FIELD_NAME_CHARACTERS_MAX} characters"
    if name.startswith("$"):
        return "starts with '$', which is reserved"
    if name.isascii() and name.isprintable():
        return None
    return "has characters other than printable ASCII"


def same(a: Value, b: Value) -> bool:
    """Type-strict equality, in step with index keys (2.3).

    0.0 is not -0.0, NaN equals NaN, 1 equals 1.0; True and Int64(1) equal neither.
    """
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return float_bytes(a) == float_bytes(b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(item, b[name]) for name, item in a.items())
    return type(a) is type(b) and a == b

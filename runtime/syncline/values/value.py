"""The value model (convex-protocol 2.1, 2.2): what documents, arguments and results are made of.

Inside Python a Float64 that is whole and within ±2^53 is an `int`, any other number a `float`
(-0.0, NaN and the infinities stay floats); `Int64` is its own class for JavaScript's BigInt.
"""

import math
import struct
from collections.abc import Mapping
from functools import total_ordering
from typing import TypeAlias

from syncline.errors import DeveloperError
from syncline.limits import (
    ARRAY_ELEMENTS_MAX,
    FIELD_NAME_CHARACTERS_MAX,
    OBJECT_FIELDS_MAX,
    VALUE_NESTING_MAX,
)

SAFE_INTEGER_MAX = 2**53
"""Whole floats up to here are exact, so they are Python ints (IEEE 754 binary64)."""


@total_ordering
class Int64:
    """A signed 64-bit integer, JavaScript's BigInt on the wire; never equal to a plain number."""

    __slots__ = ("value",)
    value: int

    def __init__(self, value: "int | Int64") -> None:
        number = int(value)
        if not -(2**63) <= number < 2**63:
            raise ValueError(f"Int64 holds -2^63 to 2^63 - 1, got {number}")
        object.__setattr__(self, "value", number)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("Int64 is immutable")

    def __int__(self) -> int:
        return self.value

    def __index__(self) -> int:
        return self.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Int64) and other.value == self.value

    def __lt__(self, other: "Int64") -> bool:
        return self.value < other.value

    def __hash__(self) -> int:
        return hash((Int64, self.value))

    def __repr__(self) -> str:
        return f"Int64({self.value})"

    def __add__(self, other: "int | Int64") -> "Int64":
        return Int64(self.value + int(other))

    def __sub__(self, other: "int | Int64") -> "Int64":
        return Int64(self.value - int(other))

    def __mul__(self, other: "int | Int64") -> "Int64":
        return Int64(self.value * int(other))

    def __neg__(self) -> "Int64":
        return Int64(-self.value)

    def __reduce__(self) -> tuple[type["Int64"], tuple[int]]:
        return Int64, (self.value,)


Value: TypeAlias = (
    "None | bool | int | float | Int64 | str | bytes | list[Value] | dict[str, Value]"
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

    Raises DeveloperError("InvalidValue") naming the path and what to use instead.
    """
    return _normalize(value, "", 0)


def _normalize(value: object, path: str, depth: int) -> Value:
    kind = type(value)
    if kind is str:
        assert isinstance(value, str)
        if not value.isascii():
            _require_no_surrogate(value, path)
        return value
    if value is None or kind is bool or kind is bytes or kind is Int64:
        return value  # type: ignore[return-value] # narrowed by exact type above
    if kind is int:
        assert isinstance(value, int)
        if -SAFE_INTEGER_MAX <= value <= SAFE_INTEGER_MAX:
            return value
        raise _invalid(path, f"the int {value} lies outside ±2^53; use Int64 or a float")
    if kind is float:
        assert isinstance(value, float)
        return normalize_number(value)
    if depth >= VALUE_NESTING_MAX:
        raise _invalid(path, f"nested deeper than {VALUE_NESTING_MAX} levels")
    if kind is list:
        assert isinstance(value, list)
        return _normalize_list(value, path, depth)
    if isinstance(value, Mapping):
        return _normalize_object(value, path, depth)
    return _normalize_subclass(value, path, depth)


def _normalize_list(value: list[object], path: str, depth: int) -> Value:
    if len(value) > ARRAY_ELEMENTS_MAX:
        raise _invalid(path, f"an array of {len(value)} elements (limit: {ARRAY_ELEMENTS_MAX})")
    return [_normalize(item, f"{path}[{at}]", depth + 1) for at, item in enumerate(value)]


def _normalize_object(value: Mapping[object, object], path: str, depth: int) -> Value:
    if len(value) > OBJECT_FIELDS_MAX:
        raise _invalid(path, f"an object of {len(value)} fields (limit: {OBJECT_FIELDS_MAX})")
    result: dict[str, Value] = {}
    for name, item in value.items():
        if not isinstance(name, str):
            raise _invalid(path, f"the field name {name!r} is not a string")
        problem = field_name_problem(name)
        if problem:
            raise _invalid(path, f"the field name {name!r} {problem}")
        result[name] = _normalize(item, f"{path}.{name}", depth + 1)
    return result


def _normalize_subclass(value: object, path: str, depth: int) -> Value:
    """Subclasses of the plain types (enums, named tuples' kin) count as their base type."""
    for base in (bool, int, float, str, bytes):
        if isinstance(value, base):
            return _normalize(base(value), path, depth)
    if isinstance(value, list):
        return _normalize_list(list(value), path, depth)
    hints = {
        "tuple": "use a list",
        "set": "use a list",
        "frozenset": "use a list",
        "datetime": "use milliseconds since the epoch (a float) or an ISO string",
        "Decimal": "use a float or a string",
        "UUID": "use str(...)",
        "bytearray": "use bytes",
        "coroutine": "await it first",
    }
    kind = type(value).__name__
    hint = hints.get(kind, "use None, bool, int, float, Int64, str, bytes, list or dict")
    raise _invalid(path, f"a {kind} is not a value that can be stored or sent; {hint}")


def field_name_problem(name: str) -> str | None:
    """What is wrong with an object's field name (2.2), or None."""
    if len(name) > FIELD_NAME_CHARACTERS_MAX:
        return f"is longer than {FIELD_NAME_CHARACTERS_MAX} characters"
    if name.startswith("$"):
        return "starts with '$', which is reserved"
    if name.isascii() and name.isprintable():
        return None
    return "has characters other than printable ASCII"


def _require_no_surrogate(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _invalid(path, "a string with a lone surrogate, which is no Unicode text") from error


def _invalid(path: str, problem: str) -> DeveloperError:
    where = f" at {path}" if path else ""
    return DeveloperError("InvalidValue", f"Invalid value{where}: {problem}.")


def same(a: Value, b: Value) -> bool:
    """Type-strict equality: 0.0 is not -0.0, NaN equals NaN, 1 equals 1.0, never Int64(1)."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return float_bytes(float(a)) == float_bytes(float(b))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(item, b[name]) for name, item in a.items())
    return type(a) is type(b) and a == b

"""VALUE ENCODING: values <-> JSON in the formats of convex-protocol 2.1.

`convex_encoded_json` is the canonical form on the wire, in the log and in the stores: sorted keys,
no white space, every ordinary number with a point or exponent, Int64, bytes and special floats as
single-key objects:

    {"$integer": base64 of 8 bytes, signed, little-endian}      Int64
    {"$float": base64 of 8 bytes, IEEE 754, little-endian}      NaN, ±Infinity, -0.0 and no other
    {"$bytes": base64}                                          bytes
"""

import binascii
import math
import struct
from collections.abc import Callable
from typing import cast

import orjson

from syncline.errors import CallerError
from syncline.limits import ARRAY_ELEMENTS_MAX, OBJECT_FIELDS_MAX, VALUE_NESTING_MAX
from syncline.values.value import (
    SAFE_INTEGER_MAX,
    Int64,
    Value,
    field_name_problem,
    float_bytes,
    normalize_number,
)

_NEGATIVE_ZERO = float_bytes(-0.0)

# Names that passed `field_name_problem`: one set operation then checks all names of an object.
_good_names: set[str] = set()
_GOOD_NAMES_MAX = 10_000


def decode(data: bytes | str) -> Value:
    """A value from convex_encoded_json.

    Raises CallerError: "InvalidJson" for no JSON at all (also nested a thousand levels deep),
    "InvalidValue" for JSON that is no value or breaks a limit of convex-protocol 2.2.
    """
    try:
        parsed = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise CallerError("InvalidJson", f"Not valid JSON: {error}") from error
    return _decode(parsed, 0)


def from_json(parsed: object) -> Value:
    """A value from parsed JSON, as `decode`; lists and dicts become part of the result."""
    return _decode(parsed, 0)


def _decode(parsed: object, depth: int) -> Value:
    kind = type(parsed)
    if kind is str or parsed is None or kind is bool:
        return cast("str | bool | None", parsed)
    if kind is float:
        return normalize_number(cast("float", parsed))
    if kind is dict:
        return _decode_object(cast("dict[str, object]", parsed), depth)
    if kind is list:
        return _decode_array(cast("list[object]", parsed), depth)
    if kind is int:
        return _decode_int(cast("int", parsed))
    raise _invalid(f"a {kind.__name__} is not JSON")


def _decode_int(number: int) -> int | float:
    if -SAFE_INTEGER_MAX <= number <= SAFE_INTEGER_MAX:
        return number
    try:
        return normalize_number(float(number))
    except OverflowError as error:
        raise _invalid("a number too large for a float64") from error


def _decode_array(items: list[object], depth: int) -> Value:
    if depth >= VALUE_NESTING_MAX:
        raise _invalid(f"nested deeper than {VALUE_NESTING_MAX} levels")
    if len(items) > ARRAY_ELEMENTS_MAX:
        raise _invalid(f"an array of {len(items)} elements (limit: {ARRAY_ELEMENTS_MAX})")
    for at, item in enumerate(items):
        if type(item) is not str:
            items[at] = _decode(item, depth + 1)
    return cast("list[Value]", items)


def _decode_object(fields: dict[str, object], depth: int) -> Value:
    if not _good_names.issuperset(fields):
        if len(fields) == 1 and (name := next(iter(fields)))[:1] == "$":
            return _decode_special(name, fields[name])
        _require_field_names(fields)
    if depth >= VALUE_NESTING_MAX:
        raise _invalid(f"nested deeper than {VALUE_NESTING_MAX} levels")
    if len(fields) > OBJECT_FIELDS_MAX:
        raise _invalid(f"an object of {len(fields)} fields (limit: {OBJECT_FIELDS_MAX})")
    for name, item in fields.items():
        if type(item) is not str:
            fields[name] = _decode(item, depth + 1)
    return cast("dict[str, Value]", fields)


def _require_field_names(fields: dict[str, object]) -> None:
    for name in fields:
        problem = field_name_problem(name)
        if problem is not None:
            raise _invalid(f"the field name {name[:200]!r} {problem}")
    if len(_good_names) + len(fields) > _GOOD_NAMES_MAX:
        _good_names.clear()
    _good_names.update(fields)


def _decode_special(name: str, item: object) -> Value:
    if name == "$integer":
        return Int64(int.from_bytes(_payload(name, item, 8), "little", signed=True))
    if name == "$bytes":
        return _payload(name, item, None)
    if name == "$float":
        payload = _payload(name, item, 8)
        number: float = struct.unpack("<d", payload)[0]
        if math.isfinite(number) and payload != _NEGATIVE_ZERO:
            raise _invalid(f"$float holds the ordinary number {number}; write it as a JSON number")
        return number
    raise _invalid(
        f"the single-key object {name[:200]!r}; known are $integer, $float and $bytes, and other "
        "field names can't start with '$'"
    )


def _payload(name: str, item: object, length: int | None) -> bytes:
    if not isinstance(item, str):
        raise _invalid(f"{name} must hold a base64 string")
    try:
        payload = binascii.a2b_base64(item, strict_mode=True)
    except ValueError as error:
        raise _invalid(f"{name} does not hold standard base64 with padding") from error
    if length is not None and len(payload) != length:
        raise _invalid(f"{name} must hold {length} bytes, got {len(payload)}")
    return payload


def _invalid(problem: str) -> CallerError:
    return CallerError("InvalidValue", f"Invalid value: {problem}.")


def encode(value: Value) -> bytes:
    """Canonical convex_encoded_json."""
    return orjson.dumps(to_json(value), option=orjson.OPT_SORT_KEYS)


def to_json(value: Value) -> object:
    """The JSON that `encode` writes, as parsed JSON in new lists and dicts."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is int:
        return float(cast("int", value))
    if kind is float:
        return _float_to_json(cast("float", value))
    if isinstance(value, dict):
        return {name: item if type(item) is str else to_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [item if type(item) is str else to_json(item) for item in value]
    if isinstance(value, Int64):
        return {"$integer": _base64(value.value.to_bytes(8, "little", signed=True))}
    return {"$bytes": _base64(cast("bytes", value))}


def _float_to_json(number: float) -> object:
    # number - number is 0.0 for finite numbers only
    if number - number == 0.0 and (number or math.copysign(1.0, number) > 0):
        return number
    return {"$float": _base64(float_bytes(number))}


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def encode_clean(value: Value) -> bytes:
    """The format `json`: Int64 as decimal strings, special floats by name, bytes as base64."""
    return orjson.dumps(_clean(value), option=orjson.OPT_SORT_KEYS)


def _clean(value: Value) -> object:
    if isinstance(value, dict):
        return {name: _clean(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, Int64):
        return str(value.value)
    if isinstance(value, bytes):
        return _base64(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _clean_number(float(value))
    return value


def _clean_number(number: float) -> object:
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def encode_export(value: Value) -> bytes:
    """The format `export_json`: Int64 as JSON integers, finite floats with a point."""
    return orjson.dumps(_export(value), option=orjson.OPT_SORT_KEYS)


def _export(value: Value) -> object:
    if isinstance(value, dict):
        return {name: _export(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_export(item) for item in value]
    if isinstance(value, Int64):
        return value.value
    if isinstance(value, float) and not value:
        return value  # -0.0 is a plain number in this format
    return to_json(value)


_FORMATS: dict[str, Callable[[Value], bytes]] = {
    "json": encode_clean,
    "convex_clean_json": encode_clean,
    "convex_encoded_json": encode,
    "convex_json": encode,
    "export_json": encode_export,
}


def encode_format(value: Value, name: str) -> bytes:
    """Encode in a format named by a request. Raises CallerError("BadFormat")."""
    encoder = _FORMATS.get(name)
    if encoder is None:
        raise CallerError(
            "BadFormat", f"Unknown format {name[:100]!r}; use one of {', '.join(_FORMATS)}."
        )
    return encoder(value)

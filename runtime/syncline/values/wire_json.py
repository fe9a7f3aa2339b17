"""VALUE ENCODING: values <-> JSON in the formats of convex-protocol 2.1.

`convex_encoded_json` is the canonical form on the wire, in the log and in the stores: sorted keys,
no white space, every ordinary number with a point or exponent, Int64, bytes and special floats as
single-key objects.
"""

import base64
import binascii
import json
import math
import struct
from collections.abc import Callable
from typing import NoReturn

import orjson

from syncline.errors import CallerError
from syncline.limits import VALUE_NESTING_MAX
from syncline.values.value import SAFE_INTEGER_MAX, Int64, Value, normalize_number

_NEGATIVE_ZERO = struct.pack("<d", -0.0)


def decode(data: bytes | str) -> Value:
    """A value from convex_encoded_json. Raises CallerError("InvalidJson" or "InvalidValue")."""
    try:
        parsed = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise CallerError("InvalidJson", f"Not valid JSON: {error}") from error
    return from_json(parsed)


def from_json(parsed: object) -> Value:
    """A value from parsed JSON; lists and dicts are changed in place and belong to the result."""
    return _decode(parsed, 0)


def _decode(parsed: object, depth: int) -> Value:
    kind = type(parsed)
    if kind is float:
        return normalize_number(parsed)  # type: ignore[arg-type] # exact type above
    if kind is dict:
        return _decode_object(parsed, depth)  # type: ignore[arg-type] # exact type above
    if kind is list:
        return _decode_array(parsed, depth)  # type: ignore[arg-type] # exact type above
    if kind is int:
        assert isinstance(parsed, int)
        if -SAFE_INTEGER_MAX <= parsed <= SAFE_INTEGER_MAX:
            return parsed
        return normalize_number(float(parsed))
    return parsed  # type: ignore[return-value] # str, bool or None


def _decode_array(items: list[object], depth: int) -> Value:
    if depth >= VALUE_NESTING_MAX:
        _too_deep()
    for at, item in enumerate(items):
        kind = type(item)
        if kind is not str and kind is not bool and item is not None:
            items[at] = _decode(item, depth + 1)
    return items  # type: ignore[return-value] # every element is a Value now


def _decode_object(fields: dict[str, object], depth: int) -> Value:
    if depth >= VALUE_NESTING_MAX:
        _too_deep()
    if len(fields) == 1:
        (name,) = fields
        if name.startswith("$"):
            return _decode_special(name, fields[name])
    for name, item in fields.items():
        if name.startswith("$"):
            _reject(f"the field name {name!r} starts with '$', which is reserved")
        kind = type(item)
        if kind is not str and kind is not bool and item is not None:
            fields[name] = _decode(item, depth + 1)
    return fields  # type: ignore[return-value] # every field is a Value now


def _decode_special(name: str, item: object) -> Value:
    if name == "$integer":
        return Int64(int.from_bytes(_payload(name, item, 8), "little", signed=True))
    if name == "$bytes":
        return _payload(name, item, None)
    if name == "$float":
        payload = _payload(name, item, 8)
        number: float = struct.unpack("<d", payload)[0]
        if math.isfinite(number) and payload != _NEGATIVE_ZERO:
            _reject(f"$float holds the ordinary number {number}; write it as a JSON number")
        return number
    _reject(f"unknown special value {name!r}")


def _payload(name: str, item: object, length: int | None) -> bytes:
    if not isinstance(item, str):
        _reject(f"{name} must hold a base64 string")
    try:
        payload = base64.b64decode(item, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CallerError(
            "InvalidValue", f"Invalid value: {name} does not hold standard base64"
        ) from error
    if length is not None and len(payload) != length:
        _reject(f"{name} must hold {length} bytes, got {len(payload)}")
    return payload


def _reject(problem: str) -> NoReturn:
    raise CallerError("InvalidValue", f"Invalid value: {problem}")


def _too_deep() -> NoReturn:
    _reject(f"nested deeper than {VALUE_NESTING_MAX} levels")


def encode(value: Value) -> bytes:
    """Canonical convex_encoded_json."""
    return orjson.dumps(_encode(value), option=orjson.OPT_SORT_KEYS)


def _encode(value: Value) -> object:
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is int:
        return float(value)  # type: ignore[arg-type] # exact type above
    if kind is float:
        assert isinstance(value, float)
        if value - value == 0.0 and (value or math.copysign(1.0, value) > 0):
            return value
        return {"$float": base64.b64encode(struct.pack("<d", value)).decode()}
    if isinstance(value, dict):
        return {name: _encode(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_encode(item) for item in value]
    if isinstance(value, Int64):
        payload = value.value.to_bytes(8, "little", signed=True)
        return {"$integer": base64.b64encode(payload).decode()}
    assert isinstance(value, bytes)
    return {"$bytes": base64.b64encode(value).decode()}


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
        return base64.b64encode(value).decode()
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
    return json.dumps(
        _export(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def _export(value: Value) -> object:
    if isinstance(value, dict):
        return {name: _export(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_export(item) for item in value]
    if isinstance(value, Int64):
        return value.value
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number):
            return number
        return {"$float": base64.b64encode(struct.pack("<d", number)).decode()}
    return value


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
            "BadFormat", f"Unknown format {name!r}; use one of {', '.join(_FORMATS)}."
        )
    return encoder(value)

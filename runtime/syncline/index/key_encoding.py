"""INDEX KEY ENCODING: tuples of values -> bytes in the same order (convex-protocol 2.3).

Tag byte, then payload; the order of values of different types is the order of the tags:

    01 undefined   03 null
    04..07 negative Int64 in 8, 4, 2, 1 bytes   08 zero   09..0C positive Int64 in 1, 2, 4, 8 bytes
    0D Float64: 8 bytes big-endian, all bits flipped if negative, else the sign bit set
    0E false   0F true
    10 string (UTF-8) and 11 bytes: each 00 as 00 FF, then 00
    12 array: elements, then 00       15 object: per field its name as a string, value; then 00

Keys of one entry are concatenated. The design follows FoundationDB's tuple layer.
"""

import struct
from collections.abc import Sequence
from enum import Enum
from typing import Final, Literal, TypeAlias

from syncline.values.value import Int64, Value


class Missing(Enum):
    """The type of `MISSING`: a field that a document does not have, JavaScript's undefined."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING
Indexed: TypeAlias = "Value | Missing"

_pack_double = struct.Struct(">d").pack
_pack_unsigned = struct.Struct(">Q").pack
_SIGN = 1 << 63
_ALL = (1 << 64) - 1
_WIDTHS = ((1, 0x09, 0x07), (2, 0x0A, 0x06), (4, 0x0B, 0x05), (8, 0x0C, 0x04))


def encode_values(values: Sequence[Indexed]) -> bytes:
    """The concatenated keys of several values."""
    return b"".join([encode_value(value) for value in values])


def encode_value(value: Indexed) -> bytes:
    """The key of one value."""
    kind = type(value)
    if kind is str:
        assert isinstance(value, str)
        data = value.encode()
        if b"\x00" in data:
            data = data.replace(b"\x00", b"\x00\xff")
        return b"\x10" + data + b"\x00"
    if kind is float or kind is int:
        return _encode_float(float(value))  # type: ignore[arg-type] # exact types above
    if value is None:
        return b"\x03"
    if kind is bool:
        return b"\x0f" if value else b"\x0e"
    if value is MISSING:
        return b"\x01"
    if isinstance(value, bytes):
        return b"\x11" + value.replace(b"\x00", b"\x00\xff") + b"\x00"
    if isinstance(value, Int64):
        return _encode_int64(value.value)
    if isinstance(value, list):
        return b"\x12" + b"".join([encode_value(item) for item in value]) + b"\x00"
    assert isinstance(value, dict)
    fields = [_encode_name(name) + encode_value(value[name]) for name in sorted(value)]
    return b"\x15" + b"".join(fields) + b"\x00"


def _encode_float(number: float) -> bytes:
    bits = int.from_bytes(_pack_double(number), "big")
    return b"\x0d" + _pack_unsigned(bits ^ _ALL if bits & _SIGN else bits | _SIGN)


def _encode_int64(number: int) -> bytes:
    if number == 0:
        return b"\x08"
    for width, positive, negative in _WIDTHS:
        bound = 1 << (width * 8 - 1)
        if -bound <= number < bound:
            tag = positive if number > 0 else negative
            return bytes((tag,)) + number.to_bytes(width, "big", signed=True)
    raise ValueError(f"{number} is not a signed 64-bit integer")


def _encode_name(name: str) -> bytes:
    """A field name; the empty name is 00 FF so that it differs from the object's end."""
    return (name.encode() or b"\x00\xff") + b"\x00"


def prefix_successor(data: bytes) -> bytes | None:
    """The least bytes greater than everything that starts with `data`; None: there is none."""
    stripped = data.rstrip(b"\xff")
    if not stripped:
        return None
    return stripped[:-1] + bytes((stripped[-1] + 1,))

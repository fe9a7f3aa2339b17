"""INDEX KEY ENCODING: tuples of values -> bytes in the same order (convex-protocol 2.3).

Tag byte, then payload; the order of values of different types is the order of the tags:

    01 undefined   03 null
    04..07 negative Int64 in 8, 4, 2, 1 bytes   08 zero   09..0C positive Int64 in 1, 2, 4, 8 bytes
    0D Float64: 8 bytes big-endian, all bits flipped if negative, else the sign bit set
    0E false   0F true
    10 string (UTF-8) and 11 bytes: each 00 as 00 FF, then 00
    12 array: elements, then 00
    15 object: per field in name order its name (the empty name as 00 FF) ‖ 00 ‖ value; then 00

Keys of one entry are concatenated; no key of a value begins with FF. So all keys that begin with
whole values P lie in [P, P ‖ FF), and only those: see `values_range`.
"""

import struct
from collections.abc import Sequence
from enum import Enum
from typing import Final, Literal, TypeAlias, cast

from syncline.errors import CorruptionError
from syncline.index.key_range import KeyRange
from syncline.values.value import Int64, Value, normalize_number


class Missing(Enum):
    """The type of `MISSING`: a field that a document does not have, JavaScript's undefined."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING
Indexed: TypeAlias = "Value | Missing"

_pack_double = struct.Struct(">d").pack
_unpack_double = struct.Struct(">d").unpack
_ALL = (1 << 64) - 1

_NULL, _ZERO, _FLOAT, _FALSE, _TRUE = 0x03, 0x08, 0x0D, 0x0E, 0x0F
_UNDEFINED, _STRING, _BYTES, _ARRAY, _OBJECT = 0x01, 0x10, 0x11, 0x12, 0x15
# bytes, tag if positive, tag if negative
_WIDTHS = ((1, 0x09, 0x07), (2, 0x0A, 0x06), (4, 0x0B, 0x05), (8, 0x0C, 0x04))
_WIDTH_OF_TAG = {tag: width for width, *tags in _WIDTHS for tag in tags}


def encode_values(values: Sequence[Indexed]) -> bytes:
    """The concatenated keys of several values."""
    return b"".join([encode_value(value) for value in values])


def encode_value(value: Indexed) -> bytes:
    """The key of one value."""
    kind = type(value)
    if kind is str:
        data = cast("str", value).encode()
        if b"\x00" in data:
            data = data.replace(b"\x00", b"\x00\xff")
        return b"\x10" + data + b"\x00"
    if kind is float or kind is int:
        return _encode_float(cast("float", value))
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
    fields = cast("dict[str, Value]", value)
    parts = [_encode_name(name) + encode_value(fields[name]) for name in sorted(fields)]
    return b"\x15" + b"".join(parts) + b"\x00"


def _encode_float(number: float) -> bytes:
    if number > 0:
        # Negating a float flips exactly its sign bit.
        return b"\x0d" + _pack_double(-number)
    bits = int.from_bytes(_pack_double(number), "big")
    return b"\x0d" + (bits ^ (_ALL if bits >> 63 else 1 << 63)).to_bytes(8, "big")


def _encode_int64(number: int) -> bytes:
    if number == 0:
        return b"\x08"
    for width, positive, negative in _WIDTHS:
        bound = 1 << (width * 8 - 1)
        if -bound <= number < bound:
            tag = positive if number > 0 else negative
            return bytes((tag,)) + number.to_bytes(width, "big", signed=True)
    raise AssertionError(f"an Int64 holds 64 bits, not {number}")


def _encode_name(name: str) -> bytes:
    """A field name: printable ASCII, so without NUL. The empty one is not the object's end."""
    return (name.encode() or b"\x00\xff") + b"\x00"


def values_range(prefix: bytes) -> KeyRange:
    """All keys that begin with these whole values (an index id and encoded values).

    The successor of the prefix would also admit longer strings: a NUL in "a<NUL>b" begins with the
    byte that ends "a".
    """
    return KeyRange(prefix, prefix + b"\xff")


def prefix_successor(data: bytes) -> bytes | None:
    """The least bytes greater than everything that starts with `data`; None: there is none.

    For an index id or the content of a string; for whole values see `values_range`.
    """
    stripped = data.rstrip(b"\xff")
    if not stripped:
        return None
    return stripped[:-1] + bytes((stripped[-1] + 1,))


def decode_values(data: bytes, count: int | None = None) -> list[Indexed]:
    """The first `count` values of concatenated keys; None: all of them, to the end of `data`.

    CorruptionError("InvalidIndexKey") if the bytes are no keys, or too few.
    """
    values: list[Indexed] = []
    at = 0
    try:
        while at < len(data) if count is None else len(values) < count:
            value, at = _decode(data, at)
            values.append(value)
    except (IndexError, ValueError, RecursionError) as error:
        raise CorruptionError(
            "InvalidIndexKey", f"No whole value at byte {at} of the index key {data.hex()}."
        ) from error
    return values


def _decode(data: bytes, at: int) -> tuple[Indexed, int]:
    """The value that begins at `at`, and where it ends."""
    tag = data[at]
    at += 1
    if tag == _STRING:
        content, at = _decode_escaped(data, at)
        return content.decode(), at
    if tag == _FLOAT:
        return _decode_float(_take(data, at, 8)), at + 8
    if tag == _BYTES:
        return _decode_escaped(data, at)
    if tag in _WIDTH_OF_TAG:
        width = _WIDTH_OF_TAG[tag]
        return Int64(int.from_bytes(_take(data, at, width), "big", signed=True)), at + width
    if tag == _ARRAY:
        return _decode_array(data, at)
    if tag == _OBJECT:
        return _decode_object(data, at)
    return _SINGLE[tag], at


class _Single(dict[int, Indexed]):
    """Tags that are whole keys; any other byte is an IndexError, like the end of the data."""

    def __missing__(self, tag: int) -> Indexed:
        raise IndexError(tag)


_SINGLE = _Single({_UNDEFINED: MISSING, _NULL: None, _ZERO: Int64(0), _FALSE: False, _TRUE: True})


def _take(data: bytes, at: int, width: int) -> bytes:
    if at + width > len(data):
        raise IndexError(at + width)
    return data[at : at + width]


def _decode_float(payload: bytes) -> int | float:
    bits = int.from_bytes(payload, "big")
    number: float = _unpack_double((bits ^ (1 << 63 if bits >> 63 else _ALL)).to_bytes(8, "big"))[0]
    return normalize_number(number)


def _decode_escaped(data: bytes, at: int) -> tuple[bytes, int]:
    start = at
    while True:
        end = data.index(0, at)
        if data[end + 1 : end + 2] != b"\xff":
            return data[start:end].replace(b"\x00\xff", b"\x00"), end + 1
        at = end + 2


def _decode_array(data: bytes, at: int) -> tuple[list[Value], int]:
    items: list[Value] = []
    while data[at]:
        item, at = _decode(data, at)
        items.append(_present(item))
    return items, at + 1


def _decode_object(data: bytes, at: int) -> tuple[dict[str, Value], int]:
    fields: dict[str, Value] = {}
    while data[at] or data[at + 1 : at + 2] == b"\xff":
        name, at = _decode_escaped(data, at)
        item, at = _decode(data, at)
        fields["" if name == b"\x00" else name.decode()] = _present(item)
    return fields, at + 1


def _present(item: Indexed) -> Value:
    if isinstance(item, Missing):
        raise ValueError("undefined inside an array or object")  # noqa: TRY004 - a wrong byte
    return item

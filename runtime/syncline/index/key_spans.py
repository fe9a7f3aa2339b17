"""Where the values of an index key begin and end, found without decoding them.

A key is 6 bytes of index id and the concatenated encodings of its values (convex-protocol.md 2.3):
a tag byte, then a payload whose end follows from the tag:

    01 undefined, 03 null, 08 zero, 0E false, 0F true    nothing
    04 05 06 07 negative, 09 0A 0B 0C positive Int64     8 4 2 1, 1 2 4 8 bytes
    0D Float64                                           8 bytes
    10 string, 11 bytes                                  content with 00 as 00 FF, then 00
    12 array                                             values, then 00
    15 object                                            (name as a string's payload, value)*, 00

The empty field name is `00 FF` and then 00, so that it can't be taken for the object's end.
"""

from typing import Final

INDEX_ID_BYTES: Final = 6

ESCAPED_NUL: Final = b"\x00\xff"

_TEXT: Final = 0x10
_BYTES: Final = 0x11
_ARRAY: Final = 0x12
_OBJECT: Final = 0x15

_FIXED_LENGTHS: Final = {
    0x01: 1,
    0x03: 1,
    0x04: 9,
    0x05: 5,
    0x06: 3,
    0x07: 2,
    0x08: 1,
    0x09: 2,
    0x0A: 3,
    0x0B: 5,
    0x0C: 9,
    0x0D: 9,
    0x0E: 1,
    0x0F: 1,
}


def value_ends(key: bytes, start: int = INDEX_ID_BYTES) -> list[int]:
    """The end offset of each whole value in `key` from `start` on, in order.

    Stops without complaint at the first thing that isn't a whole value: bounds of ranges are often
    cut or incremented in the middle of one.
    """
    ends: list[int] = []
    at = start
    size = len(key)
    while at < size:
        end = _value_end(key, at)
        if end < 0:
            break
        ends.append(end)
        at = end
    return ends


def _value_end(key: bytes, at: int) -> int:
    """The end of the value at `at`, -1 if there is no whole value."""
    tag = key[at]
    length = _FIXED_LENGTHS.get(tag)
    if length is not None:
        return at + length if at + length <= len(key) else -1
    if tag in (_TEXT, _BYTES):
        return _escaped_end(key, at + 1)
    if tag in (_ARRAY, _OBJECT):
        return _nested_end(key, at)
    return -1


def _escaped_end(key: bytes, at: int) -> int:
    """The offset after the terminator of an escaped content that begins at `at`, or -1."""
    while True:
        found = key.find(0, at)
        if found < 0:
            return -1
        if key[found + 1 : found + 2] != b"\xff":
            return found + 1
        at = found + 2


def _nested_end(key: bytes, at: int) -> int:
    """The end of the array or object at `at`, or -1; a loop: depth exhausts no stack."""
    open_tags = [key[at]]
    at += 1
    while open_tags:
        if at >= len(key):
            return -1
        inside = open_tags[-1]
        if key[at] == 0 and not (inside == _OBJECT and key[at + 1 : at + 2] == b"\xff"):
            open_tags.pop()
            at += 1
            continue
        if inside == _OBJECT:
            at = _escaped_end(key, at)
            if at < 0 or at >= len(key):
                return -1
        if key[at] in (_ARRAY, _OBJECT):
            open_tags.append(key[at])
            at += 1
            continue
        at = _value_end(key, at)
        if at < 0:
            return -1
    return at


def cut_ends(key: bytes, start: int, end: int) -> list[int]:
    """The offsets inside the value [start, end) at which a shorter whole value could end.

    A content with an escaped NUL (`00 FF`) begins with the bytes of the whole shorter content
    (`00` is its terminator), so a range over everything that starts with the shorter value's bytes
    covers the longer value too. The same holds for an object with an empty field name.
    """
    tag = key[start]
    if tag == _OBJECT:
        return [start + 2] if key[start + 1 : start + 3] == ESCAPED_NUL else []
    if tag not in (_TEXT, _BYTES):
        return []
    cuts: list[int] = []
    at = key.find(ESCAPED_NUL, start + 1, end)
    while at >= 0:
        cuts.append(at + 1)
        at = key.find(ESCAPED_NUL, at + 2, end)
    return cuts

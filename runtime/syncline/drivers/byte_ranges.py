"""`Range` of one file (RFC 9110, 14), as the reference serves it: one range, or none at all."""

import re
from dataclasses import dataclass
from typing import Final

from syncline.drivers.http_messages import HttpError

_UNIT: Final = re.compile(r"bytes=(.*)", re.IGNORECASE)
_RANGE: Final = re.compile(r"\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`length` bytes (>= 1) from `start` on."""

    start: int
    length: int


class RangeNotSatisfiable(HttpError):  # noqa: N818 - as the status is called
    """416: several ranges, or one that begins behind the end."""

    def __init__(self, size: int) -> None:
        super().__init__(
            416, "RangeNotSatisfiable", f"The file has {size} bytes, and one range is served."
        )


def requested_range(header: str | None, size: int) -> ByteRange | None:
    """What a `Range` header asks of a file of `size` bytes; None: all of it.

    A header of another unit or without sense is not there, as the RFC wants it.

    Raises:
        RangeNotSatisfiable: several ranges, or nothing of the file is in it.
    """
    unit = _UNIT.fullmatch(header or "")
    if unit is None:
        return None
    if "," in unit[1]:
        raise RangeNotSatisfiable(size)
    match = _RANGE.fullmatch(unit[1])
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        start, end = size - length, size
    else:
        start = int(match[1])
        end = min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= end:
        raise RangeNotSatisfiable(size)
    return ByteRange(start, end - start)

"""Pagination cursors: a position in one query's range, as an opaque deterministic string (6.4).

base64url of: fingerprint of the query (8 bytes) ‖ 00 and the key after which the page goes on, or
01 for the end. Equal positions give equal strings, because a cursor is part of the next query's
arguments and so of its cache key.
"""

import base64
import binascii
from dataclasses import dataclass
from hashlib import blake2b

from syncline.errors import ApplicationError
from syncline.index.key_range import KeyRange

_FINGERPRINT_BYTES = 8


@dataclass(frozen=True, slots=True)
class Cursor:
    """After `key`; None: at the end of the range."""

    key: bytes | None


def fingerprint(key_range: KeyRange, *, reverse: bool) -> bytes:
    """8 bytes that tell queries apart: the index is part of the range's keys."""
    digest = blake2b(digest_size=_FINGERPRINT_BYTES)
    digest.update(b"desc" if reverse else b"asc")
    digest.update(len(key_range.lo).to_bytes(4, "big") + key_range.lo + key_range.hi)
    return digest.digest()


def encode_cursor(cursor: Cursor, query: bytes) -> str:
    """The text of a position in the query with this fingerprint."""
    position = b"\x01" if cursor.key is None else b"\x00" + cursor.key
    return base64.urlsafe_b64encode(query + position).decode().rstrip("=")


def decode_cursor(text: str, query: bytes) -> Cursor:
    """The position. Raises the documented InvalidCursor error for any other query's cursor."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise _invalid() from error
    position = data[_FINGERPRINT_BYTES:]
    if (
        data[:_FINGERPRINT_BYTES] != query
        or not position
        or encode_cursor(cursor := Cursor(None if position[0] else position[1:]), query) != text
    ):
        raise _invalid()
    return cursor


class InvalidCursorError(ApplicationError):
    """The ConvexError by which clients know that they have to start the pagination again."""

    def __init__(self) -> None:
        super().__init__({"isConvexSystemError": True, "paginationError": "InvalidCursor"})
        self.message = (
            "InvalidCursor: Tried to run a query starting from a cursor, but it was created by "
            "another query (other arguments, index, range or order). Start the pagination again."
        )
        self.args = (self.message,)


def _invalid() -> InvalidCursorError:
    return InvalidCursorError()

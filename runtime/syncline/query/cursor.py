"""Pagination cursors: a position in one query, as an opaque deterministic string (6.4).

base64url of: check (8 bytes) ‖ 00 and the position after which the page goes on, or 01 for the end.
A position is an entry key without its index id: it stays good while the index is built anew. The
check is a hash over the query (index, fields, range and order) and the position, so that a cursor
of another query, or a garbled one, is refused. Equal positions give equal strings, because a cursor
is part of the next query's arguments and so of its cache key.
"""

import base64
import binascii
from dataclasses import dataclass
from hashlib import blake2b

from syncline.errors import ApplicationError
from syncline.query.index_range import IndexRange

_CHECK_BYTES = 8
_AFTER = b"\x00"
_END = b"\x01"


@dataclass(frozen=True, slots=True)
class Cursor:
    """After `position`; None: at the end of the query."""

    position: bytes | None


def fingerprint(query: IndexRange, *, reverse: bool) -> bytes:
    """32 bytes that tell queries apart."""
    lower = query.lower[1] if query.lower else b""
    upper = query.upper[1] if query.upper else b""
    digest = blake2b(digest_size=32)
    for part in (
        query.index.encode(),
        "\x00".join(query.fields).encode(),
        b"".join(query.equal),
        lower,
        upper,
        b"desc" if reverse else b"asc",
    ):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def encode_cursor(cursor: Cursor, query: bytes) -> str:
    """The text of a position in the query with this fingerprint."""
    position = _END if cursor.position is None else _AFTER + cursor.position
    check = blake2b(position, digest_size=_CHECK_BYTES, key=query).digest()
    return base64.urlsafe_b64encode(check + position).decode().rstrip("=")


def decode_cursor(text: str, query: bytes) -> Cursor:
    """The position. Raises InvalidCursor for what `encode_cursor` did not make for this query."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor from error
    position = data[_CHECK_BYTES:]
    cursor = Cursor(position[1:] if position[:1] == _AFTER else None)
    if encode_cursor(cursor, query) != text:
        raise InvalidCursor
    return cursor


class InvalidCursor(ApplicationError):  # noqa: N818 - the name that clients look for in the text
    """The ConvexError by which clients know that they have to start the pagination again."""

    def __init__(self) -> None:
        super().__init__({"isConvexSystemError": True, "paginationError": "InvalidCursor"})
        self.message = (
            "InvalidCursor: Tried to run a query starting from a cursor, but it was created by "
            "another query (other arguments, index, range or order). Start the pagination again."
        )
        self.args = (self.message,)

    def __reduce__(self) -> tuple[type["InvalidCursor"], tuple[()]]:  # type: ignore[override] # takes nothing
        return InvalidCursor, ()

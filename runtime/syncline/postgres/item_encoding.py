"""A batch of commits as one binary parameter: PostgreSQL's wire form of `syncline.item[]`.

Built by hand because the batch is the whole traffic of the hot path: nested composites and arrays
through psycopg's generic dumpers cost several times as much as the insert itself. The forms are
those of array_recv and record_recv (PostgreSQL, src/backend/utils/adt, arrayfuncs.c, rowtypes.c):

    array      int32 dimensions, int32 has_null, uint32 element oid, (int32 length, int32 first)
               per dimension, then per element int32 length and that many bytes
    composite  int32 fields, then per field uint32 oid, int32 length (-1: NULL), bytes

The field order is that of the types in migrations/0001_log.sql.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from syncline.commit.record import CommitRequest, DocumentChange

_BOOL, _BYTEA, _INT8, _INT4, _TEXT, _JSON, _BYTEA_ARRAY = 16, 17, 20, 23, 25, 114, 1001

_ITEM_NUMBERS = struct.Struct("!i Iiq Iiq Iiq Iiq Iiq Iii Iii Ii?")
_CHANGE_NUMBERS = struct.Struct("!Iiq Iiq")
_FIELD = struct.Struct("!Ii")
_LENGTH = struct.Struct("!i")
_ARRAY = struct.Struct("!iiIii")
_NO_JSON = _FIELD.pack(_JSON, -1)
_NO_ARRAY = _FIELD.pack(_BYTEA_ARRAY, -1)
_ITEM_FIELDS = 15
_CHANGE_FIELDS = _LENGTH.pack(7)


@dataclass(frozen=True, slots=True)
class TypeIds:
    """The oids that this database gave our composite types."""

    item: int
    change: int
    change_array: int


class Settled(msgspec.Struct, frozen=True, gc=False):
    """What an item carries beside its request: its place in the chain, its size, its staging."""

    ts: int
    previous_ts: int
    size: int
    staged_parts: int


def bytea_array(keys: Sequence[bytes]) -> bytes:
    """Keys as the binary form of `bytea[]`."""
    if not keys:
        return b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x11"
    parts = [_ARRAY.pack(1, 0, _BYTEA, len(keys), 1)]
    for key in keys:
        parts.append(_LENGTH.pack(len(key)))
        parts.append(key)
    return b"".join(parts)


def _bytea_array(keys: Sequence[bytes]) -> bytes:
    body = bytea_array(keys)
    return _FIELD.pack(_BYTEA_ARRAY, len(body)) + body


def _composite_array(element_oid: int, elements: Sequence[bytes]) -> bytes:
    if not elements:
        return struct.pack("!iiI", 0, 0, element_oid)
    parts = [_ARRAY.pack(1, 0, element_oid, len(elements), 1)]
    for element in elements:
        parts.append(_LENGTH.pack(len(element)))
        parts.append(element)
    return b"".join(parts)


def _json(document: bytes | None) -> bytes:
    if document is None:
        return _NO_JSON
    return _FIELD.pack(_JSON, len(document)) + document


def _text(text: str) -> bytes:
    raw = text.encode()
    return _FIELD.pack(_TEXT, len(raw)) + raw


def _change(change: DocumentChange) -> bytes:
    keys_before = _bytea_array(change.keys_before)
    same = change.keys_after == change.keys_before
    return b"".join(
        (
            _CHANGE_FIELDS,
            _text(change.document_id),
            _CHANGE_NUMBERS.pack(_INT8, 8, change.table, _INT8, 8, change.before_ts),
            _json(change.before),
            _json(change.after),
            keys_before,
            keys_before if same else _bytea_array(change.keys_after),
        )
    )


def _item(
    request: CommitRequest, settled: Settled, types: TypeIds, *, with_ranges: bool
) -> bytes:  # fmt: skip
    numbers = _ITEM_NUMBERS.pack(
        _ITEM_FIELDS,
        *(_INT8, 8, request.begin_ts),
        *(_INT8, 8, settled.ts),
        *(_INT8, 8, settled.previous_ts),
        *(_INT8, 8, request.nonce),
        *(_INT8, 8, request.request),
        *(_INT4, 4, settled.size),
        *(_INT4, 4, settled.staged_parts),
        *(_BOOL, 1, request.failed),
    )
    if with_ranges:
        ranges = _bytea_array([each.lo for each in request.read_ranges])
        ranges += _bytea_array([each.hi for each in request.read_ranges])
    else:
        ranges = _NO_ARRAY + _NO_ARRAY
    changes = () if settled.staged_parts else request.changes
    body = _composite_array(types.change, [_change(each) for each in changes])
    return b"".join(
        (
            numbers,
            _text(request.session),
            _text(request.identity),
            _json(request.call),
            _json(request.outcome),
            ranges,
            _FIELD.pack(types.change_array, len(body)),
            body,
        )
    )


def encode_items(
    items: Iterable[tuple[CommitRequest, Settled]], types: TypeIds, *, with_ranges: bool
) -> bytes:
    """The batch as the binary form of `syncline.item[]`."""
    return _composite_array(
        types.item,
        [_item(request, settled, types, with_ranges=with_ranges) for request, settled in items],
    )

"""Index entries as items, and items as entries (protocols.md rules 11, 12). Pure.

Every entry holds a copy of its document, so that one Query answers a range; entry and document are
of one commit then, and an entry's ts is its document's. A document too large for that lies in parts
that all its entries name by (id, ts): the same is true of it, as parts are never changed. A key too
large for an item, made of a large string that an index covers, lies in parts of its entry.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from syncline.aws.document_keys import (
    document_id_of,
    document_owner,
    key_owner,
    part_key,
    partition_key,
    parts_partition,
    stored_key,
)
from syncline.aws.document_table import DocumentItem
from syncline.aws.dynamo_tables import ITEM_BYTES_MAX
from syncline.commit.record import DocumentChange
from syncline.ports import StoredRow

FULL_KEY_BYTES_MAX: Final = 64 * 1024
"""Full keys up to this lie in the entry itself."""

COPY_BYTES_MAX: Final = ITEM_BYTES_MAX - FULL_KEY_BYTES_MAX
"""Documents up to this are copied into each entry, whatever the key's length."""

PART_BYTES_MAX: Final = ITEM_BYTES_MAX
"""Bytes of one part."""

RawItem: TypeAlias = Mapping[str, Mapping[str, Any]]
"""An item as the SDK gives it: attributes as {type: value}."""

PartName: TypeAlias = tuple[bytes, bytes]
"""Partition and sort key of a part."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as its item tells it; what is in parts has still to be read."""

    partition: bytes
    stored: bytes
    ts: int
    key: bytes | None
    """None: in `key_parts` parts."""
    key_parts: int
    document: bytes | None
    """None: in `document_parts` parts; a tombstone has none of those either."""
    document_parts: int
    document_id: str
    """ "" unless the document is in parts."""


def decode_entry(item: RawItem) -> Entry:
    """What an item of an entry holds."""
    stored = item["k"]["B"]
    key_parts = int(item["m"]["N"]) if "m" in item else 0
    full = item["f"]["B"] if "f" in item else stored
    return Entry(
        partition=item["p"]["B"],
        stored=stored,
        ts=int(item["t"]["N"]),
        key=None if key_parts else full,
        key_parts=key_parts,
        document=item["d"]["B"] if "d" in item else None,
        document_parts=int(item["n"]["N"]) if "n" in item else 0,
        document_id=item["i"]["S"] if "i" in item else "",
    )


def entry_item(
    model: type[DocumentItem], generation: int, row: StoredRow, *, expires: int | None
) -> DocumentItem:
    """The item of a row, or of a tombstone, which `expires` (epoch seconds)."""
    key, document = row.key, row.document
    stored = stored_key(key)
    item = model(partition_key(generation, key), stored, t=row.ts)
    if stored is not key:
        parts = _count(key, FULL_KEY_BYTES_MAX)
        if parts:
            item.m = parts
        else:
            item.f = key
    if document is None:
        item.x = expires
        return item
    parts = _count(document, COPY_BYTES_MAX)
    if parts:
        item.n, item.i = parts, document_id_of(key)
    else:
        item.d = document
    return item


def part_items(
    model: type[DocumentItem], generation: int, rows: Iterable[StoredRow], *, expires: int
) -> list[DocumentItem]:
    """The parts of all rows, each once; those of a tombstone's key expire with it."""
    items: dict[PartName, DocumentItem] = {}

    def add(owner: bytes, ts: int, content: bytes, expiry: int | None) -> None:
        partition = parts_partition(generation, owner)
        for number, start in enumerate(range(0, len(content), PART_BYTES_MAX)):
            name = partition, part_key(ts, number)
            if name not in items:
                piece = content[start : start + PART_BYTES_MAX]
                items[name] = model(*name, d=piece, x=expiry)

    for row in rows:
        if len(row.key) > FULL_KEY_BYTES_MAX:
            expiry = expires if row.document is None else None
            add(key_owner(row.key), row.ts, row.key, expiry)
        if row.document is not None and len(row.document) > COPY_BYTES_MAX:
            add(document_owner(document_id_of(row.key)), row.ts, row.document, None)
    return list(items.values())


def superseded_parts(generation: int, change: DocumentChange) -> list[PartName]:
    """The parts that nobody reads any more once a change has been applied and is old enough."""
    if change.before is None:
        return []
    owners = [(document_owner(change.document_id), _count(change.before, COPY_BYTES_MAX))]
    owners += [(key_owner(key), _count(key, FULL_KEY_BYTES_MAX)) for key in change.keys_before]
    return [
        (parts_partition(generation, owner), part_key(change.before_ts, number))
        for owner, parts in owners
        for number in range(parts)
    ]


def _count(content: bytes, inline_max: int) -> int:
    """How many parts; 0: it lies in the entry."""
    return 0 if len(content) <= inline_max else -(-len(content) // PART_BYTES_MAX)

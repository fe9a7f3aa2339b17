"""Pages of index entries out of one generation of the documents table (protocols.md rules 9 to 12).

Every read is strongly consistent. A page is what one Query answers, 1 MB at most, and more only if
that holds no whole group of long keys; so a page may be shorter than was asked for.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, cast

from pynamodb.exceptions import DoesNotExist
from pynamodb.expressions.condition import Condition
from pynamodb.pagination import PageIterator, ResultIterator

from syncline.aws.document_items import Entry, RawItem, decode_entry
from syncline.aws.document_keys import (
    count_of_whole_groups,
    document_owner,
    generation_prefix,
    is_part,
    part_key,
    partition_key,
    parts_partition,
    stored_bounds,
    stored_key_owner,
)
from syncline.aws.document_table import DocumentItem
from syncline.aws.dynamo_retries import patiently
from syncline.errors import UnavailableError
from syncline.ports import RangeRead, StoredPage, StoredRow

PAGE_PARTS_MAX: Final = 24
"""Parts that one page fetches, or those of one document; ours: 9 MB."""

_ATTEMPTS: Final = 3
"""How often parts are looked for. A newer version's are there before its entry, and an old one's
go half an hour after it was replaced."""


_GROUP_ITEMS: Final = 500
"""Items in one answer when a group of long keys has to be read whole; 1 MB holds about as many."""


class EntryReader:
    """Reads one table. Calls raise what `patiently` raises."""

    def __init__(self, model: type[DocumentItem]) -> None:
        self._model = model

    async def page(self, generation: int, read: RangeRead) -> StoredPage:
        """Rows and tombstones of a range, which lies in one index."""
        if read.lo >= read.hi:
            return StoredPage((), done=True)
        first, last = stored_bounds(read.lo, read.hi)
        answers = self._query(
            partition_key(generation, read.lo),
            DocumentItem.k.between(first, last),
            limit=read.limit,
            reverse=read.reverse,
        )
        iterator = _iterator(answers)
        items: list[RawItem] = []
        while True:
            answer = await patiently(partial(_next_answer, answers))
            items += answer or ()
            is_all = not iterator.last_evaluated_key
            count = len(items) if is_all else count_of_whole_groups([i["k"]["B"] for i in items])
            found = await self._in_order(generation, items[:count], read)
            if found or is_all:
                break
            # The rest of a group of long keys, however few were asked for.
            iterator.page_size = _GROUP_ITEMS
        rows = await self._rows(generation, found[: read.limit])
        return StoredPage(tuple(rows), done=is_all and len(rows) == len(found))

    async def scan(self, generation: int) -> AsyncGenerator[Sequence[StoredRow], None]:
        """Every entry of a generation, tombstones too, in no order."""
        # The library has begins_with for text only.
        lo, hi = generation_prefix(generation), generation_prefix(generation + 1)
        wanted = (DocumentItem.p >= lo) & (DocumentItem.p < hi)
        answers = self._model.scan(wanted, consistent_read=True)
        while (answer := await patiently(partial(_next_answer, answers))) is not None:
            entries = [decode_entry(item) for item in answer if not is_part(item["p"]["B"])]
            at = 0
            while at < len(entries):
                rows = await self._rows(generation, entries[at:])
                at += len(rows)
                yield rows

    async def items_of_index(
        self, generation: int, index_id: bytes, *, limit: int
    ) -> Sequence[DocumentItem]:
        """The keys of an index's first entries, as items that can be deleted."""
        partition = partition_key(generation, index_id)
        answers = self._query(partition, None, limit=limit, keys_only=True)
        answer = await patiently(partial(_next_answer, answers))
        return [self._model(item["p"]["B"], item["k"]["B"]) for item in answer or ()]

    async def items_of_others(
        self, generation: int
    ) -> AsyncGenerator[Sequence[DocumentItem], None]:
        """The keys of everything in other generations, as items that can be deleted."""
        prefix = generation_prefix(generation)
        answers = self._model.scan(attributes_to_get=["p", "k"])
        while (answer := await patiently(partial(_next_answer, answers))) is not None:
            names = [(item["p"]["B"], item["k"]["B"]) for item in answer]
            yield [self._model(*name) for name in names if not name[0].startswith(prefix)]

    def _query(
        self,
        partition: bytes,
        condition: Condition | None,
        *,
        limit: int | None = None,
        reverse: bool = False,
        keys_only: bool = False,
    ) -> ResultIterator[DocumentItem]:
        return self._model.query(
            partition,
            condition,
            consistent_read=True,
            page_size=limit,
            scan_index_forward=not reverse,
            attributes_to_get=["p", "k"] if keys_only else None,
        )

    async def _in_order(
        self, generation: int, items: Sequence[RawItem], read: RangeRead
    ) -> list[Entry]:
        """The entries within a range, by full key, which all of them have."""
        entries = [decode_entry(item) for item in items]
        whole = [
            entry if entry.key is not None else await self._with_parts(generation, entry)
            for entry in entries
        ]
        inside = [entry for entry in whole if read.lo <= _key(entry) < read.hi]
        return sorted(inside, key=_key, reverse=read.reverse)

    async def _rows(self, generation: int, entries: Sequence[Entry]) -> list[StoredRow]:
        """The rows of entries up to PAGE_PARTS_MAX, at least one if there are any."""
        parts = 0
        count = 0
        for entry in entries:
            parts += entry.document_parts + entry.key_parts
            if count and parts > PAGE_PARTS_MAX:
                break
            count += 1
        if not parts:
            return [StoredRow(_key(entry), entry.ts, entry.document) for entry in entries]
        return await asyncio.gather(*(self._row(generation, entry) for entry in entries[:count]))

    async def _row(self, generation: int, entry: Entry) -> StoredRow:
        if entry.key is None or (entry.document_parts and entry.document is None):
            entry = await self._with_parts(generation, entry)
        return StoredRow(_key(entry), entry.ts, entry.document)

    async def _with_parts(self, generation: int, entry: Entry) -> Entry:
        """An entry with its key and document, or the newer one that has replaced it."""
        for _ in range(_ATTEMPTS):
            key, document = entry.key, entry.document
            if key is None:
                owner = stored_key_owner(entry.stored)
                key = await self._joined(generation, owner, entry.ts, entry.key_parts)
            if entry.document_parts:
                owner = document_owner(entry.document_id)
                document = await self._joined(generation, owner, entry.ts, entry.document_parts)
            if key is not None and (document is not None or not entry.document_parts):
                return replace(entry, key=key, document=document)
            newer = await patiently(partial(self._get, entry))
            if newer is None:
                break
            entry = newer
        raise UnavailableError(
            "DocumentReplaced",
            f"The entry at {entry.stored[:64].hex()} was replaced while its document of "
            f"{entry.ts} was read; read again.",
        )

    def _get(self, entry: Entry) -> Entry | None:
        try:
            item = self._model.get(entry.partition, entry.stored, consistent_read=True)
        except DoesNotExist:
            return None
        return decode_entry(item.serialize())

    async def _joined(self, generation: int, owner: bytes, ts: int, count: int) -> bytes | None:
        """The content of all parts; None: some are missing."""
        answers = self._query(
            parts_partition(generation, owner),
            DocumentItem.k.between(part_key(ts, 0), part_key(ts, count - 1)),
        )
        pieces: list[bytes] = []
        while (answer := await patiently(partial(_next_answer, answers))) is not None:
            pieces += [item["d"]["B"] for item in answer]
        return b"".join(pieces) if len(pieces) == count else None


def _next_answer(answers: ResultIterator[DocumentItem]) -> list[RawItem] | None:
    # A request that fails leaves the iterator where it was, so it can be made again.
    answer = next(_iterator(answers), None)
    return None if answer is None else answer["Items"]


def _iterator(answers: ResultIterator[DocumentItem]) -> "PageIterator[Mapping[str, Any]]":
    return cast("PageIterator[Mapping[str, Any]]", cast("Any", answers).page_iter)


def _key(entry: Entry) -> bytes:
    assert entry.key is not None, "a key in parts is read first"
    return entry.key

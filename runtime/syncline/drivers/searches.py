"""Searches at a snapshot: builds the views of search indexes, and keeps them near the log's head.

A view is built from the documents when its index is first searched, or at start if the deployment
has it then; it is in memory, and made anew after a reset of the log. What it finds is read from the
snapshot, as any other row is.
"""

import asyncio
from array import array
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from syncline.drivers.replica import Replica
from syncline.drivers.search_view import SearchView
from syncline.drivers.snapshot_reader import Snapshot
from syncline.errors import UnavailableError
from syncline.index.index_definition import BY_ID, index_id
from syncline.index.key_encoding import encode_value
from syncline.ports import (
    Log,
    Page,
    RangeRead,
    Row,
    TextRead,
    VectorRead,
)
from syncline.query.search_entries import text_entry, vector_entry
from syncline.schema.catalog import IndexInfo, TextTarget, VectorTarget
from syncline.segments.store import SegmentStore, StoredSegment

if TYPE_CHECKING:
    from syncline.search.entries import TextEntry
    from syncline.search.vectors import VectorEntry


STORED_AFTER_CHANGES = 500
"""Changes of documents after which a segment is stored anew: others take up as many in 20 ms."""


class _TextIndex:
    """A search index: its segment, and the view that keeps it true."""

    def __init__(
        self,
        replica: Replica,
        table: int,
        index: IndexInfo,
        content: bytes | None = None,
        *,
        is_stored: bool,
    ) -> None:
        """`content`: of a stored segment. `is_stored`: this one may be."""
        # Loaded by deployments that search.
        from syncline.segments.text_segment import FORMAT, TextSegment

        self.format = FORMAT
        self.segment = TextSegment(content, is_stored=is_stored)
        self.view: SearchView[TextEntry] = SearchView(
            replica, table, self.segment, partial(text_entry, index)
        )

    def find(self, read: TextRead, ts: int) -> list[tuple[bytes, str]]:
        """The best matches at `ts` as (rank, document id), one more than wanted if there are."""
        if self.view.is_behind():
            self.view.step()
        changed = self.view.changed(ts)
        found = self.segment.best(
            read.terms, read.filters, after=read.after, limit=read.limit + 1, hidden=changed.keys()
        )
        for document_id, document in changed.items():
            entry = self.view.entry_at(document_id, document, ts) if document is not None else None
            rank = entry and entry.rank(read.terms, read.filters, document_id)
            if rank and rank > read.after:
                found.append((rank, document_id))
        return sorted(found)[: read.limit + 1]

    async def grow(self) -> None:
        """Make searches quicker: they are."""


class _VectorIndex:
    """A vector index: its segment, and the view that keeps it true."""

    def __init__(
        self,
        replica: Replica,
        table: int,
        index: IndexInfo,
        content: bytes | None = None,
        *,
        is_stored: bool,
    ) -> None:
        """As for texts."""
        from syncline.segments.vector_segment import FORMAT, VectorSegment

        del is_stored
        assert isinstance(index.target, VectorTarget)
        self.format = FORMAT
        self.segment = VectorSegment(index.target.dimensions)
        if content is not None:
            self.segment.load(content)
        self.view: SearchView[VectorEntry] = SearchView(
            replica, table, self.segment, partial(vector_entry, index)
        )

    def find(self, read: VectorRead, ts: int) -> list[tuple[bytes, str]]:
        """The nearest at `ts` as (rank, document id)."""
        if self.view.is_behind():
            self.view.step()
        wanted = array("f", read.vector)
        changed = self.view.changed(ts)
        found = self.segment.nearest(wanted, read.filters, limit=read.limit, hidden=changed.keys())
        for document_id, document in changed.items():
            entry = self.view.entry_at(document_id, document, ts) if document is not None else None
            rank = entry and entry.rank(wanted, read.filters, document_id)
            if rank:
                found.append((rank, document_id))
        return sorted(found)[: read.limit]

    async def grow(self) -> None:
        """Make searches quicker, a little between two turns of the event loop."""
        has_more = self.segment.grow()
        while has_more:
            await asyncio.sleep(0)
            has_more = self.segment.grow()


class Searches:
    """The search indexes of one process."""

    def __init__(
        self, replica: Replica, store: SegmentStore | None = None, log: Log | None = None
    ) -> None:
        """`store`: of segments to begin with, brought up to date from `log`."""
        self._replica = replica
        self._kept = (store, log) if store is not None and log is not None else None
        self._names: dict[bytes, str] = {}
        self._building: dict[bytes, asyncio.Task[_TextIndex | _VectorIndex]] = {}
        self._built: dict[bytes, _TextIndex | _VectorIndex] = {}

    def watermark(self) -> int:
        """Commits after this ts are missing in some view: the tail must not forget them."""
        views = [each.view.watermark for each in self._built.values() if not each.view.is_lost]
        return min([self._replica.durable.ts, *views])

    async def warm(self) -> None:
        """Build the views of all search indexes of the deployment."""
        ts = self._replica.durable.ts
        for table in self._replica.catalog_at(ts).user_tables():
            for index in table.all_indexes:
                if index.target is not None:
                    await self._index(index.index_id, ts)

    async def advance(self) -> None:
        """Bring every view to the durable head, and forget those of indexes that are gone."""
        tables = self._replica.catalog_at(self._replica.durable.ts).user_tables()
        wanted = {index.index_id for table in tables for index in table.all_indexes}
        for gone in self._built.keys() - wanted:
            del self._built[gone]
        for each in tuple(self._built.values()):
            await each.view.advance()
            await each.grow()

    async def read(self, read: TextRead | VectorRead, snapshot: Snapshot) -> Page:
        """The results of a search at a snapshot."""
        index = await self._index(read.index_id, snapshot.ts)
        if isinstance(read, TextRead):
            assert isinstance(index, _TextIndex)
            found = index.find(read, snapshot.ts)
            rows = await _rows(read.index_id, found[: read.limit], snapshot)
            return Page(rows, len(found) <= read.limit)
        assert isinstance(index, _VectorIndex)
        found = index.find(read, snapshot.ts)
        if not read.with_documents:
            return Page(tuple([Row(rank, 0, b"") for rank, _ in found]), done=True)
        return Page(await _rows(read.index_id, found, snapshot), done=True)

    async def _index(self, wanted: bytes, ts: int) -> _TextIndex | _VectorIndex:
        """The view of an index, built if it is not there; searches wait for one build together."""
        built = self._built.get(wanted)
        if built is not None and not built.view.is_lost:
            return built
        building = self._building.get(wanted)
        if building is None:
            building = asyncio.get_running_loop().create_task(self._build(wanted, ts))
            self._building[wanted] = building
            building.add_done_callback(lambda _: self._building.pop(wanted))
        return await asyncio.shield(building)

    async def _build(self, wanted: bytes, ts: int) -> _TextIndex | _VectorIndex:
        table, index = self._definition(wanted, ts)
        kind = _TextIndex if isinstance(index.target, TextTarget) else _VectorIndex
        is_stored = self._kept is not None
        built = kind(self._replica, table, index, is_stored=is_stored)
        name = f"{wanted.hex()}-{built.format}"
        self._names.pop(wanted, None)
        if self._kept is not None:
            store, log = self._kept
            stored = await store.load(name)
            if stored is not None:
                resumed = kind(self._replica, table, index, stored.content, is_stored=True)
                if await resumed.view.resume(stored.position, log):
                    self._built[wanted], self._names[wanted] = resumed, name
                    return resumed
        await built.view.build()
        self._built[wanted] = built
        return built

    async def keep(self) -> None:
        """Store what is new, or has changed much, for processes that begin to search."""
        assert self._kept is not None, "there is a store"
        store, _ = self._kept
        await self.warm()
        await self.advance()
        for wanted, each in tuple(self._built.items()):
            durable = self._replica.durable
            is_due = wanted not in self._names or each.view.taken >= STORED_AFTER_CHANGES
            if is_due and each.view.watermark == durable.ts and not each.view.is_lost:
                name = f"{wanted.hex()}-{each.format}"
                await store.save(name, StoredSegment(durable, each.segment.dump()))
                self._names[wanted] = name
                each.view.taken = 0

    def _definition(self, wanted: bytes, ts: int) -> tuple[int, IndexInfo]:
        number = int.from_bytes(wanted[:4])
        table = self._replica.catalog_at(ts).table_by_number(number)
        for index in table.all_indexes if table is not None else ():
            if index.index_id == wanted:
                return number, index
        raise UnavailableError("IndexGone", "The index that is searched has been dropped.")

    async def close(self) -> None:
        """Give up on builds under way."""
        building = list(self._building.values())
        for task in building:
            task.cancel()
        await asyncio.gather(*building, return_exceptions=True)


async def _rows(
    searched: bytes, found: Sequence[tuple[bytes, str]], snapshot: Snapshot
) -> tuple[Row, ...]:
    """The documents that a search has found, as its rows."""
    by_id = index_id(int.from_bytes(searched[:4]), BY_ID)
    keys = [by_id + encode_value(document_id) for _, document_id in found]
    pages = await snapshot.read([RangeRead(key, key + b"\x00", 1) for key in keys])
    rows = [
        Row(rank, row.ts, row.document)
        for (rank, _), page in zip(found, pages, strict=True)
        for row in page.rows
    ]
    if len(rows) < len(found):
        raise UnavailableError("SearchInterrupted", "The log was loaded again; search again.")
    return tuple(rows)

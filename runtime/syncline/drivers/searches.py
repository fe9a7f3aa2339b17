"""Searches at a snapshot: builds the views of search indexes, and keeps them near the log's head.

A view is built from the documents when its index is first searched, or at start if the deployment
has it then; it is in memory, and made anew after a reset of the log. What it finds is read from the
snapshot, as any other row is.
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from syncline.drivers.replica import Replica
from syncline.drivers.search_view import SearchView
from syncline.drivers.snapshot_reader import Snapshot
from syncline.errors import UnavailableError
from syncline.index.index_definition import BY_ID, index_id
from syncline.index.key_encoding import encode_value
from syncline.ports import Page, RangeRead, Row, TextRead
from syncline.query.search_entries import text_entry
from syncline.schema.catalog import IndexInfo, TextTarget

if TYPE_CHECKING:
    from syncline.search.entries import TextEntry


class _TextIndex:
    """A search index: its segment, and the view that keeps it true."""

    def __init__(self, replica: Replica, table: int, index: IndexInfo) -> None:
        # Loaded by deployments that search.
        from syncline.segments.text_segment import TextSegment

        self.segment = TextSegment()
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


class Searches:
    """The search indexes of one process."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._building: dict[bytes, asyncio.Task[_TextIndex]] = {}
        self._built: dict[bytes, _TextIndex] = {}

    def watermark(self) -> int:
        """Commits after this ts are missing in some view: the tail must not forget them."""
        views = [each.view.watermark for each in self._built.values() if not each.view.is_lost]
        return min([self._replica.durable.ts, *views])

    async def warm(self) -> None:
        """Build the views of all search indexes of the deployment."""
        ts = self._replica.durable.ts
        for table in self._replica.catalog_at(ts).user_tables():
            for index in table.all_indexes:
                if isinstance(index.target, TextTarget):
                    await self._index(index.index_id, ts)

    async def advance(self) -> None:
        """Bring every view to the durable head, and forget those of indexes that are gone."""
        tables = self._replica.catalog_at(self._replica.durable.ts).user_tables()
        wanted = {index.index_id for table in tables for index in table.all_indexes}
        for gone in self._built.keys() - wanted:
            del self._built[gone]
        for each in tuple(self._built.values()):
            await each.view.advance()

    async def read(self, read: TextRead, snapshot: Snapshot) -> Page:
        """The results of a search at a snapshot."""
        index = await self._index(read.index_id, snapshot.ts)
        found = index.find(read, snapshot.ts)
        shown = found[: read.limit]
        by_id = index_id(int.from_bytes(read.index_id[:4]), BY_ID)
        keys = [by_id + encode_value(document_id) for _, document_id in shown]
        pages = await snapshot.read([RangeRead(key, key + b"\x00", 1) for key in keys])
        rows = [
            Row(rank, row.ts, row.document)
            for (rank, _), page in zip(shown, pages, strict=True)
            for row in page.rows
        ]
        if len(rows) < len(shown):
            raise UnavailableError("SearchInterrupted", "The log was loaded again; search again.")
        return Page(tuple(rows), len(found) <= read.limit)

    async def _index(self, wanted: bytes, ts: int) -> _TextIndex:
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

    async def _build(self, wanted: bytes, ts: int) -> _TextIndex:
        built = _TextIndex(self._replica, *self._definition(wanted, ts))
        await built.view.build()
        self._built[wanted] = built
        return built

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

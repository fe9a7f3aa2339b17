"""Reading the results of a text search row by row, the run's own writes among them.

The snapshot's results are asked for in pages, best first; documents that this run has written are
taken out of them, and its own versions, if they match, put in where they rank. Keys are the index's
id and the rank, so that a page's cursor works as it does for an index.
"""

from collections import deque
from collections.abc import Iterator

from syncline.index.key_range import KeyRange
from syncline.limits import SEARCH_RESULTS_MAX
from syncline.ports import Row, TextRead
from syncline.query.search_entries import text_entry
from syncline.query.search_filter import SearchFilter
from syncline.schema.catalog import IndexInfo, TableInfo
from syncline.search.scoring import ranked_id
from syncline.transaction.read_request import ReadRequest
from syncline.transaction.transaction import Transaction, decode_document
from syncline.transaction.usage import LimitExceededError

_ROWS_PER_READ = 64
"""Results asked for at first when the number wanted is unknown."""


class SearchScan:
    """One pass over results. `next_row` hands out (key, document) until it returns None."""

    def __init__(
        self,
        transaction: Transaction,
        table: TableInfo,
        index: IndexInfo,
        search: SearchFilter,
        stretch: KeyRange,
        wanted: int | None,
    ) -> None:
        """`stretch`: the part of the results that counts; `wanted`: about how many of it."""
        self._index_id = index.index_id
        self._search = search
        self._terms = search.terms()
        self._hi = stretch.hi
        self._after = stretch.lo.removeprefix(index.index_id)
        self._step = min(wanted or _ROWS_PER_READ, SEARCH_RESULTS_MAX)
        self._buffer: deque[Row] = deque()
        self._is_done = not self._terms or stretch.lo >= stretch.hi
        self._results = 0
        # All of it, whatever is looked at: any document in the scope could come to rank higher.
        transaction.reads.add_range(search.scope(index.index_id))
        written = transaction.written(table)
        self._hidden = {document_id for document_id, _ in written}
        self._own = deque(
            [found for found in self._ranked(index, written) if found[0] > self._after]
        )

    def _ranked(
        self, index: IndexInfo, written: list[tuple[str, bytes | None]]
    ) -> list[tuple[bytes, bytes]]:
        """This run's matching documents as (rank, document), best first."""
        found: list[tuple[bytes, bytes]] = []
        for document_id, encoded in written if self._terms else ():
            entry = text_entry(index, decode_document(encoded)) if encoded is not None else None
            rank = entry and entry.rank(self._terms, self._search.equal, document_id)
            if rank and encoded is not None:
                found.append((rank, encoded))
        return sorted(found)

    async def next_row(self) -> tuple[bytes, bytes] | None:
        """The next result; LimitExceededError once it has looked at more than a search may."""
        while not self._buffer and not self._is_done:
            await self._read()
        row = self._buffer[0] if self._buffer else None
        if self._own and (row is None or self._own[0][0] < row.key):
            found = self._own.popleft()
        elif row is not None:
            self._buffer.popleft()
            found = (row.key, row.document)
        else:
            return None
        key = self._index_id + found[0]
        if key >= self._hi:
            self._finish()
            return None
        self._results += 1
        if self._results > SEARCH_RESULTS_MAX:
            raise LimitExceededError(
                "TooManySearchResults",
                f"The search on index {self._search.index} looked at more than "
                f"{SEARCH_RESULTS_MAX} results. Use take or paginate, or another filter field.",
            )
        return key, found[1]

    def _finish(self) -> None:
        self._is_done = True
        self._buffer.clear()
        self._own.clear()

    async def _read(self) -> None:
        read = TextRead(self._index_id, self._terms, self._search.equal, self._after, self._step)
        (page,) = await ReadRequest((read,))
        self._buffer.extend(self._visible(page.rows))
        self._is_done = page.done
        if page.rows:
            self._after = page.rows[-1].key
        self._step = min(self._step * 2, SEARCH_RESULTS_MAX)

    def _visible(self, rows: tuple[Row, ...]) -> Iterator[Row]:
        for row in rows:
            if ranked_id(row.key) not in self._hidden:
                yield row

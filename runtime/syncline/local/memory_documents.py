"""Documents in memory: the newest version of every index entry, rebuilt from the log at start.

Adapter of the port `Documents` for one process. Rows and tombstones carry the ts of the commit that
wrote them and every write is conditional on a lower stored ts (protocols.md rule 13), exactly as
the DynamoDB adapter does it, so that one contract suite describes both.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

from sortedcontainers import SortedDict

from syncline.commit.record import Commit, Loaded, Position
from syncline.ports import Log, RangeRead, StoredPage, StoredRow

_Entry = tuple[int, bytes | None]


class MemoryDocuments:
    """Index entries sorted by key; a row is (ts, document), a tombstone (ts, None)."""

    def __init__(self) -> None:
        self._rows: SortedDict[bytes, _Entry] = SortedDict()
        self._tombstones: deque[tuple[int, bytes]] = deque()
        self._position = Position(0, 0)

    async def watermark(self) -> int:
        """The ts up to which every commit has been applied."""
        return self._position.ts

    async def position(self) -> Position:
        """The commit up to which every one has been applied."""
        return self._position

    async def read(self, reads: Sequence[RangeRead]) -> Sequence[StoredPage]:
        """One page a read: at most `limit` rows and tombstones in key order (or reversed)."""
        return [self._page(read) for read in reads]

    def _page(self, read: RangeRead) -> StoredPage:
        rows = self._rows
        keys: Iterator[bytes] = rows.irange(
            read.lo, read.hi, inclusive=(True, False), reverse=read.reverse
        )
        found: list[StoredRow] = []
        for key in islice(keys, read.limit):
            ts, document = rows[key]
            found.append(StoredRow(key, ts, document))
        return StoredPage(tuple(found), len(found) < read.limit)

    async def apply(self, commits: Sequence[Commit]) -> None:
        """Apply commits in ts order and move the watermark; applying one twice changes nothing."""
        for commit in commits:
            for change in commit.changes:
                for key in change.keys_before:
                    if key not in change.keys_after:
                        self._put(key, commit.ts, None)
                for key in change.keys_after:
                    self._put(key, commit.ts, change.after)
            if commit.ts > self._position.ts:
                self._position = Position(commit.ts, commit.nonce)

    def _put(self, key: bytes, ts: int, document: bytes | None) -> None:
        stored = self._rows.get(key)
        if stored is not None and stored[0] >= ts:
            return
        if document is None:
            self._tombstones.append((ts, key))
        self._rows[key] = (ts, document)

    async def add_index_rows(self, rows: Sequence[StoredRow]) -> None:
        """Backfill entries of an index, each unless a newer one is stored."""
        for row in rows:
            self._put(row.key, row.ts, row.document)

    async def drop_index(self, index_id: bytes) -> None:
        """Remove every entry of one index (its id is never used again)."""
        gone = list(self._rows.irange(index_id, index_id + b"\xff"))
        for key in gone:
            del self._rows[key]

    async def drop_entries(self, index_id: bytes, at_most: int) -> int:
        """Remove entries of one index, at most so many; returns how many, 0 when none is left."""
        gone = list(islice(self._rows.irange(index_id, index_id + b"\xff"), at_most))
        for key in gone:
            del self._rows[key]
        return len(gone)

    async def collect_tombstones(self, before: int) -> None:
        """Forget tombstones older than `before`: no snapshot below it is read any more."""
        while self._tombstones and self._tombstones[0][0] < before:
            ts, key = self._tombstones.popleft()
            if self._rows.get(key) == (ts, None):
                del self._rows[key]

    async def open(self, log: Log) -> Position:
        """Load the log's snapshot; its position is where the tail begins."""
        loaded = await log.load()
        await self.fill(loaded)
        return loaded.position

    async def fill(self, loaded: Loaded) -> None:
        """Replace everything by the log's snapshot; its position becomes the watermark."""
        rows: dict[bytes, _Entry] = {}
        async for batch in loaded.documents:
            for stored in batch:
                entry = (stored.ts, stored.document)
                for key in stored.keys:
                    rows[key] = entry
        self._tombstones.clear()
        self._rows = SortedDict(rows)
        self._position = loaded.position

    def __len__(self) -> int:
        return len(self._rows)

"""Reads at one ts: stored documents with the log's tail laid over them (protocols.md rules 9, 10).

The store holds the newest version of each entry up to its watermark W; the tail holds every recent
commit, also those not applied yet and speculative layers. A page at ts T is the stored page, with
each entry that the tail knows to have changed replaced by its state at T: newer changes are undone,
unapplied ones added. So every snapshot that the tail reaches back to can be read exactly.

Where others apply commits too, a page may hold rows that this tail has not heard of. Then the tail
is fetched up to the durable head, which covers every applied row, before the page is laid over: a
read costs the log a call only if it met such a row, and never makes a function run again.
"""

from collections.abc import Sequence
from typing import Protocol

from syncline.commit.tail import Tail
from syncline.environment_ports import EnvironmentRead
from syncline.errors import UnavailableError
from syncline.ports import Documents, Page, RangeRead, Read, Row, StoredPage, TextRead, VectorRead


class TailSource(Protocol):
    """Where the tail comes from; needed if others apply commits to the store."""

    def durable_ts(self) -> int:
        """Up to where the tail is complete."""
        ...

    async def fetch(self) -> None:
        """Complete the tail up to the durable head. Raises UnavailableError."""
        ...


class SearchReads(Protocol):
    """Answers searches at a snapshot."""

    async def read(self, read: TextRead | VectorRead, snapshot: "Snapshot") -> Page:
        """The results of a search, read from the snapshot."""
        ...


class EnvironmentReads(Protocol):
    """Answers reads of the environment at a snapshot."""

    async def read(self, read: EnvironmentRead, snapshot: "Snapshot") -> Page:
        """The variables whose rows the snapshot has, with their values."""
        ...


class SnapshotReader:
    """Makes `SnapshotReads` at any ts that the tail covers.

    `source` None: nobody else applies commits to the store.
    """

    def __init__(self, documents: Documents, tail: Tail, source: TailSource | None = None) -> None:
        self.documents = documents
        self.tail = tail
        self.source = source
        self.searches: SearchReads | None = None
        """Set where functions may search."""
        self.environment: EnvironmentReads | None = None
        """Set where functions run."""
        self.is_retired = False
        """The log was reset: store and tail begin anew, for another reader."""

    def at(self, ts: int) -> "Snapshot":
        """Reads at `ts`; ts may be ahead of the store's watermark by what the tail holds.

        Raises UnavailableError("OutOfRetention") when the tail has lost that ts already.
        """
        if ts < self.tail.floor:
            raise _out_of_retention(ts)
        return Snapshot(self, ts)


class Snapshot:
    """All reads at one ts.

    Raises UnavailableError: "OutOfRetention" when the tail lost that ts, "SnapshotLost" when the
    log was reset since.
    """

    __slots__ = ("_reader", "ts")

    def __init__(self, reader: SnapshotReader, ts: int) -> None:
        self._reader = reader
        self.ts = ts

    async def read(self, reads: Sequence[Read]) -> Sequence[Page]:
        """One page a read, in the order asked."""
        ranges = [read for read in reads if isinstance(read, RangeRead)]
        pages = await self._ranges(ranges) if ranges else []
        if len(ranges) == len(reads):
            return pages
        rest = iter(pages)
        return [
            next(rest) if isinstance(read, RangeRead) else await self._other(read) for read in reads
        ]

    async def _other(self, read: TextRead | VectorRead | EnvironmentRead) -> Page:
        if isinstance(read, EnvironmentRead):
            environment = self._reader.environment
            assert environment is not None, "whoever runs functions has an environment"
            return await environment.read(read, self)
        searches = self._reader.searches
        assert searches is not None, "whoever runs functions can search"
        return await searches.read(read, self)

    async def _ranges(self, reads: Sequence[RangeRead]) -> list[Page]:
        # The watermark is read before any data: an older one is only slower (rule 9).
        watermark = await self._reader.documents.watermark()
        stored = await self._stored(reads)
        return [
            await self._complete(read, page, watermark)
            for read, page in zip(reads, stored, strict=True)
        ]

    async def _stored(self, reads: Sequence[RangeRead]) -> Sequence[StoredPage]:
        """Stored pages of which the tail knows every row that is too new."""
        reader = self._reader
        pages = await reader.documents.read(reads)
        source = reader.source
        if source is not None:
            newest = max((row.ts for page in pages for row in page.rows), default=0)
            if newest > max(self.ts, source.durable_ts()):
                await source.fetch()
        if reader.is_retired:
            raise UnavailableError("SnapshotLost", "The log was reset; read again.")
        return pages

    def _require_coverage(self, watermark: int) -> None:
        floor = self._reader.tail.floor
        if self.ts < floor or watermark < floor:
            raise _out_of_retention(self.ts)

    async def _complete(self, read: RangeRead, page: StoredPage, watermark: int) -> Page:
        """Overlay the tail, reading on while tombstones or undone rows leave the page short."""
        lo, hi = read.lo, read.hi
        live: list[Row] = []
        while True:
            window_lo, window_hi = lo, hi
            if not page.done:
                last = page.rows[-1].key
                if read.reverse:
                    window_lo = last
                else:
                    window_hi = last + b"\x00"
            # Before each page, since the tail may have been shortened while one was fetched.
            self._require_coverage(watermark)
            live.extend(self._overlay(page, window_lo, window_hi, reverse=read.reverse))
            if len(live) > read.limit or (len(live) == read.limit and not page.done):
                return Page(tuple(live[: read.limit]), done=False)
            if page.done:
                return Page(tuple(live), done=True)
            if read.reverse:
                hi = window_lo
            else:
                lo = window_hi
            # A longer step than what is missing: runs of tombstones cost few round trips.
            step = max(read.limit - len(live), 64)
            (page,) = await self._stored([RangeRead(lo, hi, step, read.reverse)])

    def _overlay(self, page: StoredPage, lo: bytes, hi: bytes, *, reverse: bool) -> list[Row]:
        tail = self._reader.tail
        changed = tail.entries(lo, hi)
        if not changed:
            return [
                Row(row.key, row.ts, row.document) for row in page.rows if row.document is not None
            ]
        rows: dict[bytes, Row] = {
            row.key: Row(row.key, row.ts, row.document)
            for row in page.rows
            if row.document is not None
        }
        for key in changed:
            ts, document = tail.state_at(key, self.ts)
            if document is None:
                rows.pop(key, None)
            else:
                rows[key] = Row(key, ts, document)
        return [rows[key] for key in sorted(rows, reverse=reverse)]


def _out_of_retention(ts: int) -> UnavailableError:
    return UnavailableError(
        "OutOfRetention",
        f"The snapshot at {ts} is older than what is kept in memory; ask for a newer timestamp.",
    )

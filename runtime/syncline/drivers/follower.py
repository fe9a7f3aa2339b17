"""Keeps a shared view of the log true, and how executors see it (architecture.md, "The follower").

One process applies: it reads the log after the view's own position and puts what it finds into the
view, in order. Two at once do no harm, since every put is conditional on a lower ts (protocols.md
rule 13). Executors only read the view; what it lacks yet, and what it has too early for a snapshot,
they take from the tail of the log.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final, Protocol

from syncline.commit.record import Commit, Position, Reset, TailReply
from syncline.drivers.replica import TABLES
from syncline.drivers.table_rows import dropped_indexes
from syncline.errors import DeveloperError, UnavailableError
from syncline.index.index_definition import BY_ID, index_id
from syncline.index.key_encoding import prefix_successor
from syncline.limits import TAIL_REPLY_BYTES_MAX, TOMBSTONE_SECONDS
from syncline.ports import Documents, Log, RangeRead, StoredPage, StoredRow

ENTRIES_DROPPED_MAX: Final = 10_000
"""Of removed indexes in one sweep; ours: some seconds of deletes, eight at once."""

_TABLES_PAGE: Final = 100


class View(Documents, Protocol):
    """Documents that outlive every process."""

    async def position(self) -> Position:
        """The watermark with its commit's nonce, read strongly."""
        ...

    async def drop_entries(self, index_id: bytes, at_most: int) -> int:
        """Remove entries of one index, at most so many; returns how many, 0 when none is left."""
        ...


class Follower:
    """Applies the log to a view."""

    def __init__(
        self,
        log: Log,
        view: View,
        *,
        applied: Sequence[Callable[[Sequence[Commit]], Awaitable[None]]] = (),
    ) -> None:
        """`applied`: told of the commits that the view has now; of some of them more than once."""
        self._log = log
        self._view = view
        self._applied = applied
        self._emptied: set[bytes] = set()
        """Indexes that this process has seen to the end of."""

    async def catch_up(self, seen: dict[Position, TailReply] | None = None) -> Position:
        """Apply up to the durable head; returns the view's position.

        The first page is put into `seen`, by what it follows.

        Raises:
            UnavailableError: the log can't be reached, or "ViewLost": the log no longer has what
                follows the view's position. Rebuild the view.
        """
        position = await self._view.position()
        while True:
            reply = await self._log.tail(position, bytes_max=TAIL_REPLY_BYTES_MAX)
            if isinstance(reply, Reset):
                raise UnavailableError(
                    "ViewLost",
                    f"The log does not have the commit at {position.ts} up to which the view was "
                    "built: it was restored, or pruned too far. Rebuild the view.",
                )
            if seen is not None and not seen:
                seen[position] = reply
            if reply.commits:
                await self._view.apply(reply.commits)
                for tell in self._applied:
                    await tell(reply.commits)
                position = Position(reply.commits[-1].ts, reply.commits[-1].nonce)
            if position.ts >= reply.head.ts:
                break
        return position

    async def forget_tombstones(self, now_ns: int) -> None:
        """Let go of those that no snapshot and no late writer needs any more (rule 13)."""
        await self._view.collect_tombstones(now_ns - TOMBSTONE_SECONDS * 10**9)

    async def forget_indexes(self, now_ns: int) -> None:
        """Remove entries of indexes that a push took away, at most `ENTRIES_DROPPED_MAX` of them.

        What is left is found by the next one, whoever runs it: the rows of `_tables` tell. An index
        stays for as long as a snapshot from before the push may be read (protocols.md rule 9).
        """
        left = ENTRIES_DROPPED_MAX
        async for row in self._table_rows():
            if row.document is None or row.ts >= now_ns - TOMBSTONE_SECONDS * 10**9:
                continue
            for index in dropped_indexes(row.document):
                while index not in self._emptied:
                    if left <= 0:
                        return
                    removed = await self._view.drop_entries(index, left)
                    left -= removed
                    if not removed:
                        self._emptied.add(index)

    async def _table_rows(self) -> AsyncGenerator[StoredRow, None]:
        lo = index_id(TABLES, BY_ID)
        hi = prefix_successor(lo)
        assert hi is not None
        is_done = False
        while not is_done:
            (page,) = await self._view.read([RangeRead(lo, hi, _TABLES_PAGE)])
            for row in page.rows:
                yield row
                lo = row.key + b"\x00"
            is_done = page.done


class FollowedDocuments:
    """An executor's documents: a view that a follower applies the log to (engine.Store).

    `may_backfill`: whether this process is allowed to write entries of new indexes.
    """

    def __init__(self, view: View, *, may_backfill: bool = True) -> None:
        self._view = view
        self._may_backfill = may_backfill

    async def open(self, log: Log) -> Position:
        """Nothing is loaded: the view is complete up to its position."""
        del log
        return await self._view.position()

    async def watermark(self) -> int:
        """The ts up to which the view is complete."""
        return await self._view.watermark()

    async def read(self, reads: Sequence[RangeRead]) -> Sequence[StoredPage]:
        """One page a read."""
        return await self._view.read(reads)

    async def apply(self, commits: Sequence[Commit]) -> None:
        """The follower's work."""

    async def add_index_rows(self, rows: Sequence[StoredRow]) -> None:
        """Backfill of a push, which this process has been asked to do.

        Raises:
            DeveloperError: NeedsDeploy: executors may not write documents but through the log.
        """
        if not self._may_backfill:
            raise DeveloperError(
                "NeedsDeploy",
                "This push adds an index to a table that has documents, and only a deploy may "
                "build it: run `syncline deploy`. Nothing of the push is deployed.",
            )
        await self._view.add_index_rows(rows)

    async def drop_index(self, index_id: bytes) -> None:
        """The follower's work."""

    async def collect_tombstones(self, before: int) -> None:
        """The follower's work."""

"""The log of a deployment that sleeps: it marks before it commits, and asks a clean marker first.

protocols.md rule 16. Executors come and go, and followers are woken by hints that may be lost; so
before a process appends for the first time it marks the deployment as having something to do, and
every append carries that mark. A sweep (drivers/sweep.py) closes marks when nothing is left to do.
While the marker is clean, the durable head is the watermark: reading needs no call to the log, and
a paused database stays paused.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from syncline.commit.record import (
    Appended,
    AppendReply,
    Closed,
    CommitRequest,
    Committed,
    Duplicate,
    Loaded,
    Position,
    Reset,
    TailReply,
)
from syncline.ports import Log, Marker


class MarkedLog:
    """The port Log over another one.

    Args:
        log: the log itself.
        marker: shared by every process that appends to it.
        hint: tells the follower that the durable head is at least a ts; may fail, or be lost.
    """

    def __init__(
        self, log: Log, marker: Marker, *, hint: Callable[[int], Coroutine[Any, Any, None]]
    ) -> None:
        self._log = log
        self._marker = marker
        self._hint = hint
        self._mark = 0
        self._hints: set[asyncio.Task[None]] = set()

    async def append(
        self,
        batch: Sequence[CommitRequest],
        *,
        standing_on: Position,
        exclusive: bool,
        mark: int | None = None,
    ) -> AppendReply:
        """Commit a batch under this process's mark, made first if there is none yet."""
        assert mark is None, "the mark is made here"
        while True:
            self._mark = self._mark or await self._marker.mark(0)
            reply = await self._log.append(
                batch, standing_on=standing_on, exclusive=exclusive, mark=self._mark
            )
            if not isinstance(reply, Closed):
                break
            self._mark = await self._marker.mark(reply.mark)
        if isinstance(reply, Appended) and any(
            isinstance(result, Committed) for result in reply.results
        ):
            task = asyncio.get_running_loop().create_task(self._hint(reply.position.ts))
            self._hints.add(task)
        return reply

    async def settle(self) -> None:
        """Wait for the hints that are under way.

        Raises:
            BaseException: what a hint raised; it may be lost, since the sweep finds the mark.
        """
        hints, self._hints = self._hints, set()
        await asyncio.gather(*hints)

    async def close_mark(self, mark: int) -> Position:
        """Refuse every append with a mark up to this one."""
        return await self._log.close_mark(mark)

    async def tail(self, after: Position, *, bytes_max: int) -> TailReply | Reset:
        """Commits after a position, from the marker alone if there can be none."""
        if await self._marker.settled() == after:
            return TailReply((), after)
        return await self._log.tail(after, bytes_max=bytes_max)

    async def outcome(self, session: str, request: int) -> Duplicate | None:
        """What was recorded under (session, request)."""
        return await self._log.outcome(session, request)

    async def load(self) -> Loaded:
        """The snapshot at the folded position."""
        return await self._log.load()

    async def fold(self, up_to: int, *, commits_max: int) -> Position:
        """Move versions up to `up_to` into the snapshot table."""
        return await self._log.fold(up_to, commits_max=commits_max)

    async def prune(self, *, keep_after: int, records_before: int) -> int:
        """Forget old commits and request records, a step at a time."""
        return await self._log.prune(keep_after=keep_after, records_before=records_before)

    async def add_index_keys(self, keys: Sequence[tuple[str, int, bytes]]) -> None:
        """Backfill entry keys."""
        await self._log.add_index_keys(keys)

    async def report_applied(self, view: str, ts: int) -> None:
        """A view has applied everything up to `ts`."""
        await self._log.report_applied(view, ts)

    async def close(self) -> None:
        """Close the log."""
        await self._log.close()

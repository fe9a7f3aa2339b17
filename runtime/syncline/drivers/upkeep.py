"""What a deployment owes to its log: applying, matching, folding, and saying when all is done.

Run after commits, by hints that may be lost, and by a sweep as long as the marker is dirty
(protocols.md rules 8, 13, 16, 17). Several at once do no harm.
"""

from syncline.commit.record import Position, TailReply
from syncline.drivers.follower import Follower
from syncline.drivers.matcher import Matcher
from syncline.limits import FOLD_COMMITS_MAX, HISTORY_DAYS, REQUEST_RECORD_DAYS
from syncline.ports import Clock, Log, Marker

QUIET_NS = 60 * 10**9
"""So long after the newest commit a mark is closed; ours: whoever is warm would have to mark
again, so that closing after every commit would cost more calls than it saves."""

_DAY_NS = 86_400 * 10**9


class Upkeep:
    """One deployment's."""

    def __init__(
        self,
        log: Log,
        *,
        follower: Follower,
        matcher: Matcher,
        marker: Marker,
        clock: Clock,
        quiet_ns: int = QUIET_NS,
    ) -> None:
        self._log = log
        self._follower = follower
        self._matcher = matcher
        self._marker = marker
        self._clock = clock
        self._quiet_ns = quiet_ns

    async def catch_up(self) -> Position:
        """Apply what is durable, wake whom it touches; returns how far the view has come.

        Raises UnavailableError: what is left is done by the next one.
        """
        applied, _ = await self._catch_up()
        return applied

    async def _catch_up(self) -> tuple[Position, Position]:
        # Both mostly stand at the same commit: what one has read serves the other.
        seen: dict[Position, TailReply] = {}
        applied = await self._follower.catch_up(seen)
        return applied, await self._matcher.catch_up(seen)

    async def sweep(self) -> bool:
        """Everything that is left to do; True: nothing is, and the marker says so.

        A clean marker costs one look at it, and the log is left asleep.
        """
        mark = await self._marker.dirty()
        if mark is None:
            return True
        applied, matched = await self._catch_up()
        await self._log.report_applied("documents", applied.ts)
        await self._log.report_applied("matched", matched.ts)
        await self._keep_short(applied.ts)
        await self._follower.forget_tombstones(self._clock.now_ns())
        await self._follower.forget_indexes(self._clock.now_ns())
        if self._clock.now_ns() - applied.ts < self._quiet_ns:
            return False
        # Under the lock that orders appends: none with this mark follows the head it returns.
        head = await self._log.close_mark(mark)
        return await self._marker.clear(mark, head)

    async def _keep_short(self, applied: int) -> None:
        """Move a step of what has been applied into the snapshot, and forget what is too old."""
        await self._log.fold(applied, commits_max=FOLD_COMMITS_MAX)
        now = self._clock.now_ns()
        await self._log.prune(
            keep_after=now - HISTORY_DAYS * _DAY_NS,
            records_before=now - REQUEST_RECORD_DAYS * _DAY_NS,
        )

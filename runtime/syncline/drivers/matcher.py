"""Matches the log with the interests of stored sessions, and wakes those it touches.

protocols.md rule 17: the matcher has a cursor of its own in the log and reads interest strongly,
after the commits are durable. It moves the cursor only after every wakeup is in its queue; dying in
between wakes sessions twice, which costs time and nothing else.
"""

from typing import cast

from syncline.commit.record import Position, Reset, TailReply
from syncline.limits import TAIL_REPLY_BYTES_MAX
from syncline.ports import InterestStore, Log, MatchCursor, SessionWakeups


class Matcher:
    """One matcher; several at once do no harm.

    `interest` holds pairs (connection, number) as `StoredSessions` registers them.
    """

    def __init__(
        self, log: Log, *, interest: InterestStore, cursor: MatchCursor, wakeups: SessionWakeups
    ) -> None:
        self._log = log
        self._interest = interest
        self._cursor = cursor
        self._wakeups = wakeups

    async def catch_up(self, seen: dict[Position, TailReply] | None = None) -> Position:
        """Match up to the durable head, and say up to where. Raises LogUnavailable.

        `seen`: pages of the tail that were read just now, by what they follow.
        """
        position = await self._cursor.load()
        while True:
            reply = seen.pop(position, None) if seen else None
            reply = reply or await self._log.tail(position, bytes_max=TAIL_REPLY_BYTES_MAX)
            if isinstance(reply, Reset):
                # What is no longer in the log lies in its snapshot: match everything after that.
                position = (await self._log.load()).position
                continue
            if reply.commits:
                write_keys = {
                    key
                    for commit in reply.commits
                    for change in commit.changes
                    for key in change.write_keys
                }
                await self._match(write_keys, reply.commits[-1].ts)
                position = Position(reply.commits[-1].ts, reply.commits[-1].nonce)
                await self._cursor.advance(position)
            if position.ts >= reply.head.ts:
                break
        return position

    async def _match(self, write_keys: set[bytes], ts: int) -> None:
        touched = await self._interest.match(write_keys)
        connections = {connection for connection, _ in cast("set[tuple[str, int]]", set(touched))}
        for connection in sorted(connections):
            await self._wakeups.wake(connection, ts)

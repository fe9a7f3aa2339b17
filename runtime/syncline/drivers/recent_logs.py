"""The newest function calls of a process, for whoever follows the logs (docs/logs.md).

Each has a cursor: about the time it ended, in milliseconds since the epoch, and greater than the
one before, so that a reader who asks for what is after a cursor misses nothing and sees nothing
twice, as long as it asks before the oldest are forgotten. More than a thousand calls a second
bring cursors ahead of the clock; a reader who comes with one of a process before this one, which
may be such a cursor, is shown all that this one has.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from syncline.drivers.log_events import LogEvent
from syncline.function_path import SYSTEM_PREFIX
from syncline.limits import LOGS_KEPT_BYTES_MAX, LOGS_KEPT_MAX
from syncline.ports import Clock


@dataclass(frozen=True, slots=True)
class LogPage:
    """What came after a cursor, oldest first, and the cursor to ask from next."""

    events: Sequence[LogEvent]
    cursor: int


class FunctionLogs(Protocol):
    """Calls of functions, wherever they are kept."""

    async def after(self, cursor: int, seconds: float) -> LogPage:
        """What came after `cursor` (ms), 0 for what is kept of before, which is answered at once.

        Otherwise it waits for the first, at most `seconds`; then the page may be empty.
        """
        ...


class RecentLogs:
    """A ring of them in memory (FunctionLogs)."""

    def __init__(
        self, clock: Clock, *, kept_max: int = LOGS_KEPT_MAX, bytes_max: int = LOGS_KEPT_BYTES_MAX
    ) -> None:
        self._clock = clock
        self._kept_max = kept_max
        self._bytes_max = bytes_max
        self._events: deque[LogEvent] = deque()
        self._cursors: deque[int] = deque()
        self._bytes = 0
        self._last = clock.now_ns() // 1_000_000
        self._waiting: set[asyncio.Future[None]] = set()
        self._is_closed = False

    def add(self, event: LogEvent) -> None:
        """Keep one more; the oldest go."""
        if event.path.startswith(SYSTEM_PREFIX):
            return
        self._last = max(self._last + 1, self._clock.now_ns() // 1_000_000)
        self._events.append(event)
        self._cursors.append(self._last)
        self._bytes += _size(event)
        while len(self._events) > self._kept_max or self._bytes > self._bytes_max:
            self._bytes -= _size(self._events.popleft())
            self._cursors.popleft()
        self._wake()

    async def after(self, cursor: int, seconds: float) -> LogPage:
        """The port's."""
        if cursor > self._last:
            cursor = 0
        if cursor == self._last and not self._is_closed:
            arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(arrived)
            try:
                async with asyncio.timeout(seconds):
                    await arrived
            except TimeoutError:
                pass
            finally:
                self._waiting.discard(arrived)
        first = bisect_right(self._cursors, cursor)
        events = [self._events[at] for at in range(first, len(self._events))]
        return LogPage(events, self._last)

    def close(self) -> None:
        """Answer everybody who waits; nobody waits from now on."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for each in waiting:
            if not each.done():
                each.set_result(None)


def _size(event: LogEvent) -> int:
    """Bytes, about: what users decide, and a little for the rest."""
    return 512 + sum(map(len, event.log_lines)) + len(event.error or "")

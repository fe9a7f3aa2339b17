"""Mutations and actions of one socket: which ids were seen, what waits and what runs.

Mutations run strictly one at a time in the order of arrival, actions beside each other
(convex-protocol.md 1.5). An id is answered once only: PyPI reconnects on a second answer.
"""

from bisect import bisect_right

import msgspec

from syncline.sync.effects import RunMutation


class Requests(msgspec.Struct):
    """The requests of one socket."""

    seen_from: list[int] = []
    seen_to: list[int] = []
    """Ids seen, as ascending runs [from, to): counters make it one run, or a few."""
    waiting: list[RunMutation] = []
    running: RunMutation | None = None
    actions: dict[int, None] = {}

    def is_new(self, request_id: int) -> bool:
        """Whether the id was never seen on this socket; it counts as seen from now on."""
        if self.seen_to and self.seen_to[-1] == request_id:
            self.seen_to[-1] = request_id + 1
            return True
        at = bisect_right(self.seen_from, request_id)
        if at and request_id < self.seen_to[at - 1]:
            return False
        self._insert(at, request_id)
        return True

    def _insert(self, at: int, request_id: int) -> None:
        joins_before = at > 0 and self.seen_to[at - 1] == request_id
        joins_after = at < len(self.seen_from) and self.seen_from[at] == request_id + 1
        if joins_before and joins_after:
            self.seen_to[at - 1] = self.seen_to.pop(at)
            del self.seen_from[at]
        elif joins_before:
            self.seen_to[at - 1] = request_id + 1
        elif joins_after:
            self.seen_from[at] = request_id
        else:
            self.seen_from.insert(at, request_id)
            self.seen_to.insert(at, request_id + 1)

    @property
    def seen_from_zero(self) -> int:
        """The first id from 0 up that was not seen."""
        return self.seen_to[0] if self.seen_from and self.seen_from[0] == 0 else 0

    @property
    def seen_runs(self) -> int:
        """How many runs of ids are remembered: what a client with odd ids costs."""
        return len(self.seen_from)

    @property
    def mutations(self) -> int:
        """Mutations that wait or run."""
        return len(self.waiting) + (self.running is not None)

    def next_mutation(self) -> RunMutation | None:
        """The mutation to start now, if none runs."""
        if self.running is not None or not self.waiting:
            return None
        self.running = self.waiting.pop(0)
        return self.running

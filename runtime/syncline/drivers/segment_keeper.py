"""Keeps search segments in a store, so that a process that begins need not read all documents.

Run now and then by one process, mostly the follower's; two at once only do the same work twice. A
stored segment names the commit that it stands at; whoever loads it takes up what follows from the
log's tail, and builds one from the documents if the log has lost that commit.
"""

from syncline.commit.record import Position
from syncline.commit.tail import Tail
from syncline.drivers.follower import FollowedDocuments, View
from syncline.drivers.replica import Replica, catch_up, read_tail
from syncline.drivers.searches import Searches
from syncline.limits import TAIL_BYTES_MAX, TAIL_SECONDS
from syncline.ports import Log
from syncline.segments.store import SegmentStore


class SegmentKeeper:
    """The segments of one deployment."""

    def __init__(self, log: Log, view: View, store: SegmentStore) -> None:
        self._log = log
        self._documents = FollowedDocuments(view, may_backfill=False)
        self._replica = Replica(self._documents, Tail(), Position(0, 0))
        self._replica.source = self
        self._searches = Searches(self._replica, store, log)
        self._replica.serve_searches(self._searches)
        self._is_loaded = False

    async def keep(self) -> None:
        """Store the segments that are new, or have changed much. UnavailableError: not now."""
        await self.fetch()
        await self._searches.keep()
        oldest = self._replica.durable.ts - TAIL_SECONDS * 10**9
        await self._replica.shorten(oldest, TAIL_BYTES_MAX, self._searches.watermark())

    def durable_ts(self) -> int:
        """Up to where this process has heard of the log (snapshot_reader.TailSource)."""
        return self._replica.durable.ts

    async def fetch(self) -> None:
        """Hear of the log up to its durable head; after a reset all of it anew."""
        if self._is_loaded:
            self._is_loaded = await catch_up(self._replica, self._log, _no_layers) is not None
        while not self._is_loaded:
            position = await self._documents.open(self._log)
            commits = await read_tail(self._log, position)
            if commits is not None:
                await self._replica.load(position, commits)
                self._is_loaded = True


def _no_layers() -> None:
    """Whoever only follows has no speculative layers to drop."""

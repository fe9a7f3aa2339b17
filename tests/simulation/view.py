"""Documents that all nodes share, in generations (protocols.md 13, 14), as DynamoDB holds them.

Every node applies what it has learned to be durable; puts are conditional on a lower ts, so that
doing it several times changes nothing. A restore rebuilds the view beside the old one: what a node
has learned before goes to the old one still, so nothing that was lost gets into the new one.
"""

from collections.abc import Sequence

from syncline.commit.record import (
    AppendReply,
    Commit,
    CommitRequest,
    Loaded,
    Position,
    Reset,
    TailReply,
)
from syncline.local.memory_documents import MemoryDocuments
from syncline.ports import LogUnavailable, RangeRead, StoredPage, StoredRow
from syncline.simulated.memory_log import MemoryLog
from syncline.simulated.world import World


class View:
    """The newest generation of one deployment's view."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.newest = MemoryDocuments()

    async def rebuild(self, loaded: Loaded, commits: Sequence[Commit]) -> None:
        """Build a new generation beside the old one, from snapshot and tail, and switch to it."""
        generation = MemoryDocuments()
        await generation.fill(loaded)
        await generation.apply(commits)
        self.newest = generation


class NodeLog:
    """The port Log for one node: what it answers belongs to the generation that was newest then."""

    def __init__(self, log: MemoryLog, view: View) -> None:
        self._log = log
        self._view = view
        self.generation = view.newest

    async def append(
        self, batch: Sequence[CommitRequest], *, standing_on: Position, exclusive: bool
    ) -> AppendReply:
        before = self._view.newest
        reply = await self._log.append(batch, standing_on=standing_on, exclusive=exclusive)
        self._require_same(before)
        return reply

    async def tail(self, after: Position, *, bytes_max: int) -> TailReply | Reset:
        before = self._view.newest
        reply = await self._log.tail(after, bytes_max=bytes_max)
        self._require_same(before)
        return reply

    def _require_same(self, before: MemoryDocuments) -> None:
        if self._view.newest is not before:
            raise LogUnavailable("LogUnavailable", "The log was restored meanwhile.")
        self.generation = before

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)


class NodeDocuments:
    """The port Documents for one node. Which generation is read is decided with the watermark."""

    def __init__(self, view: View, log: NodeLog) -> None:
        self._view = view
        self._log = log
        self._generation = view.newest

    async def fill(self, loaded: Loaded) -> None:
        """Nothing to load: the view holds everything up to the snapshot."""

    async def watermark(self) -> int:
        """The ts up to which everything has been applied."""
        await self._view.world.pause("documents: watermark")
        self._generation = self._view.newest
        return await self._generation.watermark()

    async def read(self, reads: Sequence[RangeRead]) -> Sequence[StoredPage]:
        """One page a read, each at a moment of its own."""
        pages: list[StoredPage] = []
        for read in reads:
            await self._view.world.pause("documents: read")
            pages.extend(await self._generation.read([read]))
        return pages

    async def apply(self, commits: Sequence[Commit]) -> None:
        """Apply commits one after the other; the watermark follows each."""
        generation = self._log.generation
        for commit in commits:
            await self._view.world.pause("documents: apply")
            await generation.apply([commit])

    async def add_index_rows(self, rows: Sequence[StoredRow]) -> None:
        """Backfill."""
        for row in rows:
            await self._view.world.pause("documents: backfill")
            await self._generation.add_index_rows([row])

    async def drop_index(self, index_id: bytes) -> None:
        """Remove an index."""
        await self._view.world.pause("documents: drop")
        await self._generation.drop_index(index_id)

    async def collect_tombstones(self, before: int) -> None:
        """Forget tombstones."""
        await self._generation.collect_tombstones(before)

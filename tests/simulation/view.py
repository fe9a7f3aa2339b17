"""Documents that all nodes share, in generations (protocols.md 13, 14), as DynamoDB holds them.

Whoever follows the log puts what is durable into the view, one commit after the other; several may
do it at once. A restore rebuilds the view beside the old one: a follower that asked for the
position before goes on with the old one, so nothing that was lost gets into the new one.
"""

from collections.abc import Sequence

from syncline.commit.record import Commit, Loaded, Position
from syncline.local.memory_documents import MemoryDocuments
from syncline.ports import RangeRead, StoredPage, StoredRow
from syncline.simulated.world import World


class Generations:
    """The newest generation of one deployment's view."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.newest = MemoryDocuments()

    async def position(self) -> Position:
        """The commit up to which everything has been applied to the newest one."""
        return await self.newest.position()

    async def rebuild(self, loaded: Loaded, commits: Sequence[Commit]) -> None:
        """Build a new generation beside the old one, from snapshot and tail, and switch to it."""
        generation = MemoryDocuments()
        await generation.fill(loaded)
        await generation.apply(commits)
        self.newest = generation


class SharedView:
    """The port View for one reader or follower, who looks for the newest generation first."""

    def __init__(self, generations: Generations) -> None:
        self._generations = generations
        self._pause = generations.world.pause
        self._generation = generations.newest

    async def watermark(self) -> int:
        """The ts up to which everything has been applied."""
        return (await self.position()).ts

    async def position(self) -> Position:
        """The commit up to which everything has been applied."""
        await self._pause("view: position")
        self._generation = self._generations.newest
        return await self._generation.position()

    async def read(self, reads: Sequence[RangeRead]) -> Sequence[StoredPage]:
        """One page a read, each at a moment of its own."""
        pages: list[StoredPage] = []
        for read in reads:
            await self._pause("view: read")
            pages.extend(await self._generation.read([read]))
        return pages

    async def apply(self, commits: Sequence[Commit]) -> None:
        """Apply commits one after the other; the watermark follows each."""
        generation = self._generation
        for commit in commits:
            await self._pause("view: apply")
            await generation.apply([commit])

    async def add_index_rows(self, rows: Sequence[StoredRow]) -> None:
        """Backfill."""
        for row in rows:
            await self._pause("view: backfill")
            await self._generation.add_index_rows([row])

    async def drop_index(self, index_id: bytes) -> None:
        """Remove an index."""
        await self._pause("view: drop")
        await self._generation.drop_index(index_id)

    async def drop_entries(self, index_id: bytes, at_most: int) -> int:
        """Remove a step of an index."""
        await self._pause("view: drop")
        return await self._generation.drop_entries(index_id, at_most)

    async def collect_tombstones(self, before: int) -> None:
        """Forget tombstones."""
        await self._generation.collect_tombstones(before)

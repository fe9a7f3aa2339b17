"""The port Marker in a simulated world: one item that all nodes read strongly (rule 16)."""

import asyncio
from collections.abc import Awaitable, Callable

from syncline.commit.record import Position
from syncline.simulated.world import World

CLEAR_SECONDS = (0.0, 0.05, 0.5)
"""Between closing a mark and clearing the marker, in simulated time."""


class MemoryMarker:
    """`applied` and `matched` say where the view and the matcher stand, without a pause."""

    def __init__(
        self,
        world: World,
        *,
        applied: Callable[[], Awaitable[Position]],
        matched: Callable[[], Position],
    ) -> None:
        self._world = world
        self._draws = world.random("marker")
        self._applied = applied
        self._matched = matched
        self._number = 0
        self._is_dirty = False

    async def mark(self, above: int) -> int:
        """Make it dirty under a number greater than `above`."""
        await self._world.pause("marker: mark")
        if not self._is_dirty or self._number <= above:
            self._number = max(self._number, above) + 1
            self._is_dirty = True
        await self._world.pause("marker: marked")
        return self._number

    async def settled(self) -> Position | None:
        """The watermark, if the marker is clean."""
        await self._world.pause("marker: read")
        if self._is_dirty:
            return None
        self._world.probe("marker: clean")
        return await self._applied()

    async def dirty(self) -> int | None:
        """The mark under which something may be left to do."""
        await self._world.pause("marker: read")
        return self._number if self._is_dirty else None

    async def clear(self, mark: int, at: Position) -> bool:
        """Make it clean, unless somebody has marked again or something stands elsewhere."""
        await self._world.pause("marker: clear")
        # A sweeper may be slow, and others commit meanwhile.
        await asyncio.sleep(self._draws.choice(CLEAR_SECONDS))
        is_settled = mark == self._number and await self._applied() == at and self._matched() == at
        if is_settled:
            self._is_dirty = False
            self._world.probe("marker: cleared")
        return is_settled

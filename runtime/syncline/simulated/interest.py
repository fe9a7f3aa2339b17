"""The port InterestStore in a simulated world: shared by its processes, and not at once.

Registering takes effect somewhere between the call and its answer, as a database's write does.
"""

import asyncio
from collections.abc import Collection, Hashable, Sequence

from syncline.index.key_range import KeyRange
from syncline.simulated.world import World
from syncline.subscription.interest import InterestIndex


class SimulatedInterest:
    """One store.

    `is_late`: rule 17 switched off; a registration is answered long before it takes effect, so
    that what is validated meanwhile counts as validated before it was registered.
    """

    def __init__(self, world: World, *, is_late: bool = False) -> None:
        self._world = world
        self._is_late = is_late
        self._index = InterestIndex()
        self._numbers: dict[Hashable, int] = {}
        self._gone: set[Hashable] = set()

    async def register(self, query: Hashable, ranges: Sequence[KeyRange]) -> None:
        """The query's interest from now on."""
        self._numbers.setdefault(query, len(self._numbers))
        if self._is_late:
            asyncio.get_running_loop().call_later(0.05, self._register_late, query, ranges)
            return
        await self._world.pause("interest: register")
        self._index.register(query, ranges)
        await self._world.pause("interest: registered")

    def _register_late(self, query: Hashable, ranges: Sequence[KeyRange]) -> None:
        if query not in self._gone:
            self._index.register(query, ranges)

    async def match(self, write_keys: Collection[bytes]) -> Collection[Hashable]:
        """Every query that has one of the keys in its ranges."""
        await self._world.pause("interest: match")
        # In an order that is the same in every run of the seed: sets of objects have none.
        return sorted(self._index.match(write_keys), key=self._numbers.__getitem__)

    def unregister(self, query: Hashable) -> None:
        """The query is no longer interested."""
        self._gone.add(query)
        self._index.unregister(query)

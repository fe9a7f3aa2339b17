"""The interest index of one process as the port `InterestStore`."""

from collections.abc import Collection, Hashable, Sequence

from syncline.index.key_range import KeyRange
from syncline.subscription.interest import InterestIndex


class MemoryInterest:
    """Adapter of the port over the pure index; nothing ever waits."""

    def __init__(self) -> None:
        self._index = InterestIndex()

    async def register(self, query: Hashable, ranges: Sequence[KeyRange]) -> None:
        """The query's interest from now on."""
        self._index.register(query, ranges)

    async def match(self, write_keys: Collection[bytes]) -> Collection[Hashable]:
        """Every query that has one of the keys in its ranges."""
        return self._index.match(write_keys)

    def unregister(self, query: Hashable) -> None:
        """The query is no longer interested."""
        self._index.unregister(query)

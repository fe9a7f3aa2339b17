"""What the contract of the interest store runs against."""

from collections.abc import AsyncIterator, Callable, Collection, Hashable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from syncline.aws.dynamo_interest import DynamoInterest
from syncline.drivers.memory_interest import MemoryInterest
from syncline.index.key_range import KeyRange
from syncline.ports import InterestStore
from tests.contract.moto_tables import moto_table

OpenInterest = Callable[[], AbstractAsyncContextManager[InterestStore]]
"""Opens an empty store; it is gone when the block ends."""


@dataclass(frozen=True)
class InterestBackend:
    open: OpenInterest
    examples: int
    """How many a property is tried with: some stores are slow."""


@asynccontextmanager
async def memory_interest() -> AsyncIterator[InterestStore]:
    yield MemoryInterest()


class NamedInterest:
    """A DynamoInterest whose queries are names."""

    def __init__(self, store: DynamoInterest) -> None:
        self._store = store

    async def register(self, query: Hashable, ranges: Sequence[KeyRange]) -> None:
        await self._store.register((query, 1), ranges)

    async def match(self, write_keys: Collection[bytes]) -> Collection[Hashable]:
        return {name for name, _ in await self._store.match(write_keys)}

    def unregister(self, query: Hashable) -> None:
        self._store.unregister((query, 1))


@asynccontextmanager
async def dynamo_interest() -> AsyncIterator[InterestStore]:
    with moto_table("interest", {"b": "B", "q": "B"}):
        store = DynamoInterest("interest")
        yield NamedInterest(store)
        await store.settle()


INTEREST: dict[str, InterestBackend] = {
    "memory": InterestBackend(memory_interest, 60),
    "dynamodb": InterestBackend(dynamo_interest, 8),
}
"""Every adapter by name: a new one is added here."""

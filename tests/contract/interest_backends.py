"""What the contract of the interest store runs against."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from syncline.drivers.memory_interest import MemoryInterest
from syncline.ports import InterestStore

OpenInterest = Callable[[], AbstractAsyncContextManager[InterestStore]]
"""Opens an empty store; it is gone when the block ends."""


@asynccontextmanager
async def memory_interest() -> AsyncIterator[InterestStore]:
    yield MemoryInterest()


INTEREST: dict[str, OpenInterest] = {"memory": memory_interest}
"""Every adapter by name: a new one is added here."""

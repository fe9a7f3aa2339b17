"""Lanes for contended keys: mutations that conflict on one key run one after the other.

Without them, n mutations of one hot document that run side by side would each be overtaken n - 1
times. A lane is held from the start of a run until its draft is queued (not until it is durable),
so the document moves at the speed of the batch. Calls equal to one that conflicted lately go
straight into its lane.
"""

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Lane:
    key: bytes
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    calls: set[tuple[str, bytes]] = field(default_factory=set[tuple[str, bytes]])


class Contention:
    """The lanes in use; a lane that nobody uses is forgotten."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, _Lane] = {}
        self._by_call: dict[tuple[str, bytes], _Lane] = {}

    def known(self, call: tuple[str, bytes]) -> bytes | None:
        """The key that an equal call is contending for at the moment."""
        lane = self._by_call.get(call)
        return lane.key if lane else None

    async def enter(self, key: bytes, call: tuple[str, bytes]) -> None:
        """Wait for the turn of `call` in the lane of `key`."""
        lane = self._by_key.setdefault(key, _Lane(key))
        lane.users += 1
        lane.calls.add(call)
        self._by_call[call] = lane
        await lane.lock.acquire()

    def leave(self, key: bytes) -> None:
        """Let the next one run."""
        lane = self._by_key[key]
        lane.lock.release()
        lane.users -= 1
        if not lane.users:
            del self._by_key[key]
            for call in lane.calls:
                if self._by_call.get(call) is lane:
                    del self._by_call[call]

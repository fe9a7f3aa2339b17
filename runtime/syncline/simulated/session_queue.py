"""A first-in-first-out queue with a group per connection, as SQS offers it, in a simulated world.

The first message of a group is given out, again after its visibility timeout or whenever the world
doubles it, also while a slow handler is still at work with it; the next one of the group follows
only when it has been deleted. Nothing is lost, whichever process crashes.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from syncline.simulated.world import DUPLICATE, World
from syncline.sync.delivery import Event, QueueMessage, Refresh

VISIBILITY_SECONDS: Final = 20.0
"""A message that was not deleted for so long is given out again; ours, for short worlds."""

PLACE: Final = "session queue"


@dataclass(slots=True, eq=False)
class _Queued:
    sequence: int
    event: Event
    receives: int = 0


@dataclass(slots=True, eq=False)
class _Group:
    messages: deque[_Queued] = field(default_factory=deque[_Queued])
    is_given_out: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was given out; `delete` it when it has been handled."""

    connection: str
    message: QueueMessage
    receipt: _Queued


class SessionQueue:
    """The queue; also the port SessionWakeups."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._groups: dict[str, _Group] = {}
        self._available: deque[str] = deque()
        self._waiting: list[asyncio.Future[None]] = []
        self._sequence = 0

    def put(self, connection: str, event: Event) -> None:
        """Put a message behind the others of its connection."""
        self._sequence += 1
        group = self._groups.setdefault(connection, _Group())
        group.messages.append(_Queued(self._sequence, event))
        if len(group.messages) == 1:
            self._offer(connection)

    async def wake(self, connection: str, ts: int | None = None) -> None:
        """Put a Refresh, unless one waits behind everything else already."""
        await self._world.pause(f"{PLACE}: wake")
        group = self._groups.get(connection)
        if group is None or len(group.messages) < 2 or group.messages[-1].event != Refresh(ts):
            self.put(connection, Refresh(ts))

    def _offer(self, connection: str) -> None:
        self._available.append(connection)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def receive(self) -> Delivery:
        """The next message; it belongs to the caller until its timeout."""
        while True:
            while self._available:
                connection = self._available.popleft()
                group = self._groups[connection]
                if group.messages and not group.is_given_out:
                    return self._give_out(connection, group)
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter

    def _give_out(self, connection: str, group: _Group) -> Delivery:
        queued = group.messages[0]
        queued.receives += 1
        group.is_given_out = True
        delay = VISIBILITY_SECONDS
        if self._world.happens(DUPLICATE, PLACE):
            delay = self._world.draw_delay()
        loop = self._world.loop
        context = loop.context_of(loop.root)
        loop.call_later(delay, self._expire, connection, queued, queued.receives, context=context)
        message = QueueMessage(queued.sequence, queued.receives, queued.event)
        return Delivery(connection, message, queued)

    def _expire(self, connection: str, queued: _Queued, receives: int) -> None:
        group = self._groups[connection]
        if group.messages and group.messages[0] is queued and queued.receives == receives:
            group.is_given_out = False
            self._world.probe(f"{PLACE}: given out again")
            self._offer(connection)

    def delete(self, delivery: Delivery) -> None:
        """The message has been handled; deleting it twice changes nothing."""
        group, queued = self._groups[delivery.connection], delivery.receipt
        if group.messages and group.messages[0] is queued:
            group.messages.popleft()
            group.is_given_out = False
            if group.messages:
                self._offer(delivery.connection)

    @property
    def is_empty(self) -> bool:
        """Whether every message has been handled."""
        return not any(group.messages for group in self._groups.values())

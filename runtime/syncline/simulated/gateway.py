"""API Gateway in a simulated world: sockets that outlive executors, and what it keeps no order of.

Also the store of sessions: both live as long as the world. Posts fail as the real ones do: the
connection is gone, or nobody knows whether the frame arrived.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from syncline.commit.record import Position
from syncline.ports import ConnectionGone, DeliveryInDoubt, SessionRecord
from syncline.simulated.channel import STREAM, Channel, Line
from syncline.simulated.session_queue import SessionQueue
from syncline.simulated.world import LOSE, World
from syncline.sync.client_kind import ClientKind
from syncline.sync.delivery import Left, Opened, Received, Tick

UNORDERED: Final = Line(in_order=False, once=True, surely=True)

DOUBT: Final = "doubt"
"""A frame arrives, but its sender is not told."""

PLACE: Final = "gateway post"


@dataclass(frozen=True, slots=True)
class _Socket:
    to_client: Channel[bytes | None]
    to_queue: Channel[str]
    lost: Callable[[], None]


class SimulatedGateway:
    """The port ConnectionGateway, and the clients' side of it."""

    def __init__(self, world: World, queue: SessionQueue) -> None:
        self._world = world
        self._queue = queue
        self._sockets: dict[str, _Socket] = {}
        self._opened = 0

    def connect(
        self,
        client: ClientKind,
        receive: Callable[[bytes], None],
        lost: Callable[[], None],
        *,
        keeps_order: bool,
    ) -> str:
        """Open a connection; returns its id.

        `keeps_order` False: messages overtake each other on their way into the queue (rule 20).
        """
        self._opened += 1
        connection = f"connection-{self._opened}"
        root = self._world.loop.root

        def deliver(frame: bytes | None) -> None:
            if frame is None:
                lost()
            else:
                receive(frame)

        def enqueue(text: str) -> None:
            self._queue.put(connection, Received(text))

        self._sockets[connection] = _Socket(
            Channel(self._world, "gateway out", STREAM, to=root, receive=deliver),
            Channel(
                self._world,
                "gateway in",
                STREAM if keeps_order else UNORDERED,
                to=root,
                receive=enqueue,
            ),
            lost,
        )
        self._queue.put(connection, Opened(client))
        return connection

    def send(self, connection: str, text: str) -> None:
        """The client sends a frame."""
        socket = self._sockets.get(connection)
        if socket is not None:
            socket.to_queue.send(text)

    def tick(self) -> None:
        """The minute's sweep: let time pass for every session."""
        for connection in self._sockets:
            self._queue.put(connection, Tick())

    async def post(self, connection: str, frame: bytes) -> None:
        """Send one frame to the client."""
        await self._world.pause(PLACE)
        socket = self._sockets.get(connection)
        if socket is None:
            raise ConnectionGone("ConnectionGone", "The client has left.")
        if not self._world.happens(LOSE, PLACE):
            socket.to_client.send(frame)
            if not self._world.happens(DOUBT, PLACE):
                return
        raise DeliveryInDoubt("DeliveryInDoubt", "The gateway did not answer in time.")

    async def disconnect(self, connection: str) -> None:
        """Close a connection from the server's side: what was posted before still arrives."""
        await self._world.pause("gateway: disconnect")
        socket = self._sockets.pop(connection, None)
        if socket is None:
            return
        socket.to_queue.cut()
        socket.to_client.send(None)
        self._queue.put(connection, Left())

    def close_all(self) -> None:
        """Every connection breaks."""
        for connection in list(self._sockets):
            self.close(connection)

    def close(self, connection: str) -> None:
        """The connection breaks; both sides are told."""
        socket = self._sockets.pop(connection, None)
        if socket is None:
            return
        socket.to_client.cut()
        socket.to_queue.cut()
        self._queue.put(connection, Left())
        loop = self._world.loop
        loop.call_soon(socket.lost, context=loop.context_of(loop.root))


class MemorySessionStore:
    """The port SessionStore.

    `is_careless`: rule 19 switched off; everything is stored, and nobody's `sending` is seen.
    """

    def __init__(self, world: World, *, is_careless: bool = False) -> None:
        self._world = world
        self._is_careless = is_careless
        self._records: dict[str, SessionRecord] = {}

    async def load(self, connection: str) -> SessionRecord | None:
        """The newest record."""
        await self._world.pause("session store: load")
        record = self._records.get(connection)
        if record is not None and self._is_careless:
            return replace(record, sending=False)
        return record

    async def put(self, connection: str, record: SessionRecord) -> bool:
        """Store by compare-and-set."""
        await self._world.pause("session store: put")
        stored = self._records.get(connection)
        expected = stored.version + 1 if stored else 1
        if record.version != expected and not self._is_careless:
            self._world.probe("session store: overtaken")
            return False
        self._records[connection] = record
        await self._world.pause("session store: stored")
        return True


class MemoryCursor:
    """The port MatchCursor."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.position = Position(0, 0)

    async def load(self) -> Position:
        """The stored position."""
        await self._world.pause("cursor: load")
        return self.position

    async def advance(self, position: Position) -> None:
        """Move forward."""
        await self._world.pause("cursor: advance")
        if position.ts > self.position.ts:
            self.position = position

"""What the clients of a world do: random calls, subscriptions, identities and lost connections.

Each client is the model of npm's (model_client.py); it keeps every Transition that it was shown for
the judge, and every outcome that it was told.
"""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from uuid import UUID

from syncline.simulated.event_loop import current_process
from tests.simulation.cluster import Cluster, Connection
from tests.simulation.model_client import ModelClient, Settled, Snapshot

CLOSED: Final = 0.15
"""How likely a step of a client breaks its connection."""

NAMES: Final = ("a", "b")
CHANNELS: Final = ("red", "blue")
USERS: Final = ("ada", "eve", None)

Json = dict[str, Any]


@dataclass(slots=True)
class Told:
    """What a client was told about a mutation."""

    session: str
    request: int
    path: str
    settled: Settled | None = None


@dataclass(eq=False)
class SimulatedClient:
    """One client and its user."""

    cluster: Cluster
    name: str
    random: Random
    snapshots: list[Snapshot] = field(default_factory=list[Snapshot])
    told: list[Told] = field(default_factory=list[Told])
    model: ModelClient = field(init=False)
    connection: Connection | None = None
    signs_in: bool = False

    def __post_init__(self) -> None:
        session = str(UUID(int=self.random.getrandbits(128), version=4))
        self.model = ModelClient(session, self.snapshots.append)
        self.signs_in = self.random.random() < 0.5

    # The connection

    async def stay_connected(self) -> None:
        """Connect, and again whenever the connection is lost."""
        while True:
            if self.connection is None:
                self._connect()
            await asyncio.sleep(self.random.uniform(0.05, 0.5))

    def _connect(self) -> None:
        cluster = self.cluster
        through = self.random.choice(["gateway", *(each.name for each in cluster.machines)])
        parts: list[Connection] = []

        def lost() -> None:
            if parts and self.connection is parts[0]:
                self.connection = None
                self.model.lost()

        connection = cluster.connect(
            lambda frame: self._receive(parts, frame),
            lost,
            through=through,
            # Nothing tells whether a mutation was sent before or after an Authenticate (rule 20).
            keeps_order=self.signs_in,
        )
        if connection is not None:
            parts.append(connection)
            self.connection = connection
            cluster.world.probe(f"connected through {through[:4]}")
            self.model.open(connection.send)

    def _receive(self, parts: list[Connection], frame: bytes) -> None:
        if parts and self.connection is parts[0]:
            self.model.receive(frame)

    def forget_history(self) -> None:
        """The deployment was restored: what was answered but not shown yet may be no more."""
        for request in self.model.requests.values():
            request.response = None

    # Its user

    async def live(self, steps: int) -> None:
        """Do `steps` things."""
        self._subscribe()
        for _ in range(steps):
            await asyncio.sleep(self.random.uniform(0, 0.4))
            self._act()

    def _act(self) -> None:
        draw = self.random.random()
        if draw < 0.62:
            self._mutate()
        elif draw < 0.74:
            self._subscribe()
        elif draw < 0.80:
            self._unsubscribe()
        elif draw < 0.86 and self.signs_in and not self.model.requests:
            # A mutation that is resent under another identity would be refused.
            self.model.authenticate(self.random.choice(USERS))
        elif draw > 1 - CLOSED / 2 and self.connection is not None:
            self.connection.cut()

    def _mutate(self) -> None:
        path, arguments = self._call()
        request = self.model.mutate(path, arguments, self._settle)
        self.told.append(Told(self.model.session_id, request, path))

    def _settle(self, settled: Settled) -> None:
        told = next(each for each in self.told if each.request == settled.request_id)
        assert told.settled is None, "settled twice"
        told.settled = settled

    def _call(self) -> tuple[str, Json]:
        pick = self.random.choice
        name, other = pick([NAMES, NAMES[::-1]])
        channel = pick(CHANNELS)
        text = f"{self.name} {len(self.told)}"
        calls: list[tuple[str, Json]] = [
            ("app:increment", {"name": name}),
            ("app:increment", {"name": name}),
            ("app:increment_up_to", {"name": name, "most": 4.0}),
            ("app:copy", {"source": name, "target": other}),
            ("app:say", {"channel": channel, "text": text}),
            ("app:say", {"channel": channel, "text": text}),
            ("app:forget", {"channel": channel}),
            ("app:peek", {}),
        ]
        return pick(calls)

    def _subscribe(self) -> None:
        pick = self.random.choice
        queries: list[tuple[str, Json]] = [
            ("app:channel", {"channel": pick(CHANNELS)}),
            ("app:total", {}),
            ("app:value_of", {"name": pick(NAMES)}),
            ("app:mine", {}),
            ("app:newest", {"paginationOpts": {"numItems": 3.0, "cursor": None, "id": 1.0}}),
        ]
        self.model.subscribe(*pick(queries))

    def _unsubscribe(self) -> None:
        if self.model.subscriptions:
            self.model.unsubscribe(self.random.choice(sorted(self.model.subscriptions)))

    @property
    def is_settled(self) -> bool:
        """Whether nothing is open at the moment."""
        try:
            self.model.assert_settled()
        except AssertionError:
            return False
        return True


def start_clients(cluster: Cluster, count: int) -> list[SimulatedClient]:
    """Clients that keep their connections, as tasks of the world."""
    world = cluster.world
    clients: list[SimulatedClient] = []
    for number in range(count):
        name = f"client{number}"
        client = SimulatedClient(cluster, name, world.random(name))
        clients.append(client)
        world.loop.spawn(current_process(), client.stay_connected(), name=name)
    return clients

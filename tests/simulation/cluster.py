"""A simulated deployment: nodes over one log, direct connections, and a gateway with its queue.

Every node runs the engine and both drivers of sessions: it holds sockets of its own, as the dev
server does, and handles messages of the session queue, as executors on AWS do. Nodes crash at
every pause point and come back; the log's database crashes and loses what it has not flushed.
"""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from msgspec import structs

from syncline.bundle_spec import BundleSpec
from syncline.commit.record import Commit
from syncline.drivers.answers import Caller
from syncline.drivers.authentication import Authenticator, identity_attributes
from syncline.drivers.credentials import Login
from syncline.drivers.engine import Engine
from syncline.drivers.follower import FollowedDocuments, Follower
from syncline.drivers.inline_runner import InlineRunner
from syncline.drivers.marked_log import MarkedLog
from syncline.drivers.matcher import Matcher
from syncline.drivers.sessions import Sessions
from syncline.drivers.stored_session import StoredSessions
from syncline.drivers.upkeep import Upkeep
from syncline.errors import DeveloperError, UnavailableError
from syncline.ports import FunctionCall, FunctionOutcome, SnapshotReads
from syncline.simulated.channel import HINTS, STREAM, Channel
from syncline.simulated.event_loop import Process
from syncline.simulated.gateway import MemoryCursor, MemorySessionStore, SimulatedGateway
from syncline.simulated.interest import SimulatedInterest
from syncline.simulated.marker import MemoryMarker
from syncline.simulated.memory_environment import MemoryEnvironment
from syncline.simulated.memory_log import FAULTS, MemoryLog
from syncline.simulated.session_queue import SessionQueue
from syncline.simulated.world import FaultPlan, Node, VirtualClock, World
from syncline.sync.client_kind import ClientKind
from syncline.sync.session import SessionLimits
from tests.simulation.view import Generations, SharedView

BUNDLES = Path(__file__).with_name("bundles")
NPM = ClientKind("npm", (1, 28, 0))
SWEEP_SECONDS = 2.0
"""Hints of commits get lost, so nodes look at the log now and then."""

TICK_SECONDS = 5.0
WORKERS = 2
"""Messages that a node handles at the same time."""

LATE_INTEREST = "interest"
CARELESS_STORE = "one sender"
BLIND_MUTATIONS = "read sets"
SWITCHES = frozenset({*FAULTS, LATE_INTEREST, CARELESS_STORE, BLIND_MUTATIONS})
"""Rules that can be switched off."""


class SharedRunner(InlineRunner):
    """One for all worlds: what it has imported stays."""

    async def close(self) -> None:
        """Nothing to do."""


class BlindRunner(SharedRunner):
    """Rule 1 switched off, in memory as in the database: mutations are seen to read nothing."""

    def __init__(self, runner: SharedRunner) -> None:
        self._runner = runner

    async def load(self, bundle: str, folder: Path) -> BundleSpec:
        return await self._runner.load(bundle, folder)

    async def run(self, call: FunctionCall, reads: SnapshotReads) -> FunctionOutcome:
        outcome = await self._runner.run(call, reads)
        return structs.replace(outcome, read_ranges=()) if call.kind == "mutation" else outcome


class SharedBundles:
    """Both bundles, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, source: Path) -> tuple[str, Path]:
        return source.name, source

    def empty(self) -> Path:
        return self._folder / "empty"

    def folder(self, bundle: str) -> Path | None:
        return self._folder / bundle


@dataclass(frozen=True)
class Functions:
    """The workload's functions, imported once a process."""

    runner: SharedRunner
    bundles: SharedBundles
    folders: tuple[Path, Path]


@cache
def functions() -> Functions:
    """Both bundles: the same calls, with lookups of their own."""
    root = Path(mkdtemp(prefix="syncline-simulation-"))
    (root / "empty").mkdir()
    runner = SharedRunner()
    folders: list[Path] = []
    for name in ("one", "two"):
        folder = root / name
        shutil.copytree(BUNDLES / name, folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(BUNDLES / "app.py", folder)
        folders.append(folder)

    async def load() -> None:
        await runner.load("", root / "empty")
        for folder in folders:
            spec = await runner.load(folder.name, folder)
            assert spec.functions

    asyncio.run(load())
    return Functions(runner, SharedBundles(root), (folders[0], folders[1]))


class AcceptingAuthenticator(Authenticator):
    """A token is the name of its user."""

    async def user(self, token: str) -> Login:
        return Login(Caller(identity_of(token)))


def identity_of(token: str) -> bytes:
    """The identity that a token gives."""
    return identity_attributes({"subject": token, "issuer": "https://simulated.invalid"})


class DirectSocket:
    """A connection that a node holds itself; the port Socket."""

    unsent_bytes = 0

    def __init__(self, to_client: Channel[bytes | None]) -> None:
        self._to_client = to_client
        self._queued: list[bytes] = []

    def send(self, messages: tuple[bytes, ...]) -> bool:
        self._queued.extend(messages)
        return True

    def flush(self) -> None:
        for message in self._queued:
            self._to_client.send(message)
        self._queued.clear()

    def close(self, code: int | None, reason: str) -> None:
        self.flush()
        self._to_client.send(None)


@dataclass(eq=False)
class Connection:
    """A client's end of a connection, however it is served."""

    send: Callable[[str], None]
    cut: Callable[[], None]


@dataclass(eq=False)
class Machine:
    """One node and what runs on it at the moment."""

    name: str
    node: Node | None = None
    engine: Engine | None = None
    sessions: Sessions | None = None
    connections: list[Connection] = field(default_factory=list[Connection])
    hints: Channel[None] | None = None
    is_hinted: asyncio.Event | None = None

    @property
    def process(self) -> Process:
        assert self.node is not None
        return self.node.process


class Cluster:
    """Everything on the server's side of one world.

    Args:
        switched_off: members of SWITCHES.
    """

    def __init__(
        self, seed: int, plan: FaultPlan, *, nodes: int = 2, switched_off: frozenset[str]
    ) -> None:
        assert switched_off <= SWITCHES, f"unknown rules: {sorted(switched_off - SWITCHES)}"
        self.world = world = World(seed, plan, steps_max=400_000)
        self.log = MemoryLog(
            world.clock,
            faults=switched_off & FAULTS,
            pause=world.pause,
            # Small ones, so that replies come in several pages.
            missing_bytes_max=4_096,
        )
        self.pruned: list[Commit] = []
        self.lost: list[Commit] = []
        """Commits that a restore has taken back."""
        self.is_open = True
        """Whether clients may connect."""
        self._late = LATE_INTEREST in switched_off
        self._is_blind = BLIND_MUTATIONS in switched_off
        self._interest = SimulatedInterest(world, is_late=self._late)
        self.view = Generations(world)
        self.queue = SessionQueue(world)
        self.gateway = SimulatedGateway(world, self.queue)
        self._store = MemorySessionStore(world, is_careless=CARELESS_STORE in switched_off)
        self._cursor = MemoryCursor(world)
        self._marker = MemoryMarker(
            world,
            applied=self.view.position,
            matched=lambda: self._cursor.position,
        )
        self._authenticator = AcceptingAuthenticator("simulated", bytes(32))
        self._skews = world.random("clock skews")
        self.machines = [Machine(f"node{number}") for number in range(nodes)]

    def start(self) -> None:
        """Boot every node, and what belongs to nobody."""
        for machine in self.machines:
            machine.node = self.world.start(
                machine.name, lambda machine=machine: self._boot(machine)
            )
            machine.node.on_crash = lambda machine=machine: _gone(machine)
        self.world.loop.spawn(self.world.loop.root, self._tick(), name="ticks")

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.gateway.tick()

    # A node

    async def _boot(self, machine: Machine) -> None:
        world = self.world
        loaded = functions()
        log = MarkedLog(self.log, self._marker, hint=lambda _: self._tell_all())
        engine = Engine(
            name=machine.name,
            log=log,
            documents=FollowedDocuments(SharedView(self.view)),
            others_apply=True,
            # One node as a process that commits much does it, the others as Lambdas do.
            pipelining=machine is self.machines[0],
            interest=SimulatedInterest(world, is_late=self._late),
            runner=BlindRunner(loaded.runner) if self._is_blind else loaded.runner,
            bundles=loaded.bundles,
            variables=MemoryEnvironment(),
            clock=VirtualClock(world.loop, self._skews.randrange(-(10**9), 10**9)),
            entropy=world.entropy,
        )
        await engine.start()
        stored = StoredSessions(
            engine,
            store=self._store,
            gateway=self.gateway,
            interest=self._interest,
            wakeups=self.queue,
            authenticator=self._authenticator,
            entropy=world.entropy,
            limits=SessionLimits(idle_ms=None, frame_bytes=128 * 1024),
        )
        upkeep = Upkeep(
            self.log,
            follower=Follower(self.log, SharedView(self.view)),
            matcher=Matcher(
                self.log, interest=self._interest, cursor=self._cursor, wakeups=self.queue
            ),
            marker=self._marker,
            clock=VirtualClock(world.loop, 0),
            # Marks are closed all the time, so that somebody always commits meanwhile.
            quiet_ns=0,
        )
        hinted = asyncio.Event()
        machine.hints = Channel(
            world, "hints", HINTS, to=machine.process, receive=lambda _: hinted.set()
        )
        machine.sessions = Sessions(engine, self._authenticator)
        machine.engine = engine
        machine.is_hinted = hinted
        run = asyncio.get_running_loop().create_task
        run(self._follow(engine, upkeep, hinted))
        run(self._tick_direct(machine.sessions))
        for _ in range(WORKERS):
            run(self._work(stored))

    async def _tell_all(self) -> None:
        """Hint at new commits; whoever hears it looks at the log himself."""
        for machine in self.machines:
            if machine.hints is not None:
                machine.hints.send(None)

    async def _follow(self, engine: Engine, upkeep: Upkeep, hinted: asyncio.Event) -> None:
        """What hints ask for, and now and then what is left; followers die between any steps."""
        while True:
            is_sweep = False
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await hinted.wait()
            except TimeoutError:
                is_sweep = True
            hinted.clear()
            await engine.committer.follow()
            try:
                if is_sweep:
                    await upkeep.sweep()
                else:
                    await upkeep.catch_up()
            except UnavailableError:
                continue

    async def _tick_direct(self, sessions: Sessions) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            sessions.tick()

    async def _work(self, stored: StoredSessions) -> None:
        while True:
            delivery = await self.queue.receive()
            try:
                await stored.handle(delivery.connection, delivery.message)
            except UnavailableError:
                # Given out again after its timeout.
                continue
            self.queue.delete(delivery)

    # Clients

    def connect(
        self,
        receive: Callable[[bytes], None],
        lost: Callable[[], None],
        *,
        through: str,
        keeps_order: bool,
    ) -> Connection | None:
        """A connection to the gateway, or to the node of that name; None: it is down."""
        if not self.is_open:
            return None
        if through == "gateway":
            return self._connect_gateway(receive, lost, keeps_order=keeps_order)
        machine = next(each for each in self.machines if each.name == through)
        if machine.sessions is None or machine.process.is_crashed:
            return None
        return self._connect_direct(machine, machine.sessions, receive, lost)

    def _connect_gateway(
        self, receive: Callable[[bytes], None], lost: Callable[[], None], *, keeps_order: bool
    ) -> Connection:
        gateway = self.gateway
        connection = gateway.connect(NPM, receive, lost, keeps_order=keeps_order)
        return Connection(
            lambda text: gateway.send(connection, text), lambda: gateway.close(connection)
        )

    def _connect_direct(
        self,
        machine: Machine,
        sessions: Sessions,
        receive: Callable[[bytes], None],
        lost: Callable[[], None],
    ) -> Connection:
        world, root = self.world, self.world.loop.root
        parts: dict[str, Any] = {}

        def end() -> None:
            connection = parts["connection"]
            if connection not in machine.connections:
                return
            machine.connections.remove(connection)
            parts["to_client"].cut()
            parts["to_server"].cut()
            if not parts["process"].is_crashed:
                world.loop.call_soon(
                    parts["driver"].closed, context=world.loop.context_of(parts["process"])
                )
            world.loop.call_soon(lost, context=world.loop.context_of(root))

        to_client: Channel[bytes | None] = Channel(
            world,
            "socket",
            STREAM,
            to=root,
            receive=lambda frame: end() if frame is None else receive(frame),
        )
        driver = sessions.open(NPM, DirectSocket(to_client))
        to_server: Channel[str] = Channel(
            world, "socket", STREAM, to=machine.process, receive=driver.receive
        )
        connection = Connection(to_server.send, end)
        parts |= {
            "connection": connection,
            "to_client": to_client,
            "to_server": to_server,
            "driver": driver,
            "process": machine.process,
        }
        machine.connections.append(connection)
        return connection

    # What an operator does

    async def push(self, number: int) -> None:
        """Deploy a bundle by any node that is up; it may die over it."""
        for machine in self.machines:
            engine = machine.engine
            if engine is not None and not machine.process.is_crashed:
                work = _push(engine, functions().folders[number])
                task = self.world.loop.spawn(machine.process, work, name="push")
                # A crash leaves the task unfinished for ever.
                await asyncio.wait([task], timeout=30)
                if task.done():
                    task.result()
                return

    async def shorten(self) -> None:
        """Fold what the view has applied into the snapshot, and prune what may go (rule 8)."""
        applied = await self.view.newest.watermark()
        await self.log.fold(applied, commits_max=10_000)
        kept = list(self.log.commits)
        await self.log.prune(keep_after=applied, records_before=0)
        remaining = {commit.ts for commit in self.log.commits}
        self.pruned += [commit for commit in kept if commit.ts not in remaining]
        self.world.probe("pruned")

    async def restore(self) -> None:
        """Restore a backup of a moment ago; every connection ends, what is warm stays warm.

        Clients come back when every node has looked at the log again, as docs/operations.md asks.
        """
        commits = [commit for commit in self.log.commits if commit.ts >= self.log.folded.ts]
        if not commits:
            return
        backup = commits[max(len(commits) - 4, 0)].ts
        self.is_open = False
        for machine in self.machines:
            _cut_all(machine)
        self.gateway.close_all()
        self.lost += [commit for commit in commits if commit.ts > backup]
        self.log.restore(backup)
        loaded = await self.log.load()
        after = [commit for commit in self.log.commits if commit.ts > loaded.position.ts]
        await self.view.rebuild(loaded, after)
        self.world.probe("restored")
        for machine in self.machines:
            await self._look_again(machine, self.log.head.ts)
        self.is_open = True

    async def _look_again(self, machine: Machine, head: int) -> None:
        for _ in range(60):
            engine = machine.engine
            if engine is not None and engine.durable_ts() >= head:
                return
            if machine.is_hinted is not None:
                machine.is_hinted.set()
            await asyncio.sleep(0.5)

    @property
    def history(self) -> Sequence[Commit]:
        """Every commit that counts, in ts order."""
        return [*self.pruned, *self.log.commits]


def _gone(machine: Machine) -> None:
    machine.engine = machine.sessions = machine.hints = None
    _cut_all(machine)


def _cut_all(machine: Machine) -> None:
    for connection in list(machine.connections):
        connection.cut()


async def _push(engine: Engine, folder: Path) -> None:
    """A push may be interrupted, or overtaken once nobody waits for it any more."""
    try:
        await engine.push(folder)
    except UnavailableError:
        pass
    except DeveloperError as error:
        if error.code != "PushOvertaken":
            raise

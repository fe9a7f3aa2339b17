"""A simulated world: a seed, its event loop, clock and randomness, and the faults that happen.

Everything in a world that is left to chance is drawn from its seed, each purpose from a stream of
its own, so that a change of one (a workload that draws once more) does not turn all others over.
Faults happen where the simulated adapters ask for them (`pause`, `happens`); every pause and every
fault that happened is counted as a probe, and a campaign of worlds fails when a probe that it
requires was never hit: a simulation that injects nothing proves nothing.

Equal seeds give equal worlds within one process of the interpreter. Between processes the hashes
of str and bytes differ, and with them the order of sets: set PYTHONHASHSEED to repeat a failure.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Self, TypeVar

from syncline.simulated.event_loop import STEPS_MAX, Process, SeededLoop, current_process

_T = TypeVar("_T")

EPOCH_NS: Final = 1_700_000_000_000_000_000
"""What the clocks of a world show at its beginning."""

CRASH: Final = "crash"
"""A process dies at a pause point."""
DELAY: Final = "delay"
"""A pause or a message takes long."""
DUPLICATE: Final = "duplicate"
"""A message that may arrive twice does."""
REORDER: Final = "reorder"
"""A message that may be overtaken lets later ones pass."""
LOSE: Final = "lose"
"""A message that may be lost (a wakeup) is."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """How likely each fault is whenever it could happen; nothing happens by default."""

    probabilities: Mapping[str, float] = field(default_factory=dict[str, float])
    """0 to 1 by fault ("crash"), or by fault and place ("crash at append: ordered"), which wins."""
    delay_seconds_max: float = 5.0
    """A delayed pause or message takes up to so many virtual seconds."""

    def __post_init__(self) -> None:
        assert all(0 <= chance <= 1 for chance in self.probabilities.values())

    def probability(self, fault: str, place: str) -> float:
        """The chance of a fault at a place."""
        general = self.probabilities.get(fault, 0.0)
        return self.probabilities.get(f"{fault} at {place}", general)


class VirtualClock:
    """The port Clock on virtual time; `skew_ns` off the world's true time."""

    def __init__(self, loop: SeededLoop, skew_ns: int = 0) -> None:
        self._loop = loop
        self.skew_ns = skew_ns

    def now_ns(self) -> int:
        """Nanoseconds since the epoch; steps when somebody changes `skew_ns`."""
        return EPOCH_NS + self._loop.now_ns + self.skew_ns


class SeededEntropy:
    """The port Entropy, drawn from the seed."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def bits(self, count: int) -> int:
        """A random number of `count` bits."""
        return self._random.getrandbits(count)


class World:
    """One simulated world, as a context manager.

    `run` something, check `probes` and what was left behind, and only then leave the context: that
    takes the suspended coroutines of all processes apart, `finally` blocks included.

    Args:
        seed: decides everything.
        plan: which faults happen how often.
        steps_max: StuckError after so many steps.
    """

    def __init__(
        self, seed: int, plan: FaultPlan | None = None, *, steps_max: int = STEPS_MAX
    ) -> None:
        self.seed = seed
        self.plan = plan or FaultPlan()
        self.loop = SeededLoop(self.random("schedule"), steps_max=steps_max)
        self.clock = VirtualClock(self.loop)
        """True time; a database's clock. Processes may have others: VirtualClock(loop, skew)."""
        self.entropy = SeededEntropy(self.random("entropy"))
        self.probes: Counter[str] = Counter()
        """How often each pause was passed and each fault happened."""
        self.is_calm = False
        """True: no fault happens any more, so that everything can settle."""
        self._faults = self.random("faults")
        self._nodes: dict[Process, Node] = {}

    def random(self, purpose: str) -> Random:
        """A stream of this seed for one purpose: the same each time that it is asked for."""
        return Random(f"{self.seed}/{purpose}")  # noqa: S311 - to be repeatable is its purpose

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.loop.close()

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        """Run to the end of `main`; what else is under way goes on in the next `run`.

        Raises what `main` raises, and StuckError and UnhandledError of the event loop.
        """
        return self.loop.run_until_complete(main)

    def happens(self, fault: str, place: str) -> bool:
        """Draw whether a fault happens at a place; one that does is counted and noted."""
        chance = self.plan.probability(fault, place)
        if self.is_calm or self._faults.random() >= chance:
            return False
        self.probe(f"{fault} at {place}")
        return True

    def probe(self, name: str) -> None:
        """Count that something worth reaching was reached."""
        self.probes[name] += 1
        self.loop.note(f"[{name}]")

    def draw_delay(self) -> float:
        """Virtual seconds for a delay that happens."""
        return self._faults.uniform(0, self.plan.delay_seconds_max)

    async def pause(self, point: str) -> None:
        """A named place where others may go on, and where the process may stall or die."""
        self.probe(f"pause at {point}")
        await asyncio.sleep(0)
        if self.happens(DELAY, point):
            await asyncio.sleep(self.draw_delay())
        process = current_process()
        if process in self._nodes and self.happens(CRASH, point):
            self._nodes[process].crash()
            await self.loop.create_future()  # frozen here: nothing of the process runs again

    def start(self, name: str, boot: Callable[[], Awaitable[None]]) -> "Node":
        """A process that can crash: `boot` runs in it now, and in a new one after each crash."""
        node = Node(self, name, boot)
        node.restart()
        return node

    def adopt(self, process: Process, node: "Node") -> None:
        """From now on `process` is what crashes when a pause of it decides so."""
        self._nodes[process] = node


class Node:
    """A machine of the world: one process after another, each booted after the last one crashed.

    `on_crash` is called, in nobody's process, when one has crashed: to cut its connections.
    """

    def __init__(self, world: World, name: str, boot: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self.crashes = 0
        self.on_crash: Callable[[], None] = _do_nothing
        self._world = world
        self._boot = boot
        self.process = Process(name)

    def restart(self) -> None:
        """Boot in a new process."""
        world = self._world
        self.process = Process(f"{self.name}.{self.crashes}")
        world.adopt(self.process, self)
        task = world.loop.spawn(self.process, self._run(), name=f"boot {self.name}")
        context = world.loop.context_of(world.loop.root)
        task.add_done_callback(_raise_failure, context=context)

    async def _run(self) -> None:
        await self._boot()

    def crash(self) -> None:
        """Kill the process; it comes back after a while."""
        loop = self._world.loop
        context = loop.context_of(loop.root)
        loop.crash(self.process)
        self.crashes += 1
        loop.call_soon(self.on_crash, context=context)
        loop.call_later(self._world.draw_delay(), self.restart, context=context)


def _raise_failure(task: asyncio.Task[None]) -> None:
    """A node that can't boot ends the run at once: `boot` has to try again what may fail."""
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


def _do_nothing() -> None:
    """What a node does about a crash unless told otherwise."""


def unhit(worlds: Iterable[Mapping[str, int]], required: Iterable[str]) -> list[str]:
    """The required probes that none of a campaign's worlds (their `probes`) has hit."""
    worlds = list(worlds)
    return [name for name in required if not any(probes.get(name) for probes in worlds)]

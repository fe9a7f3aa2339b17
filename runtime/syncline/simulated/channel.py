"""Messages between simulated processes, with the faults of the kind of line that carries them.

A stream is a socket: in order, once, and cut off at some point. A queue delivers in order, at least
once. Hints are wakeups: lost, doubled and overtaken, since nothing may depend on them
(architecture.md rule 2).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from syncline.simulated.event_loop import Process
from syncline.simulated.world import DELAY, DUPLICATE, LOSE, REORDER, World

_T = TypeVar("_T")

LATENCY_SECONDS_MAX: Final = 0.002
"""What a message takes that nothing delays; ours, within one data centre."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a kind of line promises; every promise not given is broken now and then."""

    in_order: bool
    once: bool
    surely: bool


STREAM: Final = Line(in_order=True, once=True, surely=True)
QUEUE: Final = Line(in_order=True, once=False, surely=True)
HINTS: Final = Line(in_order=False, once=False, surely=False)


class Channel(Generic[_T]):
    """One direction of a line to one process.

    Args:
        world: draws latencies and faults.
        name: the place in the world's fault plan and probes ("lose at <name>").
        line: what is promised.
        to: `receive` runs in this process, and no longer once it has crashed.
        receive: called with each message; it must not await.
    """

    def __init__(
        self, world: World, name: str, line: Line, *, to: Process, receive: Callable[[_T], None]
    ) -> None:
        self.name = name
        self._world = world
        self._line = line
        self._to = to
        self._receive = receive
        self._latencies = world.random(f"latency of {name}")
        self._last_ns = 0
        self._is_cut = False

    def send(self, message: _T) -> None:
        """Put a message on its way; whether it arrives is the line's affair."""
        happens = self._world.happens
        if not self._line.surely and happens(LOSE, self.name):
            return
        self._put(message)
        if not self._line.once and happens(DUPLICATE, self.name):
            self._put(message)

    def _put(self, message: _T) -> None:
        loop = self._world.loop
        latency = self._latencies.uniform(0, LATENCY_SECONDS_MAX)
        if self._world.happens(DELAY, self.name):
            latency += self._world.draw_delay()
        at_ns = loop.now_ns + int(latency * 1e9)
        if not self._line.in_order and self._world.happens(REORDER, self.name):
            at_ns += int(self._world.draw_delay() * 1e9)
        else:
            at_ns = self._last_ns = max(self._last_ns + 1, at_ns)
        context = loop.context_of(self._to)
        loop.call_at(at_ns / 1e9, self._deliver, message, context=context)

    def _deliver(self, message: _T) -> None:
        if not self._is_cut:
            self._receive(message)

    def cut(self) -> None:
        """The connection is gone: what is on its way is lost, what is sent from now on too."""
        self._is_cut = True

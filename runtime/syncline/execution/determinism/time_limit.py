"""Stops a call that keeps the processor: a signal that raises inside user code.

A call may spend `FUNCTION_SECONDS_MAX` seconds stepping, waits for reads not counted. Past that
SIGALRM raises `TimeLimitExceeded`, which is no Exception so that `except Exception` lets it pass,
and it is raised again every 50 ms should user code swallow it all the same. Whoever survives that
is killed with its process by the pool's watchdog. Signals are handled between bytecodes (`re` looks
too): C code that never looks is the watchdog's as well.

For the main thread of a process that has no event loop: executors.
"""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Final, TypeVar

from syncline.limits import FUNCTION_SECONDS_MAX

A = TypeVar("A")
R = TypeVar("R")

LOAD_SECONDS_MAX: Final = 20.0
"""Seconds to import one bundle (our choice: the first import of large libraries takes a few)."""

_AGAIN_SECONDS: Final = 0.05


class TimeLimitExceeded(BaseException):
    """Raised inside user code that has used up its time."""


def timeout_message(seconds: float = FUNCTION_SECONDS_MAX) -> str:
    """The text for clients."""
    return f"Function execution timed out (maximum duration: {seconds:g}s)"


class TimeLimit:
    """Runs steps for a limited time; one a process, as there is one timer."""

    __slots__ = ("_armed", "_expired", "_on_expiry")

    def __init__(self, on_expiry: Callable[[], None]) -> None:
        """`on_expiry` is called each time before the interrupt is raised."""
        self._armed = False
        self._expired = False
        self._on_expiry = on_expiry
        self.install()

    def install(self) -> None:
        """Take the signal; again after user modules were loaded, which might have taken it."""
        signal.signal(signal.SIGALRM, self._on_alarm)

    def run(self, seconds: float, step: Callable[[A], R], argument: A) -> R:
        """Call `step(argument)` for at most `seconds` (at least a millisecond).

        Raises:
            TimeLimitExceeded: time is up, even if the interrupted code went on and returned.
        """
        self._expired = False
        try:
            self._armed = True
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), _AGAIN_SECONDS)
            result = step(argument)
        finally:
            # First the flag: storing it can't be interrupted, a call can.
            self._armed = False
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        if self._expired:
            raise TimeLimitExceeded
        return result

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if self._armed:
            self._expired = True
            self._on_expiry()
            raise TimeLimitExceeded

"""Stops a call that keeps the processor: a signal that raises inside user code.

A call may spend `FUNCTION_SECONDS_MAX` stepping, its waits for reads not counted. Past that SIGALRM
raises `TimeLimitExceeded`, which is no Exception so that `except Exception` lets it pass, and it is
raised again every 50 ms should user code swallow it all the same. Whoever survives that is killed
with its process by the pool's watchdog. Signals are handled between bytecodes (`re` looks too): C
code that never looks is the watchdog's as well.

For the main thread of a process that has no event loop: executors.
"""

import signal
from types import FrameType
from typing import Final

from syncline.limits import FUNCTION_SECONDS_MAX

LOAD_SECONDS_MAX: Final = 20.0
"""Seconds to import one bundle (our choice: the first import of large libraries takes a few)."""

_AGAIN_SECONDS: Final = 0.05


class TimeLimitExceeded(BaseException):
    """Raised inside user code that has used up its time."""


def message(seconds: float = FUNCTION_SECONDS_MAX) -> str:
    """The text for clients."""
    return f"Function execution timed out (maximum duration: {seconds:g}s)"


class TimeLimit:
    """Arms and disarms the interrupt around steps; one a process, as there is one timer."""

    __slots__ = ("_armed", "expired")

    def __init__(self) -> None:
        self._armed = False
        self.expired = False
        """Whether the step entered last was interrupted, even if its code went on."""
        self.install()

    def install(self) -> None:
        """Take the signal; again after user modules were loaded, which might have taken it."""
        signal.signal(signal.SIGALRM, self._on_alarm)

    def arm(self, seconds: float) -> None:
        """Let the code that follows run for so many seconds (at least a millisecond)."""
        self.expired = False
        self._armed = True
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), _AGAIN_SECONDS)

    def disarm(self) -> None:
        """End of the step: nothing is raised any more."""
        self._armed = False
        signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if self._armed:
            self.expired = True
            raise TimeLimitExceeded

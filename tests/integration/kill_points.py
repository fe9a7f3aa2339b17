"""Kills a handler's process at any call that it makes: to AWS, to the log, to a socket.

The calls are counted as they are made, so nothing is listed by hand. Once dead, a process makes no
further call: whatever its `finally` clauses try fails the same way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import botocore.handlers

from tests.contract.moto_tables import make_clients_anew

BEFORE, AFTER = "before", "after"


class Killed(BaseException):
    """The process is gone; no code of ours catches this."""


class KillSwitch:
    """Counts port calls, and kills at one of them."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._at: int | None = None
        self._when = BEFORE
        self.is_dead = False
        self._is_watching = False

    def watch(self) -> None:
        """Count from here on, killing nobody."""
        self.arm(None, BEFORE)

    def arm(self, at: int | None, when: str) -> None:
        """Count from here on; kill before or after the call of that number (0 is the first)."""
        self.calls.clear()
        self._at, self._when = at, when
        self.is_dead, self._is_watching = False, True

    def disarm(self) -> None:
        """Kill and count no more."""
        self.is_dead = self._is_watching = False

    def revive(self) -> None:
        """Another process takes over; it is not killed again."""
        self.is_dead, self._at = False, None

    def begin(self, name: str) -> None:
        """A call is about to be made."""
        if not self._is_watching:
            return
        if self.is_dead:
            raise Killed(name)
        self.calls.append(name)
        if self._when == BEFORE:
            self._kill_at(len(self.calls) - 1, name)

    def end(self, name: str) -> None:
        """A call was made, its answer is on the way."""
        if not self._is_watching:
            return
        if self.is_dead:
            raise Killed(name)
        if self._when == AFTER and name in self.calls:
            # The newest of that name: calls of one name side by side are as good as each other.
            at = len(self.calls) - 1 - self.calls[::-1].index(name)
            self._kill_at(at, name)

    def _kill_at(self, number: int, name: str) -> None:
        if number == self._at:
            self.is_dead = True
            raise Killed(name)


@contextmanager
def watching(switch: KillSwitch) -> Iterator[None]:
    """Every SDK client that is made inside of the block tells the switch of its calls."""

    def before(model: Any, **_: object) -> None:
        switch.begin(f"{model.service_model.service_name} {model.name}")

    def after(model: Any, **_: object) -> None:
        switch.end(f"{model.service_model.service_name} {model.name}")

    handlers = [("before-call", before), ("after-call", after)]
    botocore.handlers.BUILTIN_HANDLERS.extend(handlers)
    _forget_clients()
    try:
        yield
    finally:
        _forget_clients()
        for handler in handlers:
            botocore.handlers.BUILTIN_HANDLERS.remove(handler)


def _forget_clients() -> None:
    # A session takes its handlers when it is made.
    boto3.DEFAULT_SESSION = None
    make_clients_anew()

"""What one run notes about its own use of ctx: its journal, its paginations, calls not awaited."""

from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

from syncline.errors import DeveloperError

T = TypeVar("T")


class ContextCall(Generic[T]):
    """A ctx method's result before it is awaited."""

    __slots__ = ("_coroutine", "is_awaited", "name")

    def __init__(self, name: str, coroutine: Coroutine[Any, Any, T]) -> None:
        self.name = name
        self._coroutine = coroutine
        self.is_awaited = False

    def __await__(self) -> Generator[Any, Any, T]:
        self.is_awaited = True
        return self._coroutine.__await__()

    def close(self) -> None:
        """Give up on it."""
        self._coroutine.close()


class ContextCalls:
    """The run's notes."""

    def __init__(self, journal: str | None) -> None:
        self.journal = journal
        self.next_journal: str | None = None
        self.has_paginated = False
        self.read_identity = False
        self.refused: DeveloperError | None = None
        """The first thing awaited that is no ctx method: it fails the run even if swallowed."""
        self._calls: list[ContextCall[Any]] = []

    def made(self, name: str, coroutine: Coroutine[Any, Any, T]) -> ContextCall[T]:
        """A ctx method was called; whether it is awaited is checked at the end."""
        call = ContextCall(name, coroutine)
        self._calls.append(call)
        return call

    def refuse(self, request: object) -> DeveloperError:
        """The error for awaiting what needs an event loop; noted, so that it can't be swallowed."""
        error = DeveloperError(
            "NoAsyncIoInQueriesOrMutations",
            f"A query or mutation awaited {type(request).__name__!r}, which needs an event loop. "
            "Await only ctx methods, ctx.gather and your own async functions made of them; for "
            "the network, timers or asyncio use an action.",
        )
        self.refused = self.refused or error
        return error

    def close(self) -> str | None:
        """Close what was never awaited; the name of the first of it, if any."""
        forgotten = [call for call in self._calls if not call.is_awaited]
        for call in forgotten:
            call.close()
        self._calls.clear()
        return forgotten[0].name if forgotten else None


def forgotten_await(name: str) -> DeveloperError:
    """The error for a ctx call that had no effect."""
    return DeveloperError(
        "CallNotAwaited",
        f"`{name}(...)` was called but never awaited, so it did nothing. "
        f"Write `await {name}(...)`.",
    )

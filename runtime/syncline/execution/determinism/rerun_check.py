"""Runs each call twice and compares: finds what no rule on the source and no hook can see.

The second run starts from the same inputs and is given the pages that the first one read. It must
ask for the same reads in the same order and end the same way: result or error, log lines, read
ranges, changes and journal. What differs came from somewhere else: the order of a set, state kept
in a module, a library's clock. Rare branches stay unseen. For development and tests: it doubles the
time that a call takes.
"""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import msgspec

from syncline.ports import FunctionError, FunctionOutcome, Page, Read

TAG = "NotDeterministic"


class Asking(Protocol):
    """A step's result that asks for reads."""

    @property
    def reads(self) -> Sequence[Read]:
        """In the order asked."""
        ...


A = TypeVar("A", bound=Asking)
A_co = TypeVar("A_co", bound=Asking, covariant=True)


class Run(Protocol[A_co]):
    """One run of a call, stepped by hand."""

    def step(self, pages: Sequence[Page] | None) -> A_co | FunctionOutcome:
        """Go on with the pages asked for (None at the start)."""
        ...

    def time_out(self, seconds: float) -> FunctionOutcome:
        """End a run whose step was interrupted."""
        ...

    def close(self) -> None:
        """Give the run up."""
        ...


class CheckedRun(Generic[A]):
    """Stands for a run, and has it made once more before it gives its outcome."""

    def __init__(self, start: Callable[[], Run[A]]) -> None:
        """`start` makes a fresh run of the same call each time."""
        self._start = start
        self._run = start()
        self._asked: list[Sequence[Read]] = []
        self._pages: list[Sequence[Page]] = []

    def step(self, pages: Sequence[Page] | None) -> A | FunctionOutcome:
        """Step the first run; its outcome is given only if the second one agrees."""
        if pages is not None:
            self._pages.append(pages)
        result = self._run.step(pages)
        if not isinstance(result, FunctionOutcome):
            self._asked.append(result.reads)
            return result
        self._run = self._start()
        difference = self._difference(result)
        if difference is None:
            return result
        message = (
            f"{TAG}: run twice with the same inputs, the function {difference}. Look for state "
            "kept in modules, the order of sets, and libraries that read the clock or draw "
            "random numbers."
        )
        error = FunctionError(message, is_server_made=True, data=None)
        return msgspec.structs.replace(result, value=None, error=error, changes=())

    def _difference(self, first: FunctionOutcome) -> str | None:
        """Make the second run; what it did otherwise, None if nothing."""
        second = self._run.step(None)
        for asked, pages in zip(self._asked, self._pages, strict=True):
            if isinstance(second, FunctionOutcome):
                return "made fewer reads"
            if list(second.reads) != list(asked):
                self._run.close()
                return "read something else"
            second = self._run.step(pages)
        if not isinstance(second, FunctionOutcome):
            self._run.close()
            return "made more reads"
        return _difference(first, second)

    def time_out(self, seconds: float) -> FunctionOutcome:
        """End a run whose step was interrupted."""
        return self._run.time_out(seconds)

    def close(self) -> None:
        """Give the run up."""
        self._run.close()


def _difference(first: FunctionOutcome, second: FunctionOutcome) -> str | None:
    if (first.error is None) != (second.error is None):
        return "failed only once"
    if first.error != second.error:
        return "failed otherwise"
    if first.value != second.value:
        return "returned something else"
    if first.changes != second.changes:
        return "wrote something else"
    if first.log_lines != second.log_lines:
        return "logged something else"
    if (first.read_ranges, first.journal) != (second.read_ranges, second.journal):
        return "read something else"
    return None

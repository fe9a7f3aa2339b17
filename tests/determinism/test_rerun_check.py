"""A call that is made twice must do the same twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from syncline.execution.determinism.rerun_check import CheckedRun
from syncline.index.key_range import KeyRange
from syncline.ports import FunctionError, FunctionOutcome, Page, RangeRead

EMPTY = Page((), done=True)
A = RangeRead(b"a", b"b", 10)
B = RangeRead(b"b", b"c", 10)


@dataclass(frozen=True)
class Asks:
    reads: tuple[RangeRead, ...]


def an_outcome(**different) -> FunctionOutcome:
    fields = {
        "value": b"1",
        "error": None,
        "log_lines": ("[LOG] 'a'",),
        "read_ranges": (KeyRange(b"a", b"b"),),
        "changes": (),
        "journal": None,
        "read_identity": False,
        "read_time": False,
        "read_random": False,
        "documents_read": 0,
        "bytes_read": 0,
        "own_seconds": 0.0,
    }
    return FunctionOutcome(**(fields | different))


class Script:
    """A run whose steps are written down."""

    def __init__(self, *results: Asks | FunctionOutcome) -> None:
        self._results = iter(results)
        self.given: list[Sequence[Page] | None] = []
        self.is_closed = False

    def step(self, pages):
        self.given.append(pages)
        return next(self._results)

    def time_out(self, seconds):
        return an_outcome(value=None, error=FunctionError(f"{seconds}", True, None))

    def close(self):
        self.is_closed = True


def starting(*runs: Script) -> Callable[[], Script]:
    return iter(runs).__next__


def finish(run: CheckedRun) -> FunctionOutcome:
    result = run.step(None)
    while not isinstance(result, FunctionOutcome):
        result = run.step([EMPTY] * len(result.reads))
    return result


def test_equal_runs_give_the_first_outcome():
    first = an_outcome(own_seconds=0.25)
    second = Script(Asks((A,)), Asks((B, A)), an_outcome(own_seconds=0.5))
    run = CheckedRun(starting(Script(Asks((A,)), Asks((B, A)), first), second))
    assert finish(run) is first
    assert second.given == [None, [EMPTY], [EMPTY, EMPTY]]


def failing(message: str) -> FunctionOutcome:
    return an_outcome(value=None, error=FunctionError(message, False, None))


@pytest.mark.parametrize(
    ("second", "difference"),
    [
        (Script(Asks((A,)), an_outcome(value=b"2")), "returned something else"),
        (Script(Asks((A,)), an_outcome(log_lines=())), "logged something else"),
        (Script(Asks((A,)), an_outcome(changes=("x",))), "wrote something else"),
        (Script(Asks((A,)), an_outcome(read_ranges=())), "read something else"),
        (Script(Asks((A,)), an_outcome(journal="j")), "read something else"),
        (Script(Asks((A,)), failing("boom")), "failed only once"),
        (Script(Asks((B,)), an_outcome()), "read something else"),
        (Script(an_outcome()), "made fewer reads"),
        (Script(Asks((A,)), Asks((A,)), an_outcome()), "made more reads"),
    ],
)
def test_a_difference_fails_the_call_and_is_named(second, difference):
    run = CheckedRun(starting(Script(Asks((A,)), an_outcome()), second))
    outcome = finish(run)
    assert outcome.value is None
    assert outcome.changes == ()
    assert outcome.error is not None
    assert outcome.error.message.startswith("NotDeterministic: ")
    assert f"the function {difference}." in outcome.error.message


def test_failing_otherwise_is_a_difference():
    run = CheckedRun(starting(Script(failing("boom")), Script(failing("bang"))))
    outcome = finish(run)
    assert outcome.error is not None
    assert "failed otherwise" in outcome.error.message


def test_failing_the_same_way_twice_is_an_outcome():
    first = failing("boom")
    assert finish(CheckedRun(starting(Script(first), Script(failing("boom"))))) is first


@pytest.mark.parametrize("results", [(Asks((B,)),), (Asks((A,)), Asks((B,)))])
def test_a_second_run_that_is_not_finished_is_closed(results):
    second = Script(*results)
    finish(CheckedRun(starting(Script(Asks((A,)), an_outcome()), second)))
    assert second.is_closed


def test_interrupting_and_giving_up_reach_the_run():
    first = Script(Asks((A,)))
    run = CheckedRun(starting(first))
    run.step(None)
    assert run.time_out(1.0).error == FunctionError("1.0", True, None)
    run.close()
    assert first.is_closed

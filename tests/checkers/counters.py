"""Is a history of increments of one counter, from 0, one of a correct counter?

Each increment reads the counter, adds one, writes it and returns the new value. So the results of
those that took effect are a permutation of 1..n, n is the final value, and in real time a later
increment returns a greater value. An increment without an answer may have taken a place unseen.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.checkers.history import Anomaly, Status, Verdict


@dataclass(frozen=True, slots=True)
class Increment:
    """One increment; `result` is the new value exactly if its status is "ok"."""

    id: int
    invoked: int
    completed: int | None
    status: Status = "ok"
    result: int | None = None

    def __post_init__(self) -> None:
        assert (self.result is None) == (self.status != "ok"), f"T{self.id}"
        assert (self.completed is None) == (self.status == "unknown"), f"T{self.id}"


def check(history: Sequence[Increment], final: int) -> Verdict:
    """Everything wrong: duplicate-result, out-of-range, final-value, real-time.

    `final` is the counter's value after everything has come to rest.
    """
    done = sorted((each for each in history if each.status == "ok"), key=_result)
    return Verdict(
        (
            *_duplicates(done),
            *_out_of_range(done, final),
            *_wrong_total(history, done, final),
            *_out_of_order(done),
        )
    )


def _result(increment: Increment) -> int:
    assert increment.result is not None
    return increment.result


def _duplicates(done: Sequence[Increment]) -> Iterator[Anomaly]:
    by_result: dict[int, list[int]] = defaultdict(list)
    for each in done:
        by_result[_result(each)].append(each.id)
    for result, ids in by_result.items():
        if len(ids) > 1:
            yield Anomaly("duplicate-result", tuple(ids), f"all made the counter {result}")


def _out_of_range(done: Sequence[Increment], final: int) -> Iterator[Anomaly]:
    for each in done:
        if not 1 <= _result(each) <= final:
            detail = f"made the counter {each.result}, which ended at {final}"
            yield Anomaly("out-of-range", (each.id,), detail)


def _wrong_total(
    history: Sequence[Increment], done: Sequence[Increment], final: int
) -> Iterator[Anomaly]:
    """Answered ones count once each, failed ones never, unanswered ones once or never."""
    unknown = tuple(each.id for each in history if each.status == "unknown")
    if not len(done) <= final <= len(done) + len(unknown):
        detail = (
            f"{len(done)} increments were answered and {len(unknown)} are in doubt, "
            f"but the counter ended at {final}"
        )
        seen = {_result(each) for each in done}
        missing = [number for number in range(1, final + 1) if number not in seen]
        yield Anomaly("final-value", unknown, f"{detail}; nobody was told of {missing[:10]}")


def _out_of_order(done: Sequence[Increment]) -> Iterator[Anomaly]:
    """In order of results, nobody may have been answered before an earlier one was begun."""
    latest: Increment | None = None
    for each in done:
        assert each.completed is not None
        if latest is not None and each.completed < latest.invoked:
            detail = f"{each.result} was answered before {latest.result} was asked for"
            yield Anomaly("real-time", (latest.id, each.id), detail)
        if latest is None or each.invoked > latest.invoked:
            latest = each

"""Is a history of withdrawals from pairs of accounts serializable? (the classic write skew)

A pair starts with some money in each account. A withdrawal reads both accounts and takes a positive
amount from one of them, provided that the sum stays at or above zero. Two at once, each from its
own account, write different documents; only the reads tell that they exclude each other.

Sums only fall, so what each withdrawal saw tells its place, and a serial order exists exactly if,
in order of falling sums, everyone saw what the ones before left, those without an answer included
where needed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from tests.checkers.history import Anomaly, Status, Verdict

State = tuple[int, int]
"""Money in the left and in the right account."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One withdrawal; `seen` is what it read, known exactly if its status is "ok"."""

    id: int
    pair: str
    side: Literal[0, 1]
    amount: int
    status: Status = "ok"
    seen: State | None = None

    def __post_init__(self) -> None:
        assert self.amount > 0, f"T{self.id}"
        assert (self.seen is None) == (self.status != "ok"), f"T{self.id}"

    def after(self, state: State) -> State:
        """The state that it leaves."""
        left, right = state
        return (left - self.amount, right) if self.side == 0 else (left, right - self.amount)


def check(
    history: Sequence[Withdrawal], *, first: dict[str, State], final: dict[str, State]
) -> Verdict:
    """Everything wrong: write-skew, lost-update, stale-read, invariant, final-state.

    `first` and `final` hold every pair's state before the first and after the last withdrawal.
    """
    anomalies: list[Anomaly] = []
    for pair, state in first.items():
        of_pair = [each for each in history if each.pair == pair]
        anomalies += _overdrawn(of_pair, pair, final[pair])
        anomalies += _unexplained(of_pair, state, final[pair])
    return Verdict(tuple(anomalies))


def _overdrawn(history: Sequence[Withdrawal], pair: str, final: State) -> Iterator[Anomaly]:
    """Nobody may see a broken invariant, nor break it by what it saw itself."""
    for each in history:
        if each.seen is not None and sum(each.after(each.seen)) < 0:
            detail = f"took {each.amount} from {each.seen} of {pair}"
            yield Anomaly("invariant", (each.id,), detail)
    if sum(final) < 0:
        done = tuple(each.id for each in history if each.status == "ok")
        yield Anomaly("invariant", done, f"{pair} ended at {final}")


def _unexplained(history: Sequence[Withdrawal], state: State, final: State) -> Iterator[Anomaly]:
    """Walk down the sums; the first step that nothing explains names two offenders."""
    done = sorted((each for each in history if each.seen is not None), key=_seen_sum, reverse=True)
    steps = [(each.seen, each.after(each.seen)) for each in done if each.seen is not None]
    in_doubt = [each for each in history if each.status == "unknown"]
    reached, left = _walk([*steps, (final, final)], state, in_doubt)
    last = done[reached - 1] if 0 < reached <= len(done) else None
    if reached < len(done):
        yield _clash(last, done[reached], left)
    elif reached == len(done):
        ids = (last.id,) if last else ()
        yield Anomaly("final-state", ids, f"{left} was left and {final} is found")


def _seen_sum(withdrawal: Withdrawal) -> int:
    assert withdrawal.seen is not None
    return sum(withdrawal.seen)


def _walk(
    steps: Sequence[tuple[State, State]], state: State, in_doubt: Sequence[Withdrawal]
) -> tuple[int, State]:
    """How many steps (state seen, state left) can be explained at most, and what is left then."""
    best = (0, state)
    if not steps:
        return best
    seen, left = steps[0]
    for used in _bridges(in_doubt, state, seen):
        rest = [each for each in in_doubt if each not in used]
        further, end = _walk(steps[1:], left, rest)
        best = max(best, (further + 1, end))
        if best[0] == len(steps):
            break
    return best


def _bridges(
    in_doubt: Sequence[Withdrawal], state: State, wanted: State
) -> Iterator[tuple[Withdrawal, ...]]:
    """Every choice of withdrawals in doubt that leads from one state to the other."""
    for count in range(len(in_doubt) + 1):
        for some in combinations(in_doubt, count):
            taken = [sum(each.amount for each in some if each.side == side) for side in (0, 1)]
            if (state[0] - taken[0], state[1] - taken[1]) == wanted:
                yield some


def _clash(last: Withdrawal | None, each: Withdrawal, state: State) -> Anomaly:
    if last is None or last.seen != each.seen:
        ids = (each.id,) if last is None else (last.id, each.id)
        return Anomaly("stale-read", ids, f"saw {each.seen} where {state} was left")
    kind = "lost-update" if last.side == each.side else "write-skew"
    return Anomaly(kind, (last.id, each.id), f"both saw {each.seen} and withdrew")

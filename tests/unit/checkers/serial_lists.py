"""A serial database of lists that makes histories, and that can be told to break one promise.

Transactions take effect one after another at instants 100 apart; each is begun before and answered
after its instant by what the plan says, so they overlap for whoever looks from outside.
"""

from dataclasses import dataclass
from typing import Literal

from hypothesis import strategies as st

from tests.checkers.history import Append, Read, Status, Transaction

Fate = Literal["ok", "fail", "unknown and done", "unknown and not done"]

KEYS = ("x", "y", "z")


@dataclass(frozen=True)
class Planned:
    """One transaction to be: keys to read (False) and to append to (True), in order."""

    steps: tuple[tuple[str, bool], ...]
    fate: Fate = "ok"
    early: int = 0
    late: int = 0


def planned(fates: tuple[Fate, ...] = ("ok",)) -> st.SearchStrategy[Planned]:
    step = st.tuples(st.sampled_from(KEYS), st.booleans())
    span = st.integers(0, 450)
    steps = st.lists(step, min_size=1, max_size=4).map(tuple)
    return st.builds(Planned, steps, st.sampled_from(fates), span, span)


FATES: tuple[Fate, ...] = ("ok", "ok", "ok", "fail", "unknown and done", "unknown and not done")


class SerialLists:
    """Executes plans in order; values appended are unique."""

    def __init__(self) -> None:
        self.lists: dict[str, tuple[int, ...]] = {}
        self.history: list[Transaction] = []
        self._values = 0

    def execute(self, plan: Planned, *, lists: dict[str, tuple[int, ...]] | None = None) -> None:
        """Run a transaction on the current state, or on another (stale) one."""
        number = len(self.history)
        snapshot = dict(self.lists if lists is None else lists)
        answered = plan.fate in ("ok", "fail")
        operations: list[Read | Append] = []
        appended: list[tuple[str, int]] = []
        for key, is_append in plan.steps:
            if is_append:
                self._values += 1
                snapshot[key] = (*snapshot.get(key, ()), self._values)
                appended.append((key, self._values))
                operations.append(Append(key, self._values))
            else:
                operations.append(Read(key, snapshot.get(key, ()) if answered else None))
        if plan.fate in ("ok", "unknown and done"):
            for key, value in appended:
                self.lists[key] = (*self.lists.get(key, ()), value)
        instant = 1000 + 100 * number
        status: Status = plan.fate if plan.fate in ("ok", "fail") else "unknown"
        completed = instant + plan.late if answered else None
        self.history.append(
            Transaction(number, tuple(operations), instant - plan.early, completed, status)
        )

    def read_everything(self) -> None:
        """One more transaction, after all others were answered, that reads every list."""
        for _ in range(5):
            self.execute(Planned((("idle", False),)))
        self.execute(Planned(tuple((key, False) for key in KEYS)))

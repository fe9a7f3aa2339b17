"""What happened, as clients saw it, and what a checker says about it.

Times are any increasing numbers (virtual nanoseconds, steps); only their order counts. A
transaction is "ok" (committed, answered), "fail" (certainly without effect) or "unknown" (without
an answer: it may have committed or not, now or later).
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "fail", "unknown"]


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something that no correct execution shows."""

    kind: str
    transactions: tuple[int, ...]
    """The offenders' ids; of a cycle: in its order."""
    detail: str

    def __str__(self) -> str:
        who = ", ".join(f"T{number}" for number in self.transactions)
        return f"{self.kind} ({who}): {self.detail}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a checker found; nothing, if the history is good."""

    anomalies: tuple[Anomaly, ...] = ()

    @property
    def is_good(self) -> bool:
        return not self.anomalies

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(anomaly.kind for anomaly in self.anomalies)

    def __str__(self) -> str:
        return "\n".join(map(str, self.anomalies)) or "no anomalies"


@dataclass(frozen=True, slots=True)
class Read:
    """A read of a whole list; `values` None: the result is not known (no answer came)."""

    key: Hashable
    values: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Append:
    """An append; no (key, value) is appended twice in a history."""

    key: Hashable
    value: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction on lists, with its operations in the order in which it made them."""

    id: int
    operations: tuple[Read | Append, ...]
    invoked: int
    completed: int | None
    """None exactly if the status is "unknown"."""
    status: Status = "ok"

    def __post_init__(self) -> None:
        assert (self.completed is None) == (self.status == "unknown"), f"T{self.id}"
        assert self.completed is None or self.invoked <= self.completed, f"T{self.id}"

    def last_appends(self) -> dict[Hashable, int]:
        """The last value that it appended to each key."""
        return {each.key: each.value for each in self.operations if isinstance(each, Append)}

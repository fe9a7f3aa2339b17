"""Seeded plans of calls for concurrent clients, and their answers as histories for the checkers.

Few keys are in use at a time, so that transactions meet; as a plan advances, pairs of accounts and
lists are left behind for fresh ones, so that lists stay short and first writes meet as well.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import count
from random import Random
from typing import Any

from tests.checkers.counters import Increment
from tests.checkers.history import Append, Read, Status, Transaction
from tests.checkers.write_skew import Withdrawal

COUNTERS = ("red", "green", "blue")
PAIRS = tuple(f"pair-{number}" for number in range(24))
LISTS = tuple(f"{'rows' if number % 2 else 'list'}-{number}" for number in range(300))
LISTS_AT_A_TIME = 4
MONEY = 400
"""In each account at first; about three quarters of the planned withdrawals can be paid from it."""
UNDONE = "undone on purpose"
OVERTAKEN = "OptimisticConcurrencyControlFailure"
"""Refused after too many retries, which the server answers for: it had no effect."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a client; `kind` is the name of the clients' method."""

    id: int
    kind: str
    path: str
    args: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a call: a value, or an error; times are nanoseconds of the machine's clock."""

    call: Call
    invoked: int
    completed: int
    value: Any
    error: str | None

    @property
    def status(self) -> Status:
        """Whether it took effect; the only errors are those that promise that it did not."""
        if self.error is None:
            return "ok"
        assert self.error == UNDONE or OVERTAKEN in self.error, self.error
        return "fail"


@dataclass
class Planner:
    """Makes calls with numbers that no other call of the same planner has."""

    random: Random
    calls: dict[int, Call] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=count)

    def calls_of_one_program(self, total: int) -> list[dict[str, Any]]:
        """That many calls, as the client programs read them."""
        return [asdict(self._call(number / total)) for number in range(total)]

    def add(self, kind: str, path: str, **args: Any) -> Call:
        """One more call."""
        call = Call(next(self._ids), kind, path, args)
        self.calls[call.id] = call
        return call

    def _call(self, progress: float) -> Call:
        dice = self.random.random()
        if dice < 0.25:
            return self.add("mutation", "counters:increment", name=self.random.choice(COUNTERS))
        if dice < 0.45:
            pair = PAIRS[int(progress * len(PAIRS))]
            side, amount = self.random.randrange(2), self.random.randint(1, 20)
            return self.add("mutation", "accounts:withdraw", pair=pair, side=side, amount=amount)
        first = int(progress * (len(LISTS) - LISTS_AT_A_TIME + 1))
        keys = LISTS[first : first + LISTS_AT_A_TIME]
        if dice < 0.55:
            call = self.add("query", "lists:look", keys=self.random.sample(keys, 2))
            call.args["turn"] = call.id
            return call
        call = self.add("mutation", "lists:transact", operations=[])
        for number in range(self.random.randint(1, 4)):
            operation: dict[str, Any] = {"key": self.random.choice(keys)}
            if self.random.random() < 0.5:
                operation["append"] = 10 * call.id + number
            call.args["operations"].append(operation)
        if self.random.random() < 0.05:
            call.args["fails"] = True
        return call


def answered(calls: Mapping[int, Call], entries: Iterable[dict[str, Any]]) -> list[Answered]:
    """The entries of the programs' histories, each with its call."""
    return [
        Answered(
            calls[entry["id"]],
            int(entry["invoked"]),
            int(entry["completed"]),
            entry.get("value"),
            entry.get("error"),
        )
        for entry in entries
    ]


def increments(history: Iterable[Answered], name: str) -> list[Increment]:
    """The increments of one counter."""
    return [
        Increment(
            each.call.id,
            each.invoked,
            each.completed,
            each.status,
            int(each.value) if each.status == "ok" else None,
        )
        for each in history
        if each.call.path == "counters:increment" and each.call.args["name"] == name
    ]


def withdrawals(history: Iterable[Answered]) -> list[Withdrawal]:
    """All withdrawals; one that was not paid is one that failed."""
    found: list[Withdrawal] = []
    for each in history:
        if each.call.path == "accounts:withdraw":
            args = each.call.args
            what = each.call.id, args["pair"], args["side"], args["amount"]
            if each.status == "ok" and each.value["taken"]:
                left, right = each.value["seen"]
                found.append(Withdrawal(*what, "ok", (int(left), int(right))))
            else:
                found.append(Withdrawal(*what, "fail"))
    return found


def transactions(history: Iterable[Answered]) -> list[Transaction]:
    """All transactions on lists, those of queries included."""
    return [_transaction(each) for each in history if each.call.path.startswith("lists:")]


def _transaction(each: Answered) -> Transaction:
    seen = iter(each.value or ())
    operations: list[Read | Append] = []
    for operation in each.call.args.get("operations") or _reads(each.call):
        if "append" in operation:
            operations.append(Append(operation["key"], operation["append"]))
        else:
            values = next(seen) if each.status == "ok" else None
            operations.append(Read(operation["key"], _numbers(values)))
    assert next(seen, None) is None, f"T{each.call.id} answered more reads than it was asked for"
    return Transaction(each.call.id, tuple(operations), each.invoked, each.completed, each.status)


def _reads(call: Call) -> list[dict[str, str]]:
    return [{"key": key} for key in call.args["keys"]]


def _numbers(values: list[float] | None) -> tuple[int, ...] | None:
    return None if values is None else tuple(map(int, values))

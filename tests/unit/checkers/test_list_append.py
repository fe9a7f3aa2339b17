"""The list-append checker on the literature's examples, on serial histories and on broken ones."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.checkers.history import Append, Read, Status, Transaction
from tests.checkers.list_append import check
from tests.unit.checkers.serial_lists import FATES, KEYS, Planned, SerialLists, planned


def transaction(
    number: int, *operations: Read | Append, at: tuple[int, int] = (0, 100), status: Status = "ok"
) -> Transaction:
    """By default all are concurrent."""
    completed = None if status == "unknown" else at[1]
    return Transaction(number, operations, at[0], completed, status)


def r(key: str, *values: int) -> Read:
    return Read(key, values)


def w(key: str, value: int) -> Append:
    return Append(key, value)


# Each: what is expected, the offenders, and the history. T0 upward, concurrent unless said.
LITERATURE = {
    "dirty write (G0)": (
        "G0",
        {0, 1},
        [
            transaction(0, w("x", 1), w("y", 1)),
            transaction(1, w("x", 2), w("y", 2)),
            transaction(2, r("x", 1, 2), r("y", 2, 1)),
        ],
    ),
    "dirty read of an aborted write (G1a)": (
        "G1a",
        {0, 1},
        [transaction(0, w("x", 1), status="fail"), transaction(1, r("x", 1))],
    ),
    "intermediate read (G1b)": (
        "G1b",
        {0, 1},
        [
            transaction(0, w("x", 1), w("x", 2)),
            transaction(1, r("x", 1)),
            transaction(2, r("x", 1, 2)),
        ],
    ),
    "circular information flow (G1c)": (
        "G1c",
        {0, 1},
        [transaction(0, w("x", 1), r("y", 2)), transaction(1, w("y", 2), r("x", 1))],
    ),
    "lost update": (
        "lost-update",
        {0, 1},
        [
            transaction(0, r("x"), w("x", 1)),
            transaction(1, r("x"), w("x", 2)),
            transaction(2, r("x", 1, 2)),
        ],
    ),
    "lost update as a cycle": (
        "G-single",
        {0, 1},
        [
            transaction(0, r("x"), w("x", 1)),
            transaction(1, r("x"), w("x", 2)),
            transaction(2, r("x", 1, 2)),
        ],
    ),
    "fractured read": (
        "G-single",
        {0, 1},
        [
            transaction(0, w("x", 1), w("y", 1)),
            transaction(1, r("x", 1), r("y")),
            transaction(2, r("y", 1)),
        ],
    ),
    "read skew": (
        "G-single",
        {0, 1},
        [transaction(0, r("x"), r("y", 1)), transaction(1, w("x", 1), w("y", 1))],
    ),
    "write skew (G2-item)": (
        "G2",
        {0, 1},
        [
            transaction(0, r("x"), r("y"), w("x", 1)),
            transaction(1, r("x"), r("y"), w("y", 1)),
        ],
    ),
    "long fork": (
        "G2",
        {0, 1, 2, 3},
        [
            transaction(0, w("x", 1)),
            transaction(1, w("y", 1)),
            transaction(2, r("x", 1), r("y")),
            transaction(3, r("x"), r("y", 1)),
        ],
    ),
    "read-only anomaly (Fekete, O'Neil, O'Neil 2004)": (
        "G2",
        {0, 1, 2},
        [
            transaction(0, r("x"), r("y"), w("x", 1)),
            transaction(1, r("y"), w("y", 1)),
            transaction(2, r("x"), r("y", 1)),
        ],
    ),
    "reads that disagree about the order": (
        "incompatible-order",
        {2, 3},
        [
            transaction(0, w("x", 1)),
            transaction(1, w("x", 2)),
            transaction(2, r("x", 1, 2)),
            transaction(3, r("x", 2)),
        ],
    ),
    "an append that took effect twice": (
        "duplicate-elements",
        {1},
        [transaction(0, w("x", 1)), transaction(1, r("x", 1, 1))],
    ),
    "a value from nowhere": ("phantom", {0}, [transaction(0, r("x", 7))]),
    "a transaction that misses its own append": (
        "internal",
        {0},
        [transaction(0, w("x", 1), r("x"))],
    ),
    "a read that is not repeatable": (
        "internal",
        {1},
        [transaction(0, w("x", 1)), transaction(1, r("x"), r("x", 1))],
    ),
    "stale read": (
        "G-single-realtime",
        {0, 1},
        [
            transaction(0, w("x", 1), at=(0, 10)),
            transaction(1, r("x"), at=(20, 30)),
            transaction(2, r("x", 1), at=(40, 50)),
        ],
    ),
    "an answered append that nobody ever sees": (
        "G-single-realtime",
        {0, 1},
        [transaction(0, w("x", 1), at=(0, 10)), transaction(1, r("x"), at=(20, 30))],
    ),
    "appends in another order than in real time": (
        "G0-realtime",
        {0, 1},
        [
            transaction(0, w("x", 1), at=(0, 10)),
            transaction(1, w("x", 2), at=(20, 30)),
            transaction(2, r("x", 2, 1), at=(0, 90)),
        ],
    ),
    "a read from the future": (
        "G1c-realtime",
        {0, 1},
        [transaction(0, r("x", 1), at=(0, 10)), transaction(1, w("x", 1), at=(20, 30))],
    ),
    "long fork in real time": (
        "G2-realtime",
        {0, 1, 2, 3},
        [
            transaction(0, r("x"), r("y", 1), at=(0, 90)),
            transaction(1, w("x", 1), at=(0, 10)),
            transaction(2, r("y"), at=(20, 30)),
            transaction(3, w("y", 1), at=(0, 90)),
        ],
    ),
}


@pytest.mark.parametrize(("kind", "offenders", "history"), LITERATURE.values(), ids=LITERATURE)
def test_an_anomaly_of_the_literature_is_named_with_its_transactions(
    kind: str, offenders: set[int], history: list[Transaction]
):
    verdict = check(history)
    found = [anomaly for anomaly in verdict.anomalies if anomaly.kind == kind]
    assert found, f"expected {kind}, found:\n{verdict}"
    assert any(offenders == set(anomaly.transactions) for anomaly in found), str(verdict)


GOOD = {
    "nothing": [],
    "one after the other": [
        transaction(0, r("x"), w("x", 1), at=(0, 10)),
        transaction(1, r("x", 1), w("x", 2), at=(20, 30)),
        transaction(2, r("x", 1, 2), at=(40, 50)),
    ],
    "concurrent ones in the other order than they were begun": [
        transaction(0, r("x", 2), w("x", 1), at=(0, 50)),
        transaction(1, r("x"), w("x", 2), at=(10, 40)),
    ],
    "an append in doubt that is seen": [
        transaction(0, w("x", 1), status="unknown"),
        transaction(1, r("x", 1)),
    ],
    "an append in doubt that is never seen": [
        transaction(0, w("x", 1), status="unknown"),
        transaction(1, r("x"), at=(200, 300)),
    ],
    "a failed append that is never seen": [
        transaction(0, w("x", 1), status="fail", at=(0, 10)),
        transaction(1, r("x"), at=(200, 300)),
    ],
    "own appends, seen by the one who made them": [
        transaction(0, w("x", 1), r("x", 1), w("x", 2), r("x", 1, 2)),
        transaction(1, r("x", 1, 2), w("y", 1), r("x", 1, 2)),
    ],
    "an unanswered read": [transaction(0, Read("x", None), w("y", 1), status="unknown")],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_a_good_history_passes(history: list[Transaction]):
    assert check(history).is_good


def test_what_breaks_only_real_time_is_still_serializable():
    stale = LITERATURE["stale read"][2]
    assert check(stale, realtime=False).is_good
    assert not check(stale, realtime=True).is_good


def test_a_cycle_says_why_each_edge_is_there():
    (anomaly,) = check(LITERATURE["read skew"][2]).anomalies
    assert "-wr->" in str(anomaly)
    assert "-rw->" in str(anomaly)
    assert "read (1,) from 'y'" in str(anomaly)


@pytest.mark.parametrize(
    "history",
    [
        [transaction(0, w("x", 1)), transaction(1, w("x", 1))],
        [transaction(0, w("x", 1)), transaction(0, w("x", 2))],
    ],
)
def test_a_history_that_cannot_be_judged_is_refused(history: list[Transaction]):
    with pytest.raises(ValueError, match=r"twice|share"):
        check(history)


# Histories made by a serial executor, right and with one promise broken


@given(st.lists(planned(FATES), max_size=25), st.booleans())
def test_every_serial_history_passes(plans: list[Planned], is_read: bool):
    lists = SerialLists()
    for plan in plans:
        lists.execute(plan)
    if is_read:
        lists.read_everything()
    assert check(lists.history).is_good, str(check(lists.history))


@given(st.lists(planned(), min_size=1, max_size=15), st.data())
def test_a_lost_append_is_always_found(plans: list[Planned], data: st.DataObject):
    lists = SerialLists()
    for plan in plans:
        lists.execute(plan)
    appended = [value for values in lists.lists.values() for value in values]
    assume(appended)
    lost = data.draw(st.sampled_from(appended))
    lists.lists = {
        key: tuple(value for value in values if value != lost)
        for key, values in lists.lists.items()
    }
    lists.read_everything()
    assert not check(lists.history).is_good


@given(st.lists(planned(), max_size=15), planned(), st.integers(0, 15))
def test_an_aborted_append_that_shows_is_always_found(
    plans: list[Planned], victim: Planned, at: int
):
    assume(any(is_append for _, is_append in victim.steps))
    lists = SerialLists()
    at = min(at, len(plans))
    for plan in [*plans[:at], victim, *plans[at:]]:
        lists.execute(plan)
    lists.read_everything()
    lists.history[at] = replace(lists.history[at], status="fail")
    assert "G1a" in check(lists.history).kinds


@given(st.lists(planned(), max_size=15), planned())
def test_a_transaction_that_took_effect_twice_is_always_found(
    plans: list[Planned], victim: Planned
):
    lists = SerialLists()
    lists.execute(victim)
    assume(lists.lists)
    twice = dict(lists.lists)
    for plan in plans:
        lists.execute(plan)
    for key, values in twice.items():
        lists.lists[key] += values
    lists.read_everything()
    assert "duplicate-elements" in check(lists.history).kinds


@given(st.lists(planned(), min_size=1, max_size=15), st.data())
def test_a_stale_snapshot_is_always_found(plans: list[Planned], data: st.DataObject):
    """The last transaction, begun after all answers, runs on the state before some other."""
    lists = SerialLists()
    states = [dict(lists.lists)]
    for plan in plans:
        lists.execute(plan)
        states.append(dict(lists.lists))
    stale = data.draw(st.sampled_from(states))
    assume(stale != lists.lists)
    for _ in range(5):
        lists.execute(Planned((("idle", False),)))
    lists.execute(Planned(tuple((key, False) for key in KEYS)), lists=stale)
    assert not check(lists.history).is_good


@given(st.lists(planned(), max_size=15), st.permutations(KEYS), st.integers(0, 15))
def test_write_skew_is_always_found(plans: list[Planned], keys: list[str], at: int):
    """Two concurrent ones both read two lists; each appends to one, on the same snapshot."""
    lists = SerialLists()
    at = min(at, len(plans))
    for plan in plans[:at]:
        lists.execute(plan)
    one, other, _ = keys
    before = dict(lists.lists)
    both = ((one, False), (other, False))
    lists.execute(Planned((*both, (one, True)), early=400, late=400), lists=before)
    lists.execute(Planned((*both, (other, True)), early=400, late=400), lists=before)
    for plan in plans[at:]:
        lists.execute(plan)
    assert check(lists.history).kinds & {"G2", "G-single"}


@given(st.lists(planned(), max_size=15), st.sampled_from(KEYS), st.integers(0, 15))
def test_a_lost_update_is_always_found(plans: list[Planned], key: str, at: int):
    lists = SerialLists()
    at = min(at, len(plans))
    for plan in plans[:at]:
        lists.execute(plan)
    before = dict(lists.lists)
    update = Planned(((key, False), (key, True)), early=400, late=400)
    lists.execute(update, lists=before)
    lists.execute(update, lists=before)
    for plan in plans[at:]:
        lists.execute(plan)
    assert "lost-update" in check(lists.history).kinds

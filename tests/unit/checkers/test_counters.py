"""The counter checker: good histories pass, each way of going wrong is named."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.checkers.counters import Increment, check


def increment(number: int, result: int | None, at: tuple[int, int] = (0, 100)) -> Increment:
    return Increment(number, *at, result=result)


def test_a_permutation_of_concurrent_increments_passes():
    assert check([increment(n, result) for n, result in enumerate((3, 1, 2))], 3).is_good


def test_increments_in_doubt_may_have_counted_or_not():
    history = [increment(0, 2), Increment(1, 0, None, "unknown"), Increment(2, 0, None, "unknown")]
    assert check(history, 2).is_good
    assert check(history, 3).is_good
    assert check(history, 1).kinds == {"out-of-range"}
    assert check(history, 4).kinds == {"final-value"}


@pytest.mark.parametrize(
    ("kind", "offenders", "history", "final"),
    [
        ("duplicate-result", (0, 1), [increment(0, 1), increment(1, 1)], 1),
        ("out-of-range", (0,), [increment(0, 2)], 1),
        ("out-of-range", (0,), [increment(0, 0)], 1),
        ("final-value", (), [increment(0, 1), increment(1, 2)], 3),
        ("final-value", (), [increment(0, 1), Increment(1, 0, 9, "fail")], 2),
        ("final-value", (2,), [increment(0, 1), Increment(2, 0, None, "unknown")], 3),
        ("real-time", (1, 0), [increment(0, 2, (0, 10)), increment(1, 1, (20, 30))], 2),
    ],
)
def test_each_way_of_going_wrong_is_named(
    kind: str, offenders: tuple[int, ...], history: list[Increment], final: int
):
    found = {anomaly.kind: anomaly.transactions for anomaly in check(history, final).anomalies}
    assert found[kind] == offenders


FATES = st.sampled_from(["ok", "ok", "ok", "fail", "unknown, done", "unknown, not done"])
SPAN = st.integers(0, 350)


@st.composite
def serial_histories(draw: st.DrawFn) -> tuple[list[Increment], int]:
    """One increment every 100 instants, each begun earlier and answered later."""
    history: list[Increment] = []
    value = 0
    for number, fate in enumerate(draw(st.lists(FATES, max_size=20))):
        instant = 1000 + 100 * number
        invoked, completed = instant - draw(SPAN), instant + draw(SPAN)
        if fate in ("ok", "unknown, done"):
            value += 1
        if fate == "ok":
            history.append(Increment(number, invoked, completed, result=value))
        elif fate == "fail":
            history.append(Increment(number, invoked, completed, "fail"))
        else:
            history.append(Increment(number, invoked, None, "unknown"))
    return history, value


@given(serial_histories())
def test_every_serial_history_passes(made: tuple[list[Increment], int]):
    history, final = made
    assert check(history, final).is_good, str(check(history, final))


@given(serial_histories(), st.data())
def test_a_result_given_twice_is_always_found(
    made: tuple[list[Increment], int], data: st.DataObject
):
    history, final = made
    done = [each for each in history if each.status == "ok"]
    assume(len(done) > 1)
    one, other = data.draw(st.permutations(done))[:2]
    history[history.index(one)] = replace(one, result=other.result)
    assert "duplicate-result" in check(history, final).kinds


@given(serial_histories())
def test_a_lost_increment_is_always_found(made: tuple[list[Increment], int]):
    history, final = made
    done = [each for each in history if each.status == "ok"]
    assume(done)
    assert not check(history, len(done) - 1).is_good
    assert not check(history, len(history) + 1).is_good
    assert final <= len(history)


@given(serial_histories())
def test_results_against_real_time_are_always_found(made: tuple[list[Increment], int]):
    history, final = made
    late = Increment(900, 90_000, 90_001, result=final + 1)
    later = Increment(901, 91_000, 91_001, result=final + 2)
    assert check([*history, late, later], final + 2).is_good
    swapped = [replace(late, result=final + 2), replace(later, result=final + 1)]
    assert check([*history, *swapped], final + 2).kinds == {"real-time"}

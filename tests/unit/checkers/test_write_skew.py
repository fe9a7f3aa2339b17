"""The write-skew checker: good histories pass, each way of going wrong is named."""

from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.checkers.write_skew import State, Withdrawal, check

FIRST: State = (50, 50)


def taken(number: int, side: Literal[0, 1], amount: int, seen: State) -> Withdrawal:
    return Withdrawal(number, "p", side, amount, seen=seen)


def doubtful(number: int, side: Literal[0, 1], amount: int) -> Withdrawal:
    return Withdrawal(number, "p", side, amount, "unknown")


def judged(history: list[Withdrawal], final: State):
    return check(history, first={"p": FIRST}, final={"p": final})


def test_withdrawals_one_after_the_other_pass():
    history = [taken(0, 1, 60, (20, 50)), taken(1, 0, 30, FIRST)]
    assert judged(history, (20, -10)).is_good


def test_pairs_are_judged_apart():
    history = [Withdrawal(0, "p", 0, 10, seen=FIRST), Withdrawal(1, "q", 0, 10, seen=FIRST)]
    both = {"p": FIRST, "q": FIRST}
    assert check(history, first=both, final={"p": (40, 50), "q": (40, 50)}).is_good
    assert not check(history, first=both, final={"p": (40, 50), "q": (30, 50)}).is_good


def test_withdrawals_in_doubt_explain_what_others_saw():
    history = [doubtful(0, 0, 10), taken(1, 1, 5, (40, 50)), doubtful(2, 1, 7)]
    assert judged(history, (40, 45)).is_good
    assert judged(history, (40, 38)).is_good
    assert judged(history, (30, 45)).kinds == {"final-state"}


def test_every_choice_among_those_in_doubt_is_tried():
    """The 4 taken first may be 2 + 2 or 1 + 3; only the former leaves the 3 that is seen next."""
    amounts = (1, 3, 2, 2)
    history = [doubtful(n, 0, amount) for n, amount in enumerate(amounts)]
    history += [taken(10, 1, 1, (46, 50)), taken(11, 1, 1, (43, 49))]
    assert judged(history, (43, 48)).is_good
    assert judged(history, (42, 48)).is_good
    assert judged(history, (41, 48)).kinds == {"final-state"}


@pytest.mark.parametrize(
    ("kind", "offenders", "history", "final"),
    [
        ("write-skew", (0, 1), [taken(0, 0, 60, FIRST), taken(1, 1, 60, FIRST)], (-10, -10)),
        ("invariant", (0, 1), [taken(0, 0, 60, FIRST), taken(1, 1, 60, FIRST)], (-10, -10)),
        ("lost-update", (0, 1), [taken(0, 0, 10, FIRST), taken(1, 0, 20, FIRST)], (30, 50)),
        ("stale-read", (0,), [taken(0, 0, 10, (45, 50))], (35, 50)),
        ("stale-read", (0, 1), [taken(0, 0, 10, FIRST), taken(1, 0, 5, (45, 50))], (35, 50)),
        ("invariant", (0,), [taken(0, 0, 101, FIRST)], (-51, 50)),
        ("final-state", (0,), [taken(0, 0, 10, FIRST)], (50, 50)),
        ("final-state", (), [Withdrawal(0, "p", 0, 10, "fail")], (40, 50)),
    ],
)
def test_each_way_of_going_wrong_is_named(
    kind: str, offenders: tuple[int, ...], history: list[Withdrawal], final: State
):
    found = {anomaly.kind: anomaly.transactions for anomaly in judged(history, final).anomalies}
    assert found.get(kind) == offenders, found


FATES = st.sampled_from(["ok", "ok", "ok", "fail", "unknown, done", "unknown, not done"])


@st.composite
def serial_histories(draw: st.DrawFn) -> tuple[list[Withdrawal], State]:
    history: list[Withdrawal] = []
    state = FIRST
    for number, fate in enumerate(draw(st.lists(FATES, max_size=10))):
        side = draw(st.sampled_from((0, 1)))
        planned = doubtful(number, side, draw(st.integers(1, 40)))
        if fate == "fail" or sum(planned.after(state)) < 0:
            history.append(replace(planned, status="fail"))
            continue
        history.append(replace(planned, status="ok", seen=state) if fate == "ok" else planned)
        if fate != "unknown, not done":
            state = planned.after(state)
    return draw(st.permutations(history)), state


@given(serial_histories())
def test_every_serial_history_passes(made: tuple[list[Withdrawal], State]):
    history, final = made
    assert judged(history, final).is_good, str(judged(history, final))


@given(serial_histories(), st.integers(1, 40), st.sampled_from((0, 1)))
def test_a_second_withdrawal_on_the_same_state_is_always_found(
    made: tuple[list[Withdrawal], State], amount: int, side: Literal[0, 1]
):
    history, final = made
    done = [each for each in history if each.seen is not None]
    assume(done)
    assert done[0].seen is not None
    skewed = taken(99, side, amount, done[0].seen)
    verdict = judged([*history, skewed], skewed.after(final))
    assert verdict.kinds & {"write-skew", "lost-update", "stale-read"}


@given(serial_histories(), st.integers(1, 40))
def test_money_that_came_back_is_always_found(made: tuple[list[Withdrawal], State], amount: int):
    history, (left, right) = made
    assert not judged(history, (left + 200 + amount, right)).is_good

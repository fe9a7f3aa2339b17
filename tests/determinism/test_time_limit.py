"""The interrupt: raised in code that keeps the processor, and nowhere else."""

import signal
from collections.abc import Iterator

import pytest

from syncline.execution.determinism.time_limit import (
    TimeLimit,
    TimeLimitExceeded,
    timeout_message,
)

SHORT = 0.02
LONG = 60.0


@pytest.fixture
def expiries() -> list[int]:
    return []


@pytest.fixture
def limit(expiries: list[int]) -> Iterator[TimeLimit]:
    before = signal.getsignal(signal.SIGALRM)
    yield TimeLimit(lambda: expiries.append(1))
    signal.signal(signal.SIGALRM, before)


def forever(argument: object) -> None:
    while True:
        pass


def test_code_that_ends_in_time_is_not_disturbed(limit, expiries):
    assert limit.run(LONG, str.upper, "a") == "A"
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert not expiries


def test_code_that_goes_on_is_interrupted(limit, expiries):
    with pytest.raises(TimeLimitExceeded):
        limit.run(SHORT, forever, None)
    assert expiries
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_except_exception_does_not_catch_it(limit):
    def step(argument):
        try:
            forever(argument)
        except Exception:
            return "caught"

    with pytest.raises(TimeLimitExceeded):
        limit.run(SHORT, step, None)


def test_code_that_swallows_it_once_is_over_time_all_the_same(limit):
    def step(argument):
        try:
            forever(argument)
        except BaseException:
            return "went on"

    with pytest.raises(TimeLimitExceeded):
        limit.run(SHORT, step, None)


def test_it_is_raised_again(limit, expiries):
    def step(argument):
        for _ in range(2):
            try:
                for _ in range(10**12):
                    len("")
            except BaseException:
                continue
        forever(argument)

    with pytest.raises(TimeLimitExceeded):
        limit.run(SHORT, step, None)
    assert len(expiries) == 3


def test_the_exception_of_the_code_itself_comes_through(limit):
    with pytest.raises(ZeroDivisionError):
        limit.run(LONG, lambda argument: 1 / argument, 0)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_signal_between_steps_is_ignored(limit, expiries):
    signal.raise_signal(signal.SIGALRM)
    assert not expiries


def test_an_interrupted_limit_can_be_used_again(limit):
    with pytest.raises(TimeLimitExceeded):
        limit.run(SHORT, forever, None)
    assert limit.run(LONG, str.upper, "a") == "A"


def test_the_message_names_the_limit():
    assert timeout_message() == "Function execution timed out (maximum duration: 1s)"

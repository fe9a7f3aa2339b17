"""When crons run next, against a search minute by minute."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.bundle_spec import CronSpec
from syncline.errors import DeveloperError
from syncline.registration.cron_schedule import (
    check_expression,
    cron_fields,
    cron_of,
    is_frequent,
    next_run,
)

MOMENTS = st.integers(1_672_531_200_000, 1_861_920_000_000).map(
    lambda ms: datetime.fromtimestamp(ms / 1000, UTC)
)


def spec(seconds: float | None = None, expression: str | None = None) -> CronSpec:
    return CronSpec("name", seconds, expression, "jobs:note", "mutation", '{"a":[1.0]}')


def following(expression: str, after: datetime) -> datetime:
    return datetime.fromtimestamp(
        next_run(spec(expression=expression), after.timestamp() * 1000) / 1000, UTC
    )


def searched(after: datetime, minute: int, hour: int | None, weekday: int | None) -> datetime:
    """The next whole minute that fits, looked for one by one; `weekday`: 0 is Sunday."""
    moment = after.replace(second=0, microsecond=0)
    while True:
        moment += timedelta(minutes=1)
        if (
            moment.minute == minute
            and hour in {None, moment.hour}
            and weekday in {None, moment.isoweekday() % 7}
        ):
            return moment


@given(
    MOMENTS,
    st.integers(0, 59),
    st.none() | st.integers(0, 23),
    st.none() | st.integers(0, 6),
)
def test_an_expression_means_the_first_minute_after_that_fits(
    after: datetime, minute: int, hour: int | None, weekday: int | None
):
    written = ["*" if field is None else str(field) for field in (hour, weekday)]
    expression = f"{minute} {written[0]} * * {written[1]}"
    assert following(expression, after) == searched(after, minute, hour, weekday)


@given(MOMENTS, st.integers(1, 31))
def test_months_without_the_day_are_left_out(after: datetime, day: int):
    found = following(f"0 0 {day} * *", after)
    assert found > after
    assert (found.day, found.hour, found.minute) == (day, 0, 0)
    between = after.date() + timedelta(days=1)
    while between < found.date():
        assert between.day != day
        between += timedelta(days=1)


@given(
    st.integers(1, 10_000_000),
    st.floats(1.6e12, 1.8e12),
    st.floats(0, 1e11),
)
def test_an_interval_keeps_its_beat_and_leaves_out_what_was_missed(
    seconds: int, due: float, late: float
):
    now = due + late
    found = next_run(spec(seconds=float(seconds)), now, due)
    beats = (found - due) / (seconds * 1000)
    assert now < found <= now + seconds * 1000 + 1e-3
    assert beats == pytest.approx(round(beats))


def test_the_first_run_of_an_interval_is_at_once():
    assert next_run(spec(seconds=60.0), 1000.0) == 1000.0


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 9 * * 1", "2024-03-04 09:00"),
        ("*/15 8-17 * * mon-fri", "2024-03-01 12:45"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("30 6 1,15 * *", "2024-03-15 06:30"),
        ("0 0 L * *", "2024-03-31 00:00"),
    ],
)
def test_expressions_by_example(expression: str, expected: str):
    after = datetime(2024, 3, 1, 12, 30, tzinfo=UTC)
    assert f"{following(expression, after):%Y-%m-%d %H:%M}" == expected


@pytest.mark.parametrize(
    ("seconds", "expression", "frequent"),
    [
        (299.0, None, True),
        (300.0, None, False),
        (None, "*/4 * * * *", True),
        (None, "0,2 9 * * 1", True),
        (None, "*/5 * * * *", False),
        (None, "0 9 * * *", False),
    ],
)
def test_what_runs_more_often_than_every_five_minutes_is_told(
    seconds: float | None, expression: str | None, frequent: bool
):
    assert is_frequent(spec(seconds, expression)) is frequent


@given(st.none() | st.floats(1, 1e9), st.sampled_from(["0 9 * * 1", None]))
def test_a_row_is_read_as_it_was_written(seconds: float | None, expression: str | None):
    whole = spec(seconds, expression)
    assert cron_of(cron_fields(whole)) == whole


@pytest.mark.parametrize("expression", ["61 * * * *", "a b c d e", "0 0 31 2 *", "* * *", ""])
def test_an_expression_that_never_comes_is_refused_by_name(expression: str):
    with pytest.raises(DeveloperError, match=r"cron 'mine'.*expression"):
        check_expression("mine", expression)

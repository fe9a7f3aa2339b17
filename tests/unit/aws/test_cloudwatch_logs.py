"""Function calls out of log groups on moto: once each, in order, and what is none left out."""

import asyncio
import time
from typing import Any

import boto3
import msgspec
import pytest
from moto import mock_aws

from syncline.aws.cloudwatch_logs import (
    BYTES_MAX,
    LINES_MAX,
    LOOK_SECONDS_MAX,
    SETTLED_MS,
    CloudWatchLogs,
)
from syncline.drivers.log_events import LogEvent
from syncline.errors import UnavailableError

GROUPS = ("/syncline/it/session", "/syncline/it/http")
NOW = time.time_ns() // 1_000_000
"""CloudWatch takes lines of about now only."""


class Clock:
    def __init__(self) -> None:
        self.ms = NOW

    def now_ns(self) -> int:
        return self.ms * 1_000_000


def line(number: int, path: str = "notes:list") -> str:
    event = LogEvent(path, "query", f"{number}", 0.1, False, 0, 0, 0, ("[LOG] hi",), None, number)
    return msgspec.json.encode({"level": "INFO", "message": path, "call": event}).decode()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        logs = boto3.client("logs", region_name="eu-central-1")
        for group in GROUPS:
            logs.create_log_group(logGroupName=group)
            logs.create_log_stream(logGroupName=group, logStreamName="one")
        yield logs


def put(client: Any, group: str, *lines: tuple[int, str]) -> None:
    events = [{"timestamp": at, "message": text} for at, text in lines]
    client.put_log_events(logGroupName=group, logStreamName="one", logEvents=events)


def test_calls_of_all_groups_come_once_in_the_order_of_their_times(client: Any):
    clock = Clock()
    logs = CloudWatchLogs(client, GROUPS, clock)
    put(client, GROUPS[0], (NOW - 9_000, line(1)), (NOW - 7_000, line(3)))
    put(client, GROUPS[1], (NOW - 8_000, line(2)), (NOW - 6_500, "REPORT duration_seconds"))
    put(client, GROUPS[1], (NOW - 6_400, line(9, "_system/cli/tables:default")))
    put(client, GROUPS[1], (NOW - SETTLED_MS + 1, line(4)))
    page = asyncio.run(logs.after(0, 0))
    assert [event.now_ms for event in page.events] == [1, 2, 3]
    assert page.cursor == NOW - SETTLED_MS
    assert list(asyncio.run(logs.after(page.cursor, 0)).events) == []
    clock.ms += 10_000
    later = asyncio.run(logs.after(page.cursor, 0))
    assert [event.now_ms for event in later.events] == [4]
    assert later.events[0].log_lines == ("[LOG] hi",)


def test_a_group_that_has_more_than_fits_is_read_on(client: Any):
    clock = Clock()
    logs = CloudWatchLogs(client, GROUPS, clock)
    count = LINES_MAX + 200
    first = NOW - SETTLED_MS - count
    put(client, GROUPS[0], *[(first + n, line(n)) for n in range(count)])
    put(client, GROUPS[1], (NOW - SETTLED_MS, line(count)))
    seen: list[int] = []
    cursor = 1
    while cursor < NOW - SETTLED_MS:
        page = asyncio.run(logs.after(cursor, 0))
        seen += [event.now_ms for event in page.events]
        cursor = page.cursor
    assert seen == list(range(count + 1))


def test_of_the_past_the_newest_that_fits_is_shown_and_the_cursor_is_now(client: Any):
    logs = CloudWatchLogs(client, GROUPS, Clock())
    count = LINES_MAX + 300
    first = NOW - SETTLED_MS - count
    put(client, GROUPS[0], *[(first + n, line(n)) for n in range(count)])
    page = asyncio.run(logs.after(0, 0))
    assert [event.now_ms for event in page.events] == list(range(300, count))
    assert page.cursor == NOW - SETTLED_MS


def test_an_answer_has_as_many_bytes_as_lambda_can_send(client: Any):
    logs = CloudWatchLogs(client, GROUPS, Clock())
    long = 200_000
    count = 2 * BYTES_MAX // long
    first = NOW - SETTLED_MS - count
    for n in range(count):
        put(client, GROUPS[n % 2], (first + n, line(n, "x" * long)))
    seen: list[int] = []
    cursor = first - 1
    while cursor < NOW - SETTLED_MS:
        page = asyncio.run(logs.after(cursor, 0))
        assert sum(len(event.path) for event in page.events) <= BYTES_MAX
        seen += [event.now_ms for event in page.events]
        assert page.cursor > cursor
        cursor = page.cursor
    assert seen == list(range(count))


def test_more_of_one_millisecond_than_fits_holds_nobody_up(client: Any):
    logs = CloudWatchLogs(client, GROUPS, Clock())
    at = NOW - SETTLED_MS - 10
    put(client, GROUPS[0], *[(at, line(n)) for n in range(LINES_MAX + 50)], (at + 1, line(9_999)))
    page = asyncio.run(logs.after(at - 5, 0))
    assert len(page.events) == LINES_MAX
    rest = asyncio.run(logs.after(page.cursor, 0))
    assert [event.now_ms for event in rest.events] == [9_999]


class Slow:
    """A CloudWatch with empty pages and always one more, each of which takes a second."""

    def __init__(self, clock: "Clock") -> None:
        self._clock = clock

    def filter_log_events(self, **_: Any) -> dict[str, Any]:
        self._clock.ms += 1_000
        return {"events": [], "nextToken": "more"}


def test_a_look_ends_in_time_however_many_pages_there_are():
    clock = Clock()
    logs = CloudWatchLogs(Slow(clock), GROUPS[:1], clock)
    page = asyncio.run(logs.after(NOW - 60_000, 0))
    assert (list(page.events), page.cursor) == ([], NOW - 60_000)
    assert clock.ms - NOW <= (LOOK_SECONDS_MAX + 1) * 1_000


def test_a_group_that_can_t_be_read_is_told(client: Any):
    logs = CloudWatchLogs(client, ("/syncline/none/session",), Clock())
    with pytest.raises(UnavailableError, match="/syncline/none/session"):
        asyncio.run(logs.after(0, 0))

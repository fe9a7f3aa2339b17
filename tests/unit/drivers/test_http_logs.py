"""`/api/stream_function_logs`: shapes that the official command line reads, and refusals."""

import asyncio
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.drivers.http_logs import LogEndpoints, completion, event_of
from syncline.drivers.http_messages import HttpError, HttpRequest
from syncline.drivers.log_events import LogEvent
from syncline.drivers.recent_logs import RecentLogs
from syncline.machine import SystemClock

EVENT = LogEvent(
    path="notes:list",
    kind="query",
    request_id="00000000000000ab",
    duration_seconds=0.0125,
    cached=False,
    documents_read=3,
    bytes_read=120,
    retries=2,
    log_lines=("[LOG] 'hi' 2", "[WARN] low\non ink"),
    error="Uncaught ValueError: no",
    now_ms=1_700_000_000_123,
    documents_written=1,
    bytes_written=40,
)


def ask(logs: RecentLogs, **query: str) -> dict[str, object]:
    endpoints = LogEndpoints(logs, seconds_max=0)
    request = HttpRequest("GET", "/api/stream_function_logs", query, {})
    answer = asyncio.run(endpoints.stream(request))
    assert isinstance(answer.body, bytes)
    return orjson.loads(answer.body)


def test_a_call_is_an_entry_with_what_the_official_command_line_reads():
    logs = RecentLogs(SystemClock())
    logs.add(EVENT)
    answer = ask(logs)
    [entry] = answer["entries"]  # type: ignore[misc] # one entry
    assert entry["kind"] == "Completion"
    assert (entry["udfType"], entry["identifier"]) == ("Query", "notes:list")
    assert (entry["timestamp"], entry["executionTime"]) == (1_700_000_000.123, 0.0125)
    assert (entry["cachedResult"], entry["error"]) == (False, "Uncaught ValueError: no")
    assert [(line["level"], line["messages"]) for line in entry["logLines"]] == [
        ("LOG", ["'hi' 2"]),
        ("WARN", ["low\non ink"]),
    ]
    assert entry["logLines"][0]["timestamp"] == EVENT.now_ms
    assert ask(logs, cursor=str(answer["newCursor"]))["entries"] == []


@pytest.mark.parametrize(
    ("path", "kind", "shown"),
    [
        ("notes:default", "mutation", "notes"),
        ("dir/notes:add", "action", "dir/notes:add"),
        ("GET /files/a:default", "httpAction", "GET /files/a:default"),
    ],
)
def test_functions_are_named_as_clients_name_them(path: str, kind: str, shown: str):
    event = LogEvent(path, kind, "", 0, False, 0, 0, 0, (), None, 1)
    assert completion(event)["identifier"] == shown


@given(
    st.sampled_from(["query", "mutation", "action", "httpAction"]),
    st.lists(st.text(), max_size=3),
    st.integers(0, 2**41),
    st.booleans(),
    st.none() | st.text(),
)
def test_our_command_line_shows_what_happened(
    kind: str, lines: list[str], now_ms: int, cached: bool, error: str | None
):
    event = LogEvent(
        path="notes:add",
        kind=kind,
        request_id="ab",
        duration_seconds=0.5,
        cached=cached,
        documents_read=1,
        bytes_read=2,
        retries=3,
        log_lines=tuple(f"[INFO] {line}" for line in lines),
        error=error,
        now_ms=now_ms,
        documents_written=4,
        bytes_written=5,
    )
    assert event_of(orjson.loads(orjson.dumps(completion(event)))) == event


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1e9", "1" * 16, "\u0663"])
def test_a_cursor_that_is_none_is_refused(cursor: str, tmp_path: Path):
    with pytest.raises(HttpError) as refused:
        ask(RecentLogs(SystemClock()), cursor=cursor)
    assert (refused.value.status, refused.value.code) == (400, "BadCursor")

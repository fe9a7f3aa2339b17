"""Counters per function."""

import msgspec
import orjson

from syncline.drivers.log_events import LogEvent
from syncline.drivers.usage_counters import HTTP_ACTIONS, OTHERS, FunctionUsage, UsageCounters
from syncline.limits import USAGE_FUNCTIONS_MAX

EVENT = LogEvent("m:f", "mutation", "0", 0.25, False, 2, 30, 1, (), None, 0, 3, 40)


def counted(*events: LogEvent) -> list[FunctionUsage]:
    counters = UsageCounters(since_ms=7)
    for event in events:
        counters.count(event)
    return counters.usage().functions


def test_calls_of_a_function_are_added_up():
    slower = msgspec.structs.replace(EVENT, duration_seconds=0.5, error="Server Error")
    assert counted(EVENT, slower, EVENT) == [
        FunctionUsage("m:f", "mutation", 3, 1, 0, 3, 6, 90, 9, 120, 1.0, 0.5)
    ]


def test_shared_results_are_cache_hits():
    query = LogEvent("m:q", "query", "", 0.0, True, 0, 0, 0, (), None, 0)
    assert counted(query, query) == [FunctionUsage("m:q", "query", 2, 0, 2)]


def test_http_actions_are_counted_together_whatever_their_paths():
    events = [
        msgspec.structs.replace(EVENT, path=f"GET /files/{n}", kind="httpAction") for n in range(9)
    ]
    assert [(each.path, each.calls) for each in counted(*events)] == [(HTTP_ACTIONS, 9)]


def test_beyond_the_bound_those_called_longest_ago_are_counted_together():
    used = msgspec.structs.replace(EVENT, path="often:called")
    names = [f"m:f{n}" for n in range(USAGE_FUNCTIONS_MAX + 10)]
    events = [msgspec.structs.replace(EVENT, path=name) for name in names]
    usage = {each.path: each for each in counted(used, *events[:1000], used, *events[1000:])}
    assert len(usage) == USAGE_FUNCTIONS_MAX + 1
    assert usage["often:called"].calls == 2
    assert usage[OTHERS] == FunctionUsage(
        OTHERS, "mutation", 11, 0, 0, 11, 22, 330, 33, 440, 2.75, 0.25
    )
    assert sum(each.calls for each in usage.values()) == len(events) + 2


def test_the_answer_is_json_in_the_clients_spelling():
    counters = UsageCounters(since_ms=7)
    counters.count(EVENT)
    answer = orjson.loads(msgspec.json.encode(counters.usage()))
    assert answer["sinceMs"] == 7
    assert answer["functions"][0]["cacheHits"] == 0
    assert answer["functions"][0]["secondsMax"] == 0.25

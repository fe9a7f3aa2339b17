"""The official npm client in Node against `syncline dev`: calls, live queries, errors, results."""

import base64
import re
from typing import Any

import pytest

from tests.clients.conftest import StartProgram
from tests.clients.program import Event
from tests.clients.server import DevServer

pytestmark = pytest.mark.clients


@pytest.fixture
def run(node: StartProgram, server: DevServer, room: str):
    """Runs a scenario of a program in its own room to its end."""

    def run_to_end(program: str, scenario: str):
        with node(program, scenario, server, room) as running:
            running.finish()
            return running

    return run_to_end


def named(events: list[Event], name: str) -> list[Event]:
    return [event for event in events if event["event"] == name]


def errors_of(events: list[Event]) -> dict[str, Event]:
    found = {event["label"]: event for event in named(events, "error")}
    assert not [event for event in found.values() if "unexpected" in event], found
    return found


def timestamp(text: str) -> int:
    return int.from_bytes(base64.b64decode(text), "little")


def only(events: list[Event], name: str) -> Event:
    [event] = named(events, name)
    return event


def test_http_client_calls_queries_and_mutations(run):
    calls = only(run("http_client", "calls").events, "calls")
    assert calls["before"] == []
    assert calls["task"]["_id"] == calls["id"]
    assert calls["task"]["text"] == "one"
    assert len(calls["id"]) == 32


def test_http_client_keeps_one_snapshot_for_consistent_queries(run):
    consistent = only(run("http_client", "consistent").events, "consistent")
    assert (consistent["first"], consistent["second"], consistent["fresh"]) == (1, 1, 2)


def test_values_of_every_type_survive_a_call_and_the_database(run):
    values = only(run("http_client", "values").events, "values")
    assert values["echoed"] == [], "changed on the way"
    assert values["kept"] == [], "changed in the database"


@pytest.mark.parametrize("program", ["http_client", "live_client"])
def test_application_errors_carry_their_data(run, program: str):
    errors = errors_of(run(program, "errors").events)
    assert errors["data"]["isConvexError"]
    expected: Any = {"code": 7, "why": ["no"]} if program == "http_client" else {"code": "7"}
    assert errors["data"]["data"] == expected
    assert errors["text"]["isConvexError"]
    assert errors["text"]["data"] == "closed"
    assert "closed" in errors["text"]["message"]


def test_http_client_is_told_what_went_wrong(run):
    program = run("http_client", "errors")
    errors = errors_of(program.events)
    assert errors["null"]["isConvexError"]
    assert errors["null"]["data"] is None
    check_plain_errors(errors)
    assert errors["rolled back"]["data"] == {"code": "refused", "text": "x"}
    assert only(program.events, "after")["tasks"] == []


def test_live_client_is_told_what_went_wrong_and_goes_on(run):
    program = run("live_client", "errors")
    errors = errors_of(program.events)
    assert errors["query data"]["data"] == {"code": 8}
    check_plain_errors(errors)
    assert (
        "Could not find public function for 'tasks:nothing'" in errors["unknown query"]["message"]
    )
    assert (
        "Could not find public function for 'tasks:nothing'" in errors["unknown action"]["message"]
    )
    assert "ArgumentValidationError" in errors["malformed id"]["message"]
    assert only(program.events, "after")["double"] == 4


def check_plain_errors(errors: dict[str, Event]) -> None:
    """What both clients are told about errors that carry no data."""
    assert "Uncaught ValueError: the tank is empty" in errors["crash"]["message"]
    assert "mistakes.py" in errors["crash"]["message"], "no traceback on a dev deployment"
    assert not errors["crash"]["isConvexError"]
    missing = "Could not find public function for 'tasks:nothing'"
    assert missing in errors["unknown function"]["message"]
    internal = "Could not find public function for 'mistakes:secret'"
    assert internal in errors["internal"]["message"]
    kind = "Trying to execute tasks.js:get as Mutation, but it is defined as Query."
    assert kind in errors["wrong kind"]["message"]
    argument = errors["wrong argument"]["message"]
    assert "ArgumentValidationError: Value does not match validator." in argument
    assert "Path: .number" in argument
    assert "Validator: v.float64()" in argument
    assert "missing the required field `" in errors["missing argument"]["message"]
    assert "Function execution timed out" in errors["endless"]["message"]


def test_http_client_gets_admin_rights_by_key_only(run):
    events = run("http_client", "admin").events
    assert only(events, "admin")["secret"] == "for functions and admins"
    who = {"subject": "u1", "issuer": "https://issuer.test", "name": "Zoë"}
    assert only(events, "impersonated")["who"] == who
    assert only(events, "anonymous")["who"] is None
    assert "BadDeployKey" in errors_of(events)["bad key"]["message"]


def test_live_query_follows_what_another_client_writes(run):
    found = only(run("live_client", "follows").events, "list")
    assert found["seen"] == [[], ["one"], ["one", "two"], ["one", "two", "three"]]
    assert found["once"] == ["one", "two", "three"]


def test_live_client_works_over_node_s_own_web_socket(run):
    assert only(run("live_client", "built_in_socket").events, "list")["seen"] == ["one"]


def test_mutations_of_one_client_run_in_order_and_settle_without_any_query(run):
    events = run("live_client", "mutations_alone").events
    assert only(events, "values")["values"] == list(range(1, 21))
    received = only(events, "received")
    version = {"querySet": 0, "identity": 0, "ts": "AAAAAAAAAAA="}
    for transition in received["transitions"]:
        assert transition["start"] == version
        version = transition["end"]
    last_response, last_transition = received["responses"][-1], received["transitions"][-1]
    assert last_response["position"] < last_transition["position"]
    assert timestamp(version["ts"]) >= timestamp(last_response["ts"])
    assert len({response["ts"] for response in received["responses"]}) == 20


def test_optimistic_update_stays_until_the_transition_with_the_write(run):
    found = only(run("live_client", "optimistic_kept").events, "list")
    assert found["seen"] == [
        [],
        ["mine (sending)"],
        ["theirs", "mine (sending)"],
        ["theirs", "mine"],
    ]
    assert found["settled"] == ["theirs", "mine"], "the promise settled before its Transition"


def test_optimistic_update_of_a_failed_mutation_is_rolled_back(run):
    events = run("live_client", "optimistic_rolled_back").events
    failing = errors_of(events)["failing"]
    assert failing["isConvexError"]
    assert failing["data"] == {"code": "refused", "text": "doomed"}
    assert only(events, "list")["seen"] == [["kept", "doomed (sending)"], ["kept"]]


def test_failed_mutation_takes_back_only_its_own_optimistic_update(run):
    seen = only(run("live_client", "optimistic_pair").events, "list")["seen"]
    assert seen == [
        [],
        ["doomed (sending)"],
        ["doomed (sending)", "good (sending)"],
        ["good (sending)"],
        ["good"],
    ]


@pytest.mark.parametrize("offence", ["endless", "stubborn", "catastrophic"])
def test_function_that_never_ends_is_stopped_and_harms_nobody_else(
    node: StartProgram, own_server: DevServer, room: str, offence: str
):
    # Other tests that share the server may have called it, too.
    begin = len(own_server.log.splitlines())
    with node("live_client", f"offender:{offence}", own_server, room) as program:
        events = program.finish()
    assert "Function execution timed out" in errors_of(events)[offence]["message"]
    after = only(events, "after")
    print(f"mutations acknowledged meanwhile: {after['written']}")
    assert after["written"] >= own_server.MUTATIONS_MEANWHILE_MIN
    assert after["connections"] == [1, 1, 1]
    ran = re.compile(rf"Q mistakes:{offence} .*cache miss")
    own_server.wait_for_log(ran, begin=begin)
    said = "\n".join(own_server.log.splitlines()[begin:])
    assert len(ran.findall(said)) == 1, "it was run again while it ran"


def test_failing_query_shows_its_error_and_recovers_when_data_changes(run):
    counter = only(run("live_client", "error_comes_and_goes").events, "counter")
    assert counter["values"] == [1, 3]
    assert counter["errors"] == [{"even": 0}, {"even": 2}]


def test_result_above_five_megabytes_arrives_whole_in_chunks(run):
    large = only(run("live_client", "large").events, "large")
    assert [seen["value"] for seen in large["seen"]] == ["0", "1"]
    assert all(seen["right"] and seen["rows"] == 700 for seen in large["seen"])
    assert large["bytes"] > 2 * 5_000_000
    assert large["chunkCharacters"] <= 5_000_000
    parts = large["chunks"][0][1]
    assert parts > 1
    assert large["chunks"] == [[number, parts] for number in range(parts)] * 2


def test_unsubscribed_query_is_sent_no_more(run):
    events = run("live_client", "unsubscribes").events
    after = only(events, "after")
    assert after["left"] == [0]
    assert [update for update in after["updates"] if update[1] == 0] == [
        ["QueryUpdated", 0],
        ["QueryRemoved", 0],
    ]
    assert only(events, "again")["value"] == 1


def test_two_queries_are_always_shown_from_one_snapshot(run, server: DevServer):
    count = server.TRANSFERS
    pairs = only(run("live_client", f"one_snapshot:{count}").events, "seen")["pairs"]
    assert {a + b for a, b in pairs} == {100}
    assert pairs[-1] == [100 - count, count]
    assert len(pairs) > 2, "nothing changed while it was watched"


def test_live_client_authenticates_as_admin_acting_as_a_user(run):
    events = run("live_client", "authenticates").events
    who = only(events, "who")
    user = {"subject": "u1", "issuer": "https://issuer.test", "name": "Zoë"}
    assert who["seen"] == [None, user, None]
    assert who["secret"] == "for functions and admins"
    assert "Could not find public function" in errors_of(events)["secret"]["message"]


def test_log_lines_reach_the_client_s_console(run, room: str):
    lines = [event["text"] for event in named(run("live_client", "log_lines").events, "log")]
    assert any("[CONVEX Q(results:chatty)] [LOG]" in line and room in line for line in lines)
    assert any(
        "[CONVEX Q(results:chatty)] [WARN]" in line and "low on ink" in line for line in lines
    )
    assert any("[CONVEX M(results:chatty_change)] [ERROR]" in line for line in lines)
    assert not any("Could not parse" in line for line in lines)


def test_pages_stay_gapless_when_rows_are_inserted_into_them(run):
    pages = only(run("live_client", "paginates").events, "pages")
    assert pages["before"] == [number * 10 for number in range(25)]
    assert pages["after"] == sorted([*pages["before"], 5, 95, 105, 195, 245])
    assert pages["repeated"] == []

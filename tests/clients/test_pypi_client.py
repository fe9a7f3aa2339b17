"""The official PyPI clients against `syncline dev`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import StartProgram
from tests.clients.program import Event
from tests.clients.server import PROJECT, DevServer

pytestmark = pytest.mark.clients

PROGRAMS = pytest.mark.parametrize("program", ["live_client", "http_client"])


@pytest.fixture
def run(pypi: StartProgram, server: DevServer, room: str):
    """Runs a scenario of a program in its own room to its end; returns its events."""

    def run_to_end(program: str, scenario: str) -> list[Event]:
        with pypi(program, scenario, server, room) as running:
            return running.finish()

    return run_to_end


def errors_of(events: list[Event]) -> dict[str, Event]:
    found = {event["label"]: event for event in events if event["event"] == "error"}
    assert not [event for event in found.values() if "unexpected" in event], found
    return found


@PROGRAMS
def test_calls_queries_and_mutations(run, program: str):
    [calls] = run(program, "calls")
    assert calls["before"] == []
    assert [task["_id"] for task in calls["after"]] == [calls["id"]]
    assert calls["after"][0]["text"] == "one"


@PROGRAMS
def test_values_of_every_type_survive_the_way_there_and_back(run, program: str):
    [values] = run(program, "values")
    assert values["wrong"] == [], values["kept"]


@PROGRAMS
def test_errors_say_what_went_wrong(run, program: str):
    events = run(program, "errors")
    errors = errors_of(events)
    for label, data in (("data", {"code": 7}), ("text", "closed"), ("query data", {"code": 8})):
        assert errors[label]["kind"] == "ConvexError"
        assert errors[label]["data"] == data
    assert "the tank is empty" in errors["crash"]["message"]
    missing = "Could not find public function for 'tasks:nothing'"
    assert missing in errors["unknown function"]["message"]
    assert "defined as Query" in errors["wrong kind"]["message"]
    assert "ArgumentValidationError" in errors["wrong argument"]["message"]
    assert errors["rolled back"]["data"] == {"code": "refused", "text": "x"}
    assert events[-1]["tasks"] == []


def test_http_client_is_refused_with_a_wrong_admin_key(run):
    errors = errors_of(run("http_client", "bad_key"))
    assert errors["bad key"]["message"].startswith("403 BadDeployKey: ")


def test_subscription_follows_changes(pypi: StartProgram, server: DevServer, room: str):
    with pypi("live_client", "subscribes", server, room) as client:
        assert client.event("value")["value"] == 0
        for value in (1, 2, 3, 4, 5):
            server.mutation("counters:increment", name=room)
            assert client.event("value")["value"] == value
        done = client.only("done")
    assert done["seen"] == [0, 1, 2, 3, 4, 5]
    assert done["after"] == 15


def test_set_of_subscriptions_is_always_one_snapshot(
    pypi: StartProgram, server: DevServer, room: str
):
    with pypi("live_client", "watches_all", server, room) as client:
        client.event("watching")
        for _ in range(20):
            server.mutation(
                "counters:transfer", source=f"{room}-source", target=f"{room}-target", amount=1
            )
        pairs = client.only("pairs")["pairs"]
    assert {a + b for a, b in pairs} == {50}
    assert pairs[-1] == [30, 20]


def test_result_above_five_megabytes_arrives_without_chunks(run):
    [large] = run("live_client", "large")
    assert large["rows"] == 700
    assert large["size"] > 5_000_000


def test_subscription_survives_restarts_of_the_server(
    pypi: StartProgram, own_server: DevServer, room: str
):
    with pypi("live_client", "subscribes", own_server, room) as client:
        assert client.event("value")["value"] == 0
        assert own_server.stop() == 0
        own_server.start()
        own_server.mutation("counters:increment", name=room, by=2)
        while client.event("value")["value"] != 2:
            pass
        own_server.restart()
        own_server.mutation("counters:increment", name=room, by=3)
        done = client.only("done")
    assert done["seen"][-1] == 5
    assert done["after"] == 15
    assert own_server.query("counters:read", name=room) == 15


def test_mutations_go_on_through_kill_9_and_none_is_lost(
    pypi: StartProgram, own_server: DevServer, room: str
):
    count = own_server.IN_TURN
    with pypi("live_client", f"many_mutations:{count}", own_server, room) as client:
        client.event("under way")
        own_server.restart()
        own_server.kill_postgres()
        done = client.only("done")
    # The one under way at each kill may run twice: this client's session id does not survive.
    assert count <= done["value"] <= count + 2
    assert own_server.query("counters:read", name=room) == done["value"]


def test_python_quickstart_adds_its_task_and_follows_the_list(tmp_path: Path):
    with DevServer(PROJECT / "functions", tmp_path) as server:
        follower = subprocess.Popen(
            [
                sys.executable,
                "-u",
                PROJECT / "examples/quickstart-python/follow_tasks.py",
                "Buy milk",
            ],
            env={**os.environ, "CONVEX_URL": server.url},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert follower.stdout is not None
            with follower.stdout as lines:
                assert [next(lines), next(lines)] == ["· Buy milk\n", "-- 1 tasks\n"]
                server.mutation("tasks:add", text="Walk the dog")
                shown = [next(lines) for _ in range(3)]
                assert shown == ["· Buy milk\n", "· Walk the dog\n", "-- 2 tasks\n"]
        finally:
            follower.kill()
            follower.wait()

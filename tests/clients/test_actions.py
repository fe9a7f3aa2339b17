"""Actions through the official clients: calls, concurrency, errors, and how they end."""

import json

import pytest

from tests.clients.conftest import StartProgram
from tests.clients.program import ClientProgram, Event
from tests.clients.server import DevServer
from tests.integration.deployed_project import DeployedProject

pytestmark = pytest.mark.clients


def fields(program: ClientProgram, name: str) -> Event:
    [event] = [event for event in program.events if event["event"] == name]
    return event


def errors_of(program: ClientProgram) -> dict[str, Event]:
    found = {event["label"]: event for event in program.events if event["event"] == "error"}
    assert not [event for event in found.values() if "unexpected" in event], found
    return found


def test_the_npm_clients_call_actions(node: StartProgram, server: DevServer, room: str):
    with node("actions", "calls", server, room) as program:
        program.finish()
    assert fields(program, "live")["value"] == 3
    assert fields(program, "http")["value"] == 5
    echoed = fields(program, "echo")
    assert (echoed["n"], echoed["b"], echoed["list"]) == ("7", [0, 255], [1.5, "two", None])
    message = fields(program, "caught")["message"]
    assert message == "Could not find function for 'actions:nothing'."


def test_the_pypi_clients_call_actions(pypi: StartProgram, server: DevServer, room: str):
    with pypi("actions", "calls", server, room) as program:
        program.finish()
    assert [fields(program, name)["value"] for name in ("live", "http")] == [3, 5]
    assert fields(program, "echo")["value"] == [1.5, "two", None]


def test_actions_of_one_connection_run_at_the_same_time(
    node: StartProgram, server: DevServer, room: str
):
    with node("actions", "at_the_same_time", server, room) as program:
        assert program.only("waited")["value"] == 2


def test_the_update_behind_an_answer_shows_what_the_action_did(
    node: StartProgram, server: DevServer, room: str
):
    with node("actions", "shown", server, room) as program:
        shown = program.only("shown")
    assert shown["seen"][-1] == 3
    assert shown["seen"] == sorted(shown["seen"])


@pytest.mark.parametrize("client", ["node", "pypi"])
def test_errors_arrive_with_their_data(
    client: str, request: pytest.FixtureRequest, server: DevServer, room: str
):
    with request.getfixturevalue(client)("actions", "errors", server, room) as program:
        program.finish()
    errors = errors_of(program)
    for way in ("live", "http"):
        assert errors[f"{way} data"]["data"] == {"code": 7}
        assert "Uncaught ValueError: boom" in errors[f"{way} crash"]["message"]
        missing = "Could not find public function for 'actions:nothing'"
        assert missing in errors[f"{way} unknown"]["message"]
    if client == "node":
        for way in ("live", "http"):
            assert "Could not find public function" in errors[f"{way} internal"]["message"]
            assert "defined as Query" in errors[f"{way} wrong kind"]["message"]
            assert "ArgumentValidationError" in errors[f"{way} wrong argument"]["message"]
        refused = errors["network in a mutation"]["message"]
        assert "If you need the network, write an action" in refused


def test_an_action_goes_on_when_its_client_has_left(
    node: StartProgram, server: DevServer, room: str
):
    with node("actions", "leaves", server, room) as program:
        assert program.only("after")["values"][-1] == 2


def test_stopping_the_server_cancels_actions_which_may_clean_up(
    node: StartProgram, own_server: DevServer, room: str
):
    with node("actions", "is_stopped", own_server, room) as program:
        program.event("waiting")
        while own_server.query("counters:read", name=room) == 0:
            pass
        assert own_server.stop() == 0
        own_server.start()
        program.finish()
    stopped = errors_of(program)["stopped"]["message"]
    assert "The action was cancelled." in stopped
    assert own_server.query("counters:read", name=room) == 11


def test_both_command_lines_run_actions(server: DevServer, room: str, tmp_path):
    project = DeployedProject(server, tmp_path)
    arguments = json.dumps({"name": room, "times": 2})
    assert json.loads(project.syncline("run", "actions:count_up", arguments).stdout) == 2
    assert json.loads(project.convex("run", "actions:count_up", arguments).stdout) == 4
    inside = project.convex("run", "actions:refuse_inside", '{"data": "closed"}', fails=True)
    assert "closed" in inside.stderr
    identity = json.dumps({"name": "Ada", "subject": "ada", "issuer": "https://test.invalid"})
    who = project.convex("run", "actions:subjects", "--identity", identity)
    assert json.loads(who.stdout) == ["ada", "ada"]

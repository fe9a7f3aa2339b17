"""Environment variables by the official command line, ours, and a live official client."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import StartProgram
from tests.clients.server import DevServer
from tests.integration.deployed_project import DeployedProject

pytestmark = pytest.mark.clients


@pytest.fixture
def project(server: DevServer, tmp_path: Path) -> DeployedProject:
    return DeployedProject(server, tmp_path)


@pytest.fixture
def name(room: str) -> str:
    """A variable of this test alone."""
    return room.replace("-", "_").upper()


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_official_command_line_sets_lists_gets_and_removes(project: DeployedProject, name: str):
    project.convex("env", "set", name, "first value")
    assert project.convex("env", "get", name).stdout.strip() == "first value"
    project.convex("env", "set", f"{name}_2", "zweiter ✓")
    listed = project.convex("env", "list").stdout
    assert f"{name}=" in listed
    assert "zweiter ✓" in listed
    project.convex("env", "remove", name)
    assert name not in project.syncline("env", "list", "--json").stdout.replace(f"{name}_2", "")
    project.convex("env", "remove", f"{name}_2")
    refused = project.convex("env", "set", "NO-NAME", "x", fails=True)
    assert "no name of an environment variable" in refused.stderr


def test_our_command_line_does_so_too(project: DeployedProject, name: str):
    value = " with 'quotes' and\nlines "
    project.syncline("env", "set", name, value)
    assert json.loads(project.syncline("env", "get", name, "--json").stdout) == value
    subprocess.run(
        [sys.executable, "-m", "syncline.cli.app", "env", "set", name],
        input="by standard input\n",
        env=project.server.environment(),
        cwd=project.folder,
        text=True,
        check=True,
    )
    assert project.syncline("env", "get", name).stdout == "by standard input\n"
    lines = project.folder / "variables"
    lines.write_text(f"# a comment\n{name}='from # a file'\nexport {name}_2=two # words\n")
    project.syncline("env", "set", "--from-file", "variables")
    listed = project.syncline("env", "list").stdout.splitlines()
    assert {f"{name}='from # a file'", f"{name}_2=two"} <= set(listed)
    for each in (name, f"{name}_2"):
        project.syncline("env", "remove", each)
    gone = project.syncline("env", "get", name, fails=True)
    assert f"{name} is not set on the deployment" in gone.stderr


def test_functions_of_every_kind_read_what_was_set(project: DeployedProject, name: str):
    project.syncline("env", "set", name, "secret")
    for function in ("matches", "matches_in_action"):
        arguments = json.dumps({"name": name, "digest": digest_of("secret")})
        answer = project.syncline("run", f"environment:{function}", arguments, "--json")
        assert answer.stdout == "true\n"
    project.syncline("env", "remove", name)


def follow(project: DeployedProject, pypi: StartProgram, room: str, name: str) -> int:
    """Change a variable three times under a live client; how many results it had of the other."""
    with pypi("environment", f"follows:{name}", project.server, room) as client:
        assert client.event("value")["value"] is None
        project.convex("env", "set", name, "one")
        assert client.event("value")["value"] == "one"
        project.syncline("env", "remove", name)
        assert client.event("value")["value"] is None
        project.syncline("env", "set", name, "end")
        assert client.event("value")["value"] == "end"
        return client.only("seen")["others"]


def test_a_live_client_is_sent_what_a_change_touches_and_nothing_else_is_run_again(
    project: DeployedProject, pypi: StartProgram, room: str, name: str
):
    # Every run of it has another result.
    assert follow(project, pypi, room, name) == 1

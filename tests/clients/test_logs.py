"""The functions' logs by the official command line and by ours, while functions run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts.node_toolchain import node_toolchain
from tests.clients.server import CallFailedError, DevServer
from tests.integration.deployed_project import DeployedProject

pytestmark = pytest.mark.clients


@pytest.fixture
def project(server: DevServer, tmp_path: Path) -> DeployedProject:
    return DeployedProject(server, tmp_path)


@contextmanager
def following(project: DeployedProject, *command: str, official: bool) -> Iterator[Any]:
    """A command that prints until it is ended; yields its standard output, line by line."""
    environment = project.server.environment()
    if official:
        # Prepares the folder.
        project.convex("function-spec")
        toolchain = node_toolchain()
        environment |= {"PATH": toolchain.environment()["PATH"]}
        whole = toolchain.command("node", "node_modules/convex/bin/main.js", *command)
    else:
        whole = [sys.executable, "-m", "syncline.cli.app", *command]
    process = subprocess.Popen(
        whole,
        cwd=project.folder,
        env={**environment, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        # It says so before it asks for the first time.
        said = iter(process.stderr.readline, "")
        assert any("Watching logs" in line for line in said)
        yield process.stdout
    finally:
        process.terminate()
        process.communicate(timeout=30)


def entry_of(lines: Any, identifier: str, said: str) -> dict[str, Any]:
    """The first entry about a function one of whose lines has this text."""
    for line in lines:
        entry = json.loads(line)
        if entry["identifier"] == identifier and said in json.dumps(entry["logLines"]):
            return entry
    raise AssertionError("the command ended")


def test_the_official_command_line_shows_calls_with_their_lines(
    project: DeployedProject, room: str
):
    server = project.server
    server.query("results:chatty", name=room)
    command = ("logs", "--history", "1000", "--jsonl")
    with following(project, *command, official=True) as lines:
        before = entry_of(lines, "results:chatty", room)
        server.mutation("results:chatty_change", name=room)
        change = entry_of(lines, "results:chatty_change", "changing nothing")
    levels = [(line["level"], line["messages"][0]) for line in before["logLines"]]
    assert levels == [("LOG", f"'reading' '{room}'"), ("WARN", "'low on ink'")]
    assert (before["udfType"], before["cachedResult"]) == ("Query", False)
    assert change["udfType"] == "Mutation"
    assert [line["level"] for line in change["logLines"]] == ["ERROR"]


def test_our_command_line_shows_them_for_people_with_errors_in_full(
    project: DeployedProject, room: str
):
    server = project.server
    server.query("results:chatty", name=room)
    with following(project, "logs", "--history", "1000", official=False) as lines:
        said = ""
        while f"reading' '{room}'" not in said:
            said += lines.readline()
        with pytest.raises(CallFailedError):
            server.query("mistakes:crash", name=room)
        while "mistakes:crash" not in said:
            said += lines.readline()
        while "Error" not in said.rpartition("mistakes:crash")[2]:
            said += lines.readline()
    assert "Q results:chatty" in said
    assert server.admin_key.partition("|")[2] not in said


def test_nobody_without_the_admin_key_is_shown_anything(project: DeployedProject):
    refused = project.syncline("logs", "--admin-key", "local|wrong", fails=True)
    assert "admin key" in refused.stderr.lower()
    assert os.linesep not in refused.stdout

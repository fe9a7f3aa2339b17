"""Our own command line against a running `syncline dev`."""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.server import PROJECT, DevServer
from tests.integration.deployed_project import DeployedProject

SAMPLE = PROJECT / "sampleData.jsonl"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with DevServer(PROJECT / "functions", tmp_path_factory.mktemp("own")) as running:
        yield running


@pytest.fixture
def project(server: DevServer, tmp_path: Path) -> DeployedProject:
    project = DeployedProject(server, tmp_path)
    project.syncline("import", str(SAMPLE), "--table", "tasks", "--replace", "--yes")
    return project


def test_run_prints_the_value_on_standard_output_only(project: DeployedProject):
    created = project.syncline("run", "tasks:add", '{"text": "x"}', "--json")
    assert json.loads(created.stdout).startswith("j57")
    assert not created.stderr
    tasks = json.loads(project.syncline("run", "tasks:get").stdout)
    assert [task["text"] for task in tasks][-1] == "x"


def test_failures_are_told_once_and_exit_with_1(project: DeployedProject):
    missing = project.syncline("run", "tasks:nope", fails=True)
    assert "Could not find function for 'tasks:nope'" in missing.stderr
    assert "tasks:toggle" in missing.stderr
    wrong = project.syncline("run", "tasks:add", '{"txt": "x"}', fails=True)
    assert "ArgumentValidationError" in wrong.stderr
    refused = project.syncline("run", "tasks:get", "--admin-key", "local|0", fails=True)
    assert "not the key of this deployment" in refused.stderr
    assert (missing.returncode, wrong.returncode, refused.returncode) == (1, 1, 1)


def test_watch_prints_every_new_result(project: DeployedProject):
    command = [sys.executable, "-m", "syncline.cli.app", "run", "tasks:get", "--watch", "--json"]
    with subprocess.Popen(
        command,
        cwd=project.folder,
        env=project.server.environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as watching:
        try:
            assert watching.stdout is not None
            first = json.loads(watching.stdout.readline())
            project.syncline("run", "tasks:add", '{"text": "seen"}')
            second = json.loads(watching.stdout.readline())
        finally:
            watching.terminate()
    assert [task["text"] for task in second] == [*(task["text"] for task in first), "seen"]


def test_watching_a_failing_query_shows_its_error(project: DeployedProject):
    command = [sys.executable, "-m", "syncline.cli.app", "run", "tasks:nope", "--watch"]
    with subprocess.Popen(
        command,
        cwd=project.folder,
        env=project.server.environment() | {"PYTHONUNBUFFERED": "1"},
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        try:
            assert watching.stderr is not None
            lines = [watching.stderr.readline(), watching.stderr.readline()]
        finally:
            watching.terminate()
    assert any("Could not find" in line for line in lines)


def test_data_shows_tables_and_documents(project: DeployedProject):
    tables = json.loads(project.syncline("data", "--json").stdout)
    assert {"channels", "messages", "tasks"} <= set(tables)
    rows = project.syncline("data", "tasks", "--json", "--order", "asc", "--limit", "2").stdout
    assert [json.loads(row)["text"] for row in rows.splitlines()] == [
        "Start a new app",
        "Write a Python query",
    ]
    assert "Write a Python query" in project.syncline("data", "tasks").stdout


def test_usage_counts_what_every_function_has_used(project: DeployedProject):
    def used() -> dict[str, dict[str, Any]]:
        usage = json.loads(project.syncline("usage", "--json").stdout)
        return {each["path"]: each for each in usage["functions"]}

    project.syncline("run", "tasks:get")
    before = used()
    project.syncline("run", "tasks:add", '{"text": "one more"}')
    project.syncline("run", "tasks:add", '{"text": " "}', fails=True)
    project.syncline("run", "tasks:get")
    project.syncline("run", "tasks:get")
    after = used()
    change = {
        name: after["tasks:get"][name] - before["tasks:get"][name]
        for name in ("calls", "cacheHits", "documentsRead", "errors")
    }
    assert change == {"calls": 2, "cacheHits": 1, "documentsRead": 4, "errors": 0}
    added = after["tasks:add"]
    assert (added["calls"] - before.get("tasks:add", {}).get("calls", 0)) == 2
    assert added["errors"] >= 1
    assert added["bytesWritten"] > 50 * added["documentsWritten"] > 0
    assert added["seconds"] >= added["secondsMax"] > 0
    assert "tasks:add" in project.syncline("usage").stdout


def test_a_question_that_nobody_can_answer_fails_and_names_yes(project: DeployedProject):
    answer = project.syncline("import", str(SAMPLE), "--table", "tasks", "--replace", fails=True)
    assert "--yes" in answer.stderr
    assert len(json.loads(project.syncline("run", "tasks:get").stdout)) == 3


def test_an_upload_in_several_parts_and_a_snapshot_come_back_whole(project: DeployedProject):
    large = project.folder / "large.jsonl"
    text = "x" * 20_000
    with large.open("w") as file:
        for number in range(400):
            file.write(json.dumps({"text": f"{number} {text}", "isCompleted": False}) + "\n")
    assert large.stat().st_size > 5 * 2**20
    answer = project.syncline(
        "import", str(large), "--table", "tasks", "--replace", "--yes", "--json"
    )
    assert json.loads(answer.stdout) == {"documents": 400}
    exported = json.loads(project.syncline("export", "--path", "out.zip", "--json").stdout)
    assert exported["path"] == "out.zip"
    with zipfile.ZipFile(project.folder / "out.zip") as archive:
        rows = archive.read("tasks/documents.jsonl").splitlines()
    assert len(rows) == 400
    project.syncline("import", "out.zip", "--replace-all", "--yes")
    project.syncline("export", "--path", "again.zip")
    with zipfile.ZipFile(project.folder / "again.zip") as archive:
        assert archive.read("tasks/documents.jsonl").splitlines() == rows


def test_push_replaces_the_functions_and_a_bad_push_changes_nothing(
    project: DeployedProject, tmp_path: Path
):
    functions = tmp_path / "functions"
    functions.mkdir()
    for file in (PROJECT / "functions").glob("*.py"):
        (functions / file.name).write_text(file.read_text())
    (functions / "extra.py").write_text(
        "from syncline import query\n\n@query\nasync def answer(ctx) -> int:\n    return 42\n"
    )
    pushed = json.loads(project.syncline("push", "--json").stdout)
    assert "extra" in pushed["changedModules"]
    assert json.loads(project.syncline("run", "extra:answer").stdout) == 42
    (functions / "extra.py").write_text("import nothing_of_this_name\n")
    refused = project.syncline("push", fails=True)
    assert "extra.py" in refused.stderr
    assert json.loads(project.syncline("run", "extra:answer").stdout) == 42
    (functions / "extra.py").unlink()
    assert "extra" in json.loads(project.syncline("push", "--json").stdout)["removedModules"]


def test_generated_files_follow_every_save_once_they_are_there(project: DeployedProject):
    server = project.server
    types = server.project / "convex" / "_generated" / "api.d.ts"
    project.syncline(
        "codegen", "--functions", str(server.functions), "--out", str(types.parent), "--no-stubs"
    )
    assert "saved" not in types.read_text()
    begin = len(server.log.splitlines())
    added = server.functions / "saved.py"
    added.write_text("from syncline import query\n\n@query\nasync def fn(ctx) -> None:\n    pass\n")
    try:
        server.wait_for_log(re.compile(r"generated .*api\.d\.ts"), begin=begin)
        assert "saved: {" in types.read_text()
        assert not (server.functions / "_generated").exists()
    finally:
        begin = len(server.log.splitlines())
        added.unlink()
        server.wait_for_log(re.compile("Functions ready"), begin=begin)


def test_function_spec_goes_to_a_file(project: DeployedProject):
    project.syncline("function-spec", "--file", "spec.json")
    spec = json.loads((project.folder / "spec.json").read_text())
    assert spec["url"] == project.server.url
    assert len(spec["functions"]) == 8

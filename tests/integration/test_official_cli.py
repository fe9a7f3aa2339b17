"""`npx convex` against a Syncline deployment: what its users do with data and functions."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.server import PROJECT, DevServer
from tests.integration.deployed_project import DeployedProject

pytestmark = pytest.mark.clients

SAMPLE = PROJECT / "sampleData.jsonl"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with DevServer(PROJECT / "functions", tmp_path_factory.mktemp("official")) as running:
        yield running


@pytest.fixture
def project(server: DevServer, tmp_path: Path) -> DeployedProject:
    """Every test begins with the three sample tasks."""
    project = DeployedProject(server, tmp_path)
    project.syncline("import", str(SAMPLE), "--table", "tasks", "--replace", "--yes")
    return project


def test_run_calls_queries_and_mutations_and_names_what_there_is_for_a_missing_one(
    project: DeployedProject,
):
    created = json.loads(project.convex("run", "tasks:add", '{"text": "by npx"}').stdout)
    tasks = json.loads(project.convex("run", "tasks:get").stdout)
    assert tasks[-1]["_id"] == created
    assert tasks[-1]["text"] == "by npx"
    answer = project.convex("run", "tasks:nope", fails=True)
    assert "Could not find function for 'tasks:nope'" in answer.stderr
    assert "tasks:toggle" in answer.stderr


def test_run_acts_as_a_user(project: DeployedProject):
    answer = project.convex("run", "tasks:get", "--identity", '{"name": "Ada"}')
    assert len(json.loads(answer.stdout)) == 3


def test_a_failing_function_is_a_failing_command_with_its_message(project: DeployedProject):
    answer = project.convex("run", "tasks:add", '{"text": " "}', fails=True)
    assert "A task needs a text." in answer.stderr


def test_data_lists_tables_and_documents(project: DeployedProject):
    assert {"channels", "messages", "tasks"} <= set(project.convex("data").stdout.split())
    lines = project.convex("data", "tasks", "--format", "jsonl", "--order", "asc").stdout
    assert [line for line in lines.splitlines() if '"Start a new app"' in line]
    assert len(lines.splitlines()) == 3
    limited = project.convex("data", "tasks", "--limit", "2")
    assert "Showing the 2 most recently created documents" in limited.stderr


def test_import_goes_by_its_modes(project: DeployedProject):
    refused = project.convex("import", "--table", "tasks", str(SAMPLE), fails=True)
    assert "--append" in refused.stderr
    added = project.convex("import", "--table", "tasks", "--append", str(SAMPLE))
    assert 'Added 3 documents to table "tasks"' in added.stderr
    assert len(json.loads(project.convex("run", "tasks:get").stdout)) == 6
    project.convex("import", "--table", "tasks", "--replace", "-y", str(SAMPLE))
    assert len(json.loads(project.convex("run", "tasks:get").stdout)) == 3


def test_import_reads_csv_and_json_arrays(project: DeployedProject):
    csv = project.folder / "people.csv"
    csv.write_text("name,age\nAda,36\nGrace,\n")
    array = project.folder / "people.json"
    array.write_text('[{"name": "Alan", "age": 41}]')
    project.convex("import", "--table", "people", "--replace", "-y", str(csv))
    project.convex("import", "--table", "people", "--append", str(array))
    rows = project.syncline("data", "people", "--json", "--order", "asc").stdout.splitlines()
    found = [(row["name"], row["age"]) for row in map(json.loads, rows)]
    assert found == [("Ada", 36.0), ("Grace", ""), ("Alan", 41.0)]


def test_a_line_that_cannot_be_read_is_named(project: DeployedProject):
    broken = project.folder / "broken.jsonl"
    broken.write_text('{"text": "a", "isCompleted": true}\n{"text": \n')
    answer = project.convex("import", "--table", "tasks", "--append", str(broken), fails=True)
    assert "line 2: Not valid JSON" in answer.stderr


def test_export_and_import_of_a_snapshot_keep_documents_and_ids(project: DeployedProject):
    before = project.convex("run", "tasks:get").stdout
    project.convex("export", "--path", "snapshot.zip")
    with zipfile.ZipFile(project.folder / "snapshot.zip") as archive:
        names = set(archive.namelist())
        assert {"_tables/documents.jsonl", "tasks/documents.jsonl"} <= names
    project.convex("run", "tasks:add", '{"text": "later"}')
    project.convex("import", "--replace-all", "-y", "snapshot.zip")
    assert project.convex("run", "tasks:get").stdout == before


def test_function_spec_lists_every_function_with_its_validators(project: DeployedProject):
    spec = json.loads(project.convex("function-spec").stdout)
    assert spec["url"] == project.server.url
    functions = {each["identifier"]: each for each in spec["functions"]}
    assert functions["tasks.js:add"] == {
        "identifier": "tasks.js:add",
        "functionType": "Mutation",
        "visibility": {"kind": "public"},
        "args": {
            "type": "object",
            "value": {"text": {"fieldType": {"type": "string"}, "optional": False}},
        },
        "returns": {"type": "id", "tableName": "tasks"},
    }


def test_there_are_no_environment_variables_and_the_network_is_fine(project: DeployedProject):
    assert "No environment variables set" in project.convex("env", "list").stderr
    assert "Network test passed" in project.convex("network-test").stderr


@pytest.mark.parametrize("command", [("deploy", "--typecheck", "disable"), ("dev", "--once")])
def test_pushing_javascript_fails_and_names_our_commands(
    project: DeployedProject, command: tuple[str, ...]
):
    answer = project.convex(*command, fails=True)
    assert "syncline dev" in answer.stderr
    assert "syncline push" in answer.stderr

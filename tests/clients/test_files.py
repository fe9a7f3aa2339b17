"""Files by the official npm clients and `fetch`, as an app handles them."""

import json
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from tests.clients.conftest import StartProgram
from tests.clients.program import Event
from tests.clients.server import DevServer
from tests.integration.deployed_project import DeployedProject

pytestmark = pytest.mark.clients


@pytest.fixture
def run(node: StartProgram, server: DevServer, room: str):
    def run_to_end(scenario: str) -> list[Event]:
        with node("files", scenario, server, room) as running:
            running.finish()
            return running.events

    return run_to_end


def only(events: list[Event], name: str) -> Event:
    [event] = [event for event in events if event["event"] == name]
    return event


def test_a_file_is_uploaded_shown_served_and_deleted(run):
    events = run("story")
    served = only(events, "served")
    assert served["same"]
    assert served["samePart"]
    assert served["type"] == "image/png"
    assert served["cache"] == "private, max-age=2592000"
    assert (served["partStatus"], served["partRange"]) == (206, "bytes 1000-1999/300000")
    assert served["knownStatus"] == 304
    assert served["head"] == [200, "300000"]
    row = served["row"]
    assert set(row) == {"_id", "_creationTime", "sha256", "size", "contentType"}
    assert (row["_id"], row["sha256"], row["size"]) == (
        served["storageId"],
        served["sha256"],
        300_000,
    )
    assert served["metadata"] == {
        "storageId": served["storageId"],
        "sha256": b64decode(served["sha256"]).hex(),
        "size": 300_000,
        "contentType": "image/png",
    }
    deleted = only(events, "deleted")
    assert (deleted["seen"], deleted["status"]) == (2, 404)


def test_what_is_refused_is_refused_with_the_documented_errors(run):
    events = run("refusals")
    refused = {e["label"]: (e["status"], e["code"]) for e in events if e["event"] == "refused"}
    # On AWS the bucket answers for files, in its own words.
    assert refused.pop("unknown") in ((404, "FileNotFound"), (404, None))
    assert refused == {
        "digest": (400, "DigestMismatch"),
        "private digest": (400, "DigestMismatch"),
        "large": (413, "FileTooLarge"),
        "type": (415, "ContentTypeNotAllowed"),
        "token": (403, "InvalidUploadUrl"),
        "expired": (403, "UrlExpired"),
    }
    private = only(events, "private")
    assert (private["status"], private["content"]) == (200, "secret")


def test_the_command_lines_list_files(run, server: DevServer, tmp_path: Path):
    assert only(run("direct:0"), "direct")["same"]
    project = DeployedProject(server, tmp_path)
    official = project.convex("data", "_storage", "--limit", "8000", "--format", "jsonl")
    own = project.syncline("data", "_storage", "--limit", "8000", "--json")
    rows = [json.loads(line) for line in own.stdout.splitlines()]
    kept = {"sha256": b64encode(sha256().digest()).decode(), "size": 0, "contentType": "video/mp4"}
    assert any(row.items() >= kept.items() for row in rows)
    assert {row["_id"] for row in map(json.loads, official.stdout.splitlines())} == {
        row["_id"] for row in rows
    }


@pytest.mark.parametrize("size", [0, 20_000_000])
def test_a_large_file_goes_where_it_is_kept(run, size: int):
    direct = only(run(f"direct:{size}"), "direct")
    assert (direct["same"], direct["type"]) == (True, "video/mp4")

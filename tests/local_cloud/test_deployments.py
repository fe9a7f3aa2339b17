"""A deployment from its first deploy to its end, as its owner sees it, on the local cloud.

The tests go on from each other. Last, every AWS call that was made meanwhile, by whatever role, is
compared with the synthesised policies.
"""

import base64
import hashlib
import json
import re
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from scripts.node_toolchain import install_packages, node_toolchain
from syncline.errors import DeveloperError
from tests.clients.conftest import FUNCTIONS
from tests.clients.program import ClientProgram
from tests.local_cloud.acknowledged_permissions import ACKNOWLEDGED
from tests.local_cloud.cloud_thread import CloudThread

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

CLIENTS = FUNCTIONS.parent

CONNECT = {
    "type": "Connect",
    "sessionId": str(uuid.uuid4()),
    "connectionCount": 0,
    "lastCloseReason": "InitialConnect",
    "clientTs": 0,
}
CRONS = """
from syncline import Crons

crons = Crons()
crons.interval("hourly", "jobs:ran", hours=1, args={"room": "crons", "text": "every hour"})
"""
EARLY = {"type": "ModifyQuerySet", "baseVersion": 1, "newVersion": 2, "modifications": []}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudThread]:
    with CloudThread(FUNCTIONS, tmp_path_factory.mktemp("deployment")) as running:
        yield running


def _npm(
    cloud: CloudThread, scenario: str, room: str, program_name: str = "live_client"
) -> ClientProgram:
    install_packages(CLIENTS)
    toolchain = node_toolchain()
    program = ("node", f"node/{program_name}.mjs", scenario, cloud.url, room, cloud.admin_key)
    return ClientProgram(
        toolchain.command(*program), toolchain.environment(), patience=cloud.EVENT_SECONDS_MAX
    )


def _run(cloud: CloudThread, function: str, **arguments: object) -> object:
    return json.loads(cloud.command("run", function, json.dumps(arguments)))


def _edit(cloud: CloudThread, module: str, old: str, new: str) -> None:
    file = cloud.functions / module
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_what_was_deployed_answers_the_official_client(cloud: CloudThread):
    with _npm(cloud, "optimistic_kept", "first") as client:
        client.finish()
    # One whose connection is closed by the server for what it says.
    with _npm(cloud, "authenticates", "first") as client:
        client.finish()


def test_imports_and_exports_go_through_the_bucket(cloud: CloudThread, tmp_path: Path):
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("".join(f'{{"room": "imported", "text": "{n}"}}\n' for n in range(30)))
    cloud.command("import", "--table", "tasks", "--append", "--yes", str(tasks))
    assert len(_run(cloud, "tasks:get", room="imported")) == 30  # type: ignore[arg-type] # a list
    cloud.command("export", "--path", str(tmp_path / "all.zip"))
    assert (tmp_path / "all.zip").stat().st_size > 1000


def test_snapshots_take_the_files_along(cloud: CloudThread, tmp_path: Path):
    with _npm(cloud, "direct:1000", "filed", "files") as client:
        client.finish()
    files = cloud.command("data", "_storage", "--json")
    snapshot = str(tmp_path / "files.zip")
    cloud.command("export", "--include-file-storage", "--path", snapshot)
    cloud.command("import", "--replace", "--yes", snapshot)
    assert cloud.command("data", "_storage", "--json") == files


def test_files_lie_in_the_bucket(cloud: CloudThread):
    for scenario in ("story", "refusals", "direct:1000"):
        with _npm(cloud, scenario, "filed", "files") as client:
            client.finish()


def test_actions_run_apart_and_ask_for_data(cloud: CloudThread):
    with _npm(cloud, "calls", "acted", "actions") as client:
        client.finish()
    assert _run(cloud, "actions:count_up", name="acted", times=1) == 6
    assert cloud.cloud.invocations["action"] >= 5


def test_scheduled_functions_run_in_a_function_of_their_own(cloud: CloudThread):
    with _npm(cloud, "story", "scheduled", "jobs") as client:
        client.finish()
    assert cloud.cloud.invocations["scheduler"] >= 3


def test_environment_variables_are_parameters_and_in_no_log(cloud: CloudThread):
    secret = "never-to-be-seen-in-a-log"
    cloud.command("env", "set", "API_KEY", secret)
    assert json.loads(cloud.command("env", "list", "--json")) == {
        "API_KEY": secret,
        "SET_BY_THE_STACK": "by a deploy",
    }
    # A session that reads them, in the process of the connections' messages.
    with _npm(cloud, "reads_variable:SET_BY_THE_STACK", "room", "environment") as client:
        assert client.only("variable")["value"] == "by a deploy"
    arguments = {"name": "API_KEY", "digest": hashlib.sha256(secret.encode()).hexdigest()}
    for function in ("matches", "matches_in_action"):
        assert _run(cloud, f"environment:{function}", **arguments) is True
    _run(cloud, "environment:matches_later", counter="matched", **arguments)
    assert _run(cloud, "actions:wait_for", name="matched", value=1) == 1
    stored = cloud.cloud.client("ssm").describe_parameters()["Parameters"]
    assert {each["Type"] for each in stored if "/environment/" in each["Name"]} == {"SecureString"}
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    for form in (secret, encoded):
        assert form not in cloud.cloud.calls_file.read_text()
        assert form not in "".join(cloud.printed)


def test_a_push_over_http_changes_what_is_served(cloud: CloudThread):
    _edit(cloud, "versions.py", '"first"', '"second"')
    cloud.command("push")
    assert _run(cloud, "versions:shown") == "second"


def test_a_deploy_whose_schema_does_not_fit_leaves_the_old_version_serving(cloud: CloudThread):
    _edit(cloud, "versions.py", '"second"', '"third"')
    _edit(cloud, "schema.py", '"text": v.string()}).index', '"text": v.number()}).index')
    with pytest.raises(DeveloperError) as failure:
        cloud.run(cloud.cloud.deploy())
    assert failure.value.code == "DeployFailed"
    assert re.search(r'"tasks".*text', failure.value.message, re.DOTALL)
    stacks = cloud.cloud.client("cloudformation").describe_stacks()["Stacks"]
    assert {stack["StackStatus"] for stack in stacks} == {
        "CREATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
    }
    # What the stacks had deployed last; the push over HTTP was no deploy (docs/deploy.md).
    assert _run(cloud, "versions:shown") == "first"


def test_a_deploy_that_fits_is_served_to_clients_that_are_there(cloud: CloudThread):
    _edit(cloud, "schema.py", '"text": v.number()}).index', '"text": v.string()}).index')
    _edit(cloud, "versions.py", '"third"', '"second"')
    (cloud.functions / "crons.py").write_text(CRONS)
    with _npm(cloud, "shows_versions", "versions") as client:
        client.event("first")
        cloud.run(cloud.cloud.deploy())
        client.event("second")
        _edit(cloud, "versions.py", '"second"', '"third"')
        cloud.command("push")
        assert client.only("seen")["connections"] == 1
    (cloud.functions / "crons.py").unlink()


def test_a_former_bundle_is_pushed_to_roll_back(cloud: CloudThread):
    s3, bucket = cloud.cloud.client("s3"), _bucket(cloud)
    bundles = s3.list_objects_v2(Bucket=bucket, Prefix="bundles/")["Contents"]
    oldest = min(bundles, key=lambda found: found["LastModified"])
    # As `syncline push --deployment … --bundle …` does it; but no TLS is served here.
    request = urllib.request.Request(
        f"{cloud.url}/api/syncline/push",
        s3.get_object(Bucket=bucket, Key=oldest["Key"])["Body"].read(),
        {"Authorization": f"Convex {cloud.admin_key}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["bundle"] == Path(oldest["Key"]).stem
    assert _run(cloud, "versions:shown") == "first"


def _bucket(cloud: CloudThread) -> str:
    buckets = cloud.cloud.client("s3").list_buckets()["Buckets"]
    return next(each["Name"] for each in buckets if not each["Name"].startswith("cdk-"))


def _listen(socket: ClientConnection) -> None:
    while True:
        socket.recv(timeout=CloudThread.EVENT_SECONDS_MAX)


def test_sweeps_and_ticks_find_what_they_need(cloud: CloudThread):
    # The one waits for a Ping; the other has sent a message whose forerunner never comes.
    with (
        _npm(cloud, "is_pinged", "pinged") as client,
        connect(cloud.url.replace("http", "ws") + "/api/1.48.0/sync") as early,
    ):
        for message in (CONNECT, EARLY):
            early.send(json.dumps(message))
        _run(cloud, "jobs:plan", room="swept", text="in a minute", seconds=60)
        cloud.run(cloud.cloud.invoke("sweeper", {}))
        client.finish()
        with pytest.raises(ConnectionClosed):
            _listen(early)


def test_the_logs_of_functions_are_read_from_their_groups(cloud: CloudThread):
    request = urllib.request.Request(
        f"{cloud.url}/api/stream_function_logs?cursor=0",
        headers={"Authorization": f"Convex {cloud.admin_key}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        page = json.load(answer)
    kinds = {entry["udfType"] for entry in page["entries"]}
    assert {"Query", "Mutation", "Action"} <= kinds
    assert {"tasks:get", "actions:count_up"} <= {e["identifier"] for e in page["entries"]}


def test_the_view_equals_the_log_in_the_end(cloud: CloudThread):
    report = json.loads(cloud.command("verify", "--deployment", "syncline", "--json"))
    assert (report["differences"], report["entries"] > 0) == (0, True)


def test_roles_allow_what_was_used_and_nothing_else(cloud: CloudThread):
    findings = cloud.cloud.judge_calls(ACKNOWLEDGED)
    print("\n".join(findings.lines()))
    assert findings.lines() == []

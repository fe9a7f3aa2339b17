"""The push handler as CloudFormation calls it, and the HTTP handler as API Gateway does."""

import asyncio
import base64
import io
import json
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.cloudformation.models import cloudformation_backends

from syncline.aws.handlers import http, push
from syncline.aws.process import process
from syncline.environment_ports import Version, new_number
from syncline.limits import VARIABLE_KEPT_SECONDS
from syncline.local_cloud.moto_queues import make_queues_faithful
from tests.integration.little_cloud import FUNCTIONS, Context, LittleCloud, little_cloud

STRICT = """
from syncline import define_schema, define_table, v

schema = define_schema({
    "messages": define_table({"channel": v.string(), "body": v.number()}).index(
        "by_channel", ["channel"]
    )
})
"""


class CloudFormation:
    """Where a custom resource answers to."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        answers = self.answers

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                length = int(self.headers["Content-Length"])
                answers.append(json.loads(self.rfile.read(length)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/answer?signature=x"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def formation() -> Iterator[CloudFormation]:
    server = CloudFormation()
    yield server
    server.close()


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[LittleCloud]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    make_queues_faithful()
    real = {"core": {"passthrough": {"urls": [r"http://127\.0\.0\.1.*"]}}}
    with mock_aws(config=real), little_cloud(monkeypatch) as found:
        yield found


def stack() -> str:
    """A stack to be the resource's."""
    template = {"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}
    client = boto3.client("cloudformation")
    return client.create_stack(StackName="compute", TemplateBody=json.dumps(template))["StackId"]


def archive(changed: dict[str, str]) -> bytes:
    """The functions' folder as the CDK uploads it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        for path in FUNCTIONS.glob("*.py"):
            target.writestr(path.name, changed.get(path.name) or path.read_text())
        if "functions.lock" in changed:
            target.writestr("functions.lock", changed["functions.lock"])
    return packed.getvalue()


def deploy(
    cloud: LittleCloud,
    formation: CloudFormation,
    stack_id: str,
    changed: dict[str, str] | None = None,
    kind: str = "Create",
    code: Path | None = None,
    variables: dict[str, Any] | None = None,
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """`variables`: further properties of the resource; `before`: those of the deploy before."""
    boto3.client("s3").put_object(
        Bucket="little-bucket", Key="asset.zip", Body=archive(changed or {})
    )
    cloud.restart()

    async def migrate(_login: str) -> None:
        """The model of the log has no schema."""

    cloud.process.deployed.__dict__.update(migrate=migrate, code=code)
    event = {
        "RequestType": kind,
        "ResponseURL": formation.url,
        "StackId": stack_id,
        "RequestId": "request",
        "LogicalResourceId": "PushFunctions",
        "ResourceProperties": {
            "Deployment": "little",
            "SourceBucket": "little-bucket",
            "SourceKey": "asset.zip",
            "SourceHash": "hash",
            "DatabaseLogin": "",
            **(variables or {}),
        },
        **({} if before is None else {"OldResourceProperties": before}),
    }
    push.handler(event, Context())
    return formation.answers[-1]


def call(
    cloud: LittleCloud,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    key: str | None = None,
) -> Any:
    """A request through the HTTP API; `key`: as an admin."""
    headers = {} if key is None else {"authorization": f"Convex {key}"}
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", **headers},
        "requestContext": {"http": {"method": method, "path": path}, "requestId": "r"},
        "body": json.dumps(body) if body is not None else "",
        "isBase64Encoded": False,
    }
    answer = http.handler(event, Context())
    return answer["statusCode"], answer["body"]


def test_a_deploy_pushes_and_the_http_api_serves_it(cloud, formation):
    answer = deploy(cloud, formation, stack())
    assert answer["Status"] == "SUCCESS", answer
    assert answer["PhysicalResourceId"] == "syncline-functions-little"
    cloud.restart()
    send = {"path": "messages:send", "args": {"channel": "red", "body": "hello"}, "format": "json"}
    status, body = call(cloud, "POST", "/api/mutation", send)
    assert status == 200
    assert json.loads(body)["status"] == "success"
    cloud.restart()
    ask = {"path": "messages:list_by_channel", "args": {"channel": "red"}, "format": "json"}
    _, body = call(cloud, "POST", "/api/query", ask)
    assert json.loads(body)["value"] == ["hello"]


def test_data_that_does_not_fit_fails_the_deploy_and_the_old_version_serves(cloud, formation):
    stack_id = stack()
    deploy(cloud, formation, stack_id)
    send = {"path": "messages:send", "args": {"channel": "red", "body": "text"}, "format": "json"}
    call(cloud, "POST", "/api/mutation", send)
    cloud.deliver()
    answer = deploy(cloud, formation, stack_id, {"schema.py": STRICT}, "Update")
    assert answer["Status"] == "FAILED"
    assert "messages" in answer["Reason"]
    cloud.restart()
    _, body = call(cloud, "POST", "/api/mutation", send)
    assert json.loads(body)["status"] == "success"
    # CloudFormation goes back, and what serves is what it goes back to.
    assert deploy(cloud, formation, stack_id, kind="Update")["Status"] == "SUCCESS"


def test_a_rollback_to_functions_that_no_longer_fit_keeps_what_serves(cloud, formation):
    stack_id = stack()
    deploy(cloud, formation, stack_id)
    send = {"path": "messages:send", "args": {"channel": "red", "body": "text"}, "format": "json"}
    call(cloud, "POST", "/api/mutation", send)
    cloud.deliver()
    backend = cloudformation_backends["123456789012"]["eu-central-1"]
    backend.stacks[stack_id].status = "UPDATE_ROLLBACK_IN_PROGRESS"
    answer = deploy(cloud, formation, stack_id, {"schema.py": STRICT}, "Update")
    assert (answer["Status"], answer["Data"]["Kept"]) == ("SUCCESS", "true")
    assert deploy(cloud, formation, stack_id, kind="Delete")["Status"] == "SUCCESS"


def test_a_push_over_http_changes_functions_but_builds_no_index_over_documents(cloud, formation):
    stack_id = stack()
    deploy(cloud, formation, stack_id)
    send = {"path": "messages:send", "args": {"channel": "red", "body": "text"}, "format": "json"}
    call(cloud, "POST", "/api/mutation", send)
    cloud.deliver()
    cloud.restart()
    assert process() is cloud.process
    status, _ = push_over_http(cloud, {}, "no key")
    assert status == 403
    shouting = (
        (FUNCTIONS / "messages.py").read_text().replace('each["body"]', 'each["body"].upper()')
    )
    status, body = push_over_http(cloud, {"messages.py": shouting}, cloud.admin_key())
    assert status == 200, body
    ask = {"path": "messages:list_by_channel", "args": {"channel": "red"}, "format": "json"}
    _, body = call(cloud, "POST", "/api/query", ask)
    assert json.loads(body)["value"] == ["TEXT"]
    indexed = (
        (FUNCTIONS / "schema.py")
        .read_text()
        .replace(
            '"by_channel", ["channel"]\n    )',
            '"by_channel", ["channel"]\n    ).index("by_body", ["body"])',
        )
    )
    status, body = push_over_http(cloud, {"schema.py": indexed}, cloud.admin_key())
    assert (status, json.loads(body)["code"]) == (400, "NeedsDeploy")
    _, body = call(cloud, "POST", "/api/query", ask)
    assert json.loads(body)["value"] == ["TEXT"]
    answer = deploy(cloud, formation, stack_id, {"schema.py": indexed}, "Update")
    assert answer["Status"] == "SUCCESS", answer


def test_a_push_of_other_dependencies_is_refused_and_a_deploy_of_them_is_not(
    cloud, formation, tmp_path
):
    code = tmp_path / "code"
    code.mkdir()
    (code / "functions.lock").write_text("humanize==4.9.0\n")
    (code / "requirements.lock").write_text("boto3==1.43.0\nhumanize==4.9.0\n")
    stack_id = stack()
    answer = deploy(cloud, formation, stack_id, code=code)
    assert answer["Status"] == "SUCCESS", answer
    former = answer["Data"]["Bundle"]
    cloud.restart()
    cloud.process.deployed.__dict__["code"] = code
    wanted = {"functions.lock": "humanize==4.10.0\n"}
    status, body = push_over_http(cloud, wanted, cloud.admin_key())
    assert (status, json.loads(body)["code"]) == (400, "OtherDependencies")
    assert "`syncline deploy`" in json.loads(body)["message"]
    # The deploy builds the code anew, and pushes what was built for it.
    (code / "functions.lock").write_text("humanize==4.10.0\n")
    answer = deploy(cloud, formation, stack_id, kind="Update", code=code)
    assert answer["Status"] == "SUCCESS", answer
    assert answer["Data"]["Bundle"] != former


def test_a_deploy_sets_variables_and_removes_those_that_the_stack_names_no_more(cloud, formation):
    secrets = boto3.client("secretsmanager")
    secret = secrets.create_secret(Name="payment", SecretString="hunter2")["ARN"]
    stack_id = stack()
    first = {"Variables": {"GREETING": "Hello"}, "VariableSecrets": {"PAYMENT_KEY": secret}}
    answer = deploy(cloud, formation, stack_id, variables=first)
    assert answer["Status"] == "SUCCESS", answer
    assert variables_of(cloud) == {"GREETING": "Hello", "PAYMENT_KEY": "hunter2"}
    set_by_hand = {"changes": [{"name": "BY_HAND", "value": "kept"}]}
    call(cloud, "POST", "/api/update_environment_variables", set_by_hand, cloud.admin_key())
    second = {"Variables": {"PAYMENT_KEY": "plain"}}
    answer = deploy(cloud, formation, stack_id, kind="Update", variables=second, before=first)
    assert answer["Status"] == "SUCCESS", answer
    assert variables_of(cloud) == {"BY_HAND": "kept", "PAYMENT_KEY": "plain"}
    broken = {"VariableSecrets": {"PAYMENT_KEY": f"{secret}x"}}
    answer = deploy(cloud, formation, stack_id, kind="Update", variables=broken, before=second)
    assert answer["Status"] == "FAILED"
    assert "SecretUnreadable" in answer["Reason"]
    assert variables_of(cloud)["PAYMENT_KEY"] == "plain"


def test_the_hourly_sweep_looks_at_variables_too(cloud, formation):
    deploy(cloud, formation, stack(), variables={"Variables": {"GREETING": "Hello"}})
    store = cloud.process.deployed.variables
    orphan = Version("GREETING", new_number(1, 1))
    asyncio.run(store.put({orphan: "never named"}))
    assert len(asyncio.run(store.kept())) == 2
    before = time.time_ns() - VARIABLE_KEPT_SECONDS * 10**9
    asyncio.run(store.put({Version("OTHER", new_number(before, 1)): "never named"}))
    http.handler({"source": "aws.events"}, Context())
    # That of a name with a young version stays for a while.
    assert {each.name for each in asyncio.run(store.kept())} == {"GREETING"}
    assert variables_of(cloud) == {"GREETING": "Hello"}


def variables_of(cloud: LittleCloud) -> dict[str, str]:
    """As a process sees them that has just started."""
    cloud.deliver()
    cloud.restart()
    path = "/api/list_environment_variables"
    status, body = call(cloud, "GET", path, key=cloud.admin_key())
    assert status == 200, body
    return json.loads(body)["environmentVariables"]


def push_over_http(cloud: LittleCloud, changed: dict[str, str], key: str) -> Any:
    """What `syncline push` sends."""
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/api/syncline/push",
        "rawQueryString": "",
        "headers": {"authorization": f"Convex {key}", "content-type": "application/zip"},
        "requestContext": {
            "http": {"method": "POST", "path": "/api/syncline/push"},
            "requestId": "r",
        },
        "body": base64.b64encode(archive(changed)).decode(),
        "isBase64Encoded": True,
    }
    answer = http.handler(event, Context())
    return answer["statusCode"], answer["body"]

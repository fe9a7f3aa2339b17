"""Actions in the Lambda of their own: started once, asking back, answered through the lane."""

import io
import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from syncline.aws import process as process_module
from syncline.aws.action_events import StartAction, decode
from syncline.aws.handlers import action, http
from syncline.aws.lambda_actions import LambdaActions
from syncline.aws.process import Process
from syncline.drivers.inline_runner import InlineRunner
from syncline.local_cloud.moto_queues import make_queues_faithful
from tests.integration.little_cloud import Context, LittleCloud, little_cloud

FUNCTIONS = Path(__file__).with_name("lambda_action_functions")
ACTION, DATA = "little-action", "little-http"


@dataclass
class Lambda:
    """Lambda's Invoke over the handlers; what is not waited for is run when the test says so."""

    cloud: LittleCloud
    monkeypatch: pytest.MonkeyPatch
    started: list[Mapping[str, Any]] = field(default_factory=list)
    is_unreachable: bool = False
    data: Process | None = None

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 - as the SDK's
        if self.is_unreachable:
            raise EndpointConnectionError(endpoint_url="https://lambda")
        event = json.loads(Payload)
        if InvocationType == "Event":
            assert FunctionName == ACTION
            self.started.append(event)
            return {"StatusCode": 202}
        answer = self.run(event) if FunctionName == ACTION else self._ask(event)
        return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(answer).encode())}

    def run(self, event: Mapping[str, Any]) -> Mapping[str, str]:
        """An environment of the action function, a cold one."""
        answers: list[Mapping[str, str]] = []

        def in_its_own_process() -> None:
            settings = replace(self.cloud.settings, data_function=DATA)
            environment = action.ActionEnvironment(settings)
            environment.__dict__["functions"] = self
            action._current = environment
            answers.append(action.handler(dict(event), Context()))
            environment.loop.close()

        # Its loop is another one than that of whoever waits for it.
        thread = threading.Thread(target=in_its_own_process)
        thread.start()
        thread.join()
        return answers[0]

    def _ask(self, event: Mapping[str, Any]) -> Mapping[str, str]:
        """Another environment of the function with the data."""
        if self.data is None:
            self.data = Process(self.cloud.settings, InlineRunner)
            self.data.deployed.__dict__ |= {
                "log": self.cloud.log,
                "actions": LambdaActions(self, ACTION),
            }
        return self.data.run(http._ask(self.data, dict(event)))

    def run_started(self) -> None:
        """Have everything that was started come to its end."""
        while self.started:
            self.run(self.started.pop(0))


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[LittleCloud, Lambda]]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    make_queues_faithful()
    with mock_aws(), little_cloud(monkeypatch) as found:
        invoked = Lambda(found, monkeypatch)
        found.process.deployed.__dict__["actions"] = LambdaActions(invoked, ACTION)
        found.push(FUNCTIONS)
        try:
            yield found, invoked
        finally:
            if invoked.data is not None:
                invoked.data.close()


def connected(cloud: LittleCloud, connection: str, **authenticate: Any) -> None:
    cloud.connect(connection)
    cloud.say(connection, type="Connect", sessionId=str(uuid.uuid4()), connectionCount=0)
    if authenticate:
        cloud.say(connection, type="Authenticate", baseVersion=0, **authenticate)
    cloud.say(
        connection,
        type="ModifyQuerySet",
        baseVersion=0,
        newVersion=1,
        modifications=[
            {"type": "Add", "queryId": 0, "udfPath": "messages:bodies", "args": [{}]},
        ],
    )
    cloud.deliver()
    cloud.said(connection)


def act(cloud: LittleCloud, connection: str, request: int, name: str, **arguments: Any) -> None:
    cloud.say(
        connection,
        type="Action",
        requestId=request,
        udfPath=f"messages:{name}",
        args=[arguments],
    )


def test_an_action_is_answered_through_the_lane_and_its_writes_are_shown(cloud):
    little, invoked = cloud
    connected(little, "ann")
    act(little, "ann", 0, "add", body="hello")
    little.deliver()
    assert little.said("ann") == []
    [start] = invoked.started
    assert decode(start, StartAction).connection == "ann"
    invoked.run_started()
    little.deliver()
    told = little.said("ann")
    assert told[0]["type"] == "ActionResponse"
    assert (told[0]["success"], told[0]["result"]) == (True, ["hello"])
    assert told[0]["logLines"] == ["[LOG] 'adding' 'hello'"]
    shown = [
        change["value"]
        for frame in told
        if frame["type"] == "Transition"
        for change in frame["modifications"]
    ]
    assert shown[-1] == ["hello"]


def test_actions_and_mutations_of_one_connection_do_not_wait_for_each_other(cloud):
    little, invoked = cloud
    connected(little, "ann")
    act(little, "ann", 0, "add", body="first")
    act(little, "ann", 1, "add", body="second")
    little.deliver()
    assert len(invoked.started) == 2
    invoked.started.reverse()
    invoked.run_started()
    little.deliver()
    answers = [frame for frame in little.said("ann") if frame["type"] == "ActionResponse"]
    assert [answer["requestId"] for answer in answers] == [1, 0]


def test_a_message_that_comes_twice_starts_an_action_once(cloud):
    little, invoked = cloud
    connected(little, "ann")
    little.redelivers = True
    act(little, "ann", 0, "add", body="once")
    little.deliver()
    assert len(invoked.started) == 1
    invoked.run_started()
    little.deliver()
    answers = [frame for frame in little.said("ann") if frame["type"] == "ActionResponse"]
    assert len(answers) == 1


def test_an_answer_is_given_once(cloud):
    little, invoked = cloud
    connected(little, "ann")
    act(little, "ann", 0, "add", body="x")
    little.deliver()
    [start] = invoked.started
    invoked.run(start)
    little.deliver()
    invoked.run(start)
    little.deliver()
    answers = [frame for frame in little.said("ann") if frame["type"] == "ActionResponse"]
    assert len(answers) == 1


def test_a_start_in_doubt_sends_the_client_away(cloud):
    little, invoked = cloud
    connected(little, "ann")
    invoked.is_unreachable = True
    act(little, "ann", 0, "add", body="x")
    little.deliver()
    assert little.gateway.closed == ["ann"]
    assert invoked.started == []


def test_the_answer_for_a_client_that_has_left_is_dropped(cloud):
    little, invoked = cloud
    connected(little, "ann")
    act(little, "ann", 0, "add", body="kept")
    little.deliver()
    little.disconnect("ann")
    little.deliver()
    invoked.run_started()
    little.deliver()
    connected(little, "bob")
    act(little, "bob", 0, "add", body="more")
    little.deliver()
    invoked.run_started()
    little.deliver()
    assert little.said("bob")[0]["result"] == ["kept", "more"]


def test_failures_arrive_with_their_data_and_sizes_have_a_limit(cloud):
    little, invoked = cloud
    connected(little, "ann")
    for request, (name, arguments) in enumerate(
        [("refuse", {}), ("nothing", {}), ("large", {"size": 10}), ("large", {"size": 950_000})]
    ):
        act(little, "ann", request, name, **arguments)
    little.deliver()
    invoked.run_started()
    little.deliver()
    told = {
        frame["requestId"]: frame
        for frame in little.said("ann")
        if frame["type"] == "ActionResponse"
    }
    assert told[0]["errorData"] == {"code": 7.0}
    assert "Could not find public function for 'messages:nothing'" in told[1]["result"]
    assert told[2]["result"] == "x" * 10
    assert "too large for a connection" in told[3]["result"]


def test_the_identity_goes_through_every_function(cloud):
    little, invoked = cloud
    identity = {
        "issuer": "https://i.test",
        "subject": "ada",
        "tokenIdentifier": "https://i.test|ada",
    }
    connected(little, "ann", tokenType="Admin", value=little.admin_key(), impersonating=identity)
    act(little, "ann", 0, "who")
    little.deliver()
    invoked.run_started()
    little.deliver()
    assert little.said("ann")[0]["result"] == ["ada", "ada"]


def request(method: str, path: str, body: str = "", **headers: str) -> dict[str, Any]:
    """An HTTP API's event."""
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "a=1",
        "headers": {"host": "abc.execute-api.example", **headers},
        "requestContext": {
            "requestId": "1",
            "http": {"method": method, "path": path, "sourceIp": "10.1.2.3"},
        },
        "body": body,
        "isBase64Encoded": False,
    }


def asked(cloud: LittleCloud, event: dict[str, Any]) -> dict[str, Any]:
    assert process_module._current is cloud.process
    return http.handler(event, Context())


def test_an_action_over_http_is_waited_for(cloud):
    little, _ = cloud
    body = json.dumps({"path": "messages:add", "args": {"body": "by http"}})
    answer = asked(little, request("POST", "/api/action", body))
    assert json.loads(answer["body"])["value"] == ["by http"]


def test_the_site_answers_below_its_prefix_with_the_deployments_own_address(cloud):
    little, _ = cloud
    answer = asked(little, request("POST", "/http/hook", "hooked"))
    assert answer["statusCode"] == 201
    assert (answer["isBase64Encoded"], answer["body"]) == (True, "AP8=")
    assert [cookie.split(";")[0] for cookie in answer["cookies"]] == ["a=1", "b=2"]
    assert answer["headers"]["x-url"] == "https://little.example/hook?a=1"
    streamed = asked(little, request("GET", "/http/stream"))
    assert (streamed["statusCode"], streamed["body"]) == (200, "one two")
    assert asked(little, request("GET", "/http/breaks"))["statusCode"] == 502
    missing = asked(little, request("GET", "/http/none"))
    assert (missing["statusCode"], missing["body"]) == (404, "No HttpAction routed for /none")

"""Posting to connections: which answers are tried again, and what the others mean."""

import asyncio

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from botocore.stub import Stubber

from syncline.aws.gateway import MESSAGE_BYTES_MAX, THROTTLE_PAUSES, ApiGateway
from syncline.errors import CallerError, DeveloperError, UnavailableError
from syncline.ports import ConnectionGone, DeliveryInDoubt

CONNECTION = "L0SM9cOFvHcCIhw="
POST = {"ConnectionId": CONNECTION, "Data": b"{}"}
DELETE = {"ConnectionId": CONNECTION}


class Stage:
    """A gateway whose client answers what it was told to, and whose pauses are recorded."""

    def __init__(self) -> None:
        self.client = boto3.client(
            "apigatewaymanagementapi",
            endpoint_url="https://gateway.example/live",
            region_name="eu-central-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
        )
        self.stub = Stubber(self.client)
        self.stub.activate()
        self.pauses: list[float] = []
        self.gateway = ApiGateway(self.client, pause=self._pause, share=lambda: 0.5)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def answers(self, operation: str, status: int, code: str = "SomeException") -> None:
        expected = POST if operation == "post_to_connection" else DELETE
        if status < 300:
            self.stub.add_response(operation, {}, expected)
        else:
            self.stub.add_client_error(operation, code, "", status, expected_params=expected)

    def fails(self, error: Exception) -> None:
        def raise_it(**_):
            raise error

        self.stub.deactivate()
        self.client.meta.events.register("before-call.apigatewaymanagementapi", raise_it)

    def post(self, frame: bytes = b"{}") -> None:
        asyncio.run(self.gateway.post(CONNECTION, frame))
        self.stub.assert_no_pending_responses()

    def disconnect(self) -> None:
        asyncio.run(self.gateway.disconnect(CONNECTION))
        self.stub.assert_no_pending_responses()


def test_a_frame_is_posted_once():
    stage = Stage()
    stage.answers("post_to_connection", 200)
    stage.post()
    assert stage.pauses == []


def test_a_throttled_post_is_tried_again_after_jittered_pauses():
    stage = Stage()
    for status in (429, 429, 200):
        stage.answers("post_to_connection", status, "LimitExceededException")
    stage.post()
    assert stage.pauses == [THROTTLE_PAUSES[0] / 2, THROTTLE_PAUSES[1] / 2]


def test_a_post_that_stays_throttled_is_given_up_and_leaves_the_connection_in_doubt():
    stage = Stage()
    for _ in range(len(THROTTLE_PAUSES) + 1):
        stage.answers("post_to_connection", 429, "LimitExceededException")
    with pytest.raises(DeliveryInDoubt) as raised:
        stage.post()
    assert raised.value.code == "GatewayThrottles"
    assert len(stage.pauses) == len(THROTTLE_PAUSES)
    stage.stub.assert_no_pending_responses()


def test_a_gone_connection_is_told_from_one_in_doubt():
    stage = Stage()
    stage.answers("post_to_connection", 410, "GoneException")
    with pytest.raises(ConnectionGone):
        stage.post()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_failure_of_the_gateway_is_in_doubt_and_not_tried_again(status):
    stage = Stage()
    stage.answers("post_to_connection", status)
    stage.answers("post_to_connection", 200)
    with pytest.raises(DeliveryInDoubt):
        stage.post()
    assert stage.pauses == []
    with pytest.raises(AssertionError):
        stage.stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(endpoint_url="https://gateway.example"),
        ConnectTimeoutError(endpoint_url="https://gateway.example"),
        EndpointConnectionError(endpoint_url="https://gateway.example"),
    ],
)
def test_a_post_without_an_answer_is_in_doubt(error):
    stage = Stage()
    stage.fails(error)
    with pytest.raises(DeliveryInDoubt):
        stage.post()
    assert stage.pauses == []


def test_the_greatest_message_is_posted_and_a_larger_one_refused_without_asking():
    stage = Stage()
    frame = b"x" * MESSAGE_BYTES_MAX
    stage.stub.add_response("post_to_connection", {}, {"ConnectionId": CONNECTION, "Data": frame})
    stage.post(frame)
    with pytest.raises(CallerError, match="131073 bytes") as raised:
        stage.post(frame + b"x")
    assert raised.value.code == "FrameTooLarge"


def test_the_gateways_own_refusal_of_a_large_message_reads_like_ours():
    stage = Stage()
    stage.answers("post_to_connection", 413, "PayloadTooLargeException")
    with pytest.raises(CallerError) as raised:
        stage.post()
    assert raised.value.code == "FrameTooLarge"


@pytest.mark.parametrize("status", [400, 403])
def test_a_refused_post_names_the_permission_and_the_setting(status):
    stage = Stage()
    stage.answers("post_to_connection", status, "ForbiddenException")
    with pytest.raises(DeveloperError, match=r"ManageConnections.*SYNCLINE_GATEWAY_ENDPOINT"):
        stage.post()


@pytest.mark.parametrize("answers", [[204], [410], [429, 204], [503, 429, 410]])
def test_a_connection_is_closed_however_often_it_takes(answers):
    stage = Stage()
    for status in answers:
        stage.answers("delete_connection", status)
    stage.disconnect()
    assert len(stage.pauses) == len(answers) - 1


def test_a_connection_that_can_not_be_closed_is_reported():
    stage = Stage()
    stage.fails(ReadTimeoutError(endpoint_url="https://gateway.example"))
    with pytest.raises(UnavailableError) as raised:
        stage.disconnect()
    assert raised.value.code == "GatewayUnavailable"
    assert len(stage.pauses) == len(THROTTLE_PAUSES)


def test_a_refused_close_names_the_permission():
    stage = Stage()
    stage.answers("delete_connection", 403, "ForbiddenException")
    with pytest.raises(DeveloperError, match="ManageConnections"):
        stage.disconnect()


def test_the_clients_own_retries_are_off(moto):
    config = ApiGateway.at("https://gateway.example/live")._client.meta.config
    assert config.retries == {"mode": "standard", "total_max_attempts": 1}

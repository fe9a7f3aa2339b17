"""A front door in front of functions that record their events, and queues of moto."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.credentials import Credentials

from syncline.local_cloud.disorder import Disorder
from syncline.local_cloud.distribution import EdgeFunction
from syncline.local_cloud.front_door import FrontDoor
from syncline.local_cloud.gateway_limits import GatewayLimits
from syncline.local_cloud.ports import HttpApi, SocketApi, SocketRoute
from syncline.local_cloud.service_integration import ServiceAccess, ServiceCall

REGION = "eu-central-1"
ACCOUNT = "123456789012"
QUEUE = "lanes.fifo"
LANE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/lane"

# As cdk/syncline_cdk/api_stack.py has it.
LANE_TEMPLATE = "&".join(
    (
        "Action=SendMessage",
        "MessageGroupId=$util.urlEncode($context.connectionId)",
        "MessageDeduplicationId=$util.urlEncode($context.messageId)",
        "MessageBody=$util.urlEncode($util.base64Encode($input.body))",
        "MessageAttribute.1.Name=at",
        "MessageAttribute.1.Value.DataType=Number",
        "MessageAttribute.1.Value.StringValue=$context.requestTimeEpoch",
    )
)

# As cdk/syncline_cdk/viewer_request.js has it, with the stage's name filled in.
VIEWER_FUNCTION = r"""
var PATH = /^\/+api\/(?:([0-9A-Za-z.+_-]{1,64})\/)?sync$/;

function handler(event) {
    var request = event.request;
    var match = PATH.exec(request.uri);
    if (!match) {
        return { statusCode: 404, statusDescription: 'Not Found' };
    }
    request.uri = '/live';
    delete request.querystring.client;
    if (match[1]) {
        request.querystring.client = { value: match[1] };
    }
    return request;
}
"""


@dataclass
class RecordingFunctions:
    """Answers by name; what is not set answers 200."""

    answers: dict[str, Callable[[Mapping[str, Any]], Awaitable[object]]] = field(
        default_factory=dict
    )
    events: asyncio.Queue[tuple[str, Mapping[str, Any]]] = field(default_factory=asyncio.Queue)

    async def invoke(self, function: str, event: Mapping[str, Any]) -> object:
        self.events.put_nowait((function, event))
        answer = self.answers.get(function)
        return {"statusCode": 200} if answer is None else await answer(event)

    async def next(self) -> tuple[str, Mapping[str, Any]]:
        async with asyncio.timeout(10):
            return await self.events.get()

    def will_answer(self, function: str, answer: object) -> None:
        async def given(_: Mapping[str, Any]) -> object:
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.answers[function] = given


def lane_route(template: str = LANE_TEMPLATE, queue: str = QUEUE) -> SocketRoute:
    return SocketRoute(
        kind="service",
        function=None,
        uri=f"arn:aws:apigateway:{REGION}:sqs:path/{ACCOUNT}/{queue}",
        role=LANE_ROLE,
        request_template=template,
        headers={"integration.request.header.Content-Type": "'application/x-www-form-urlencoded'"},
    )


def function_route(name: str) -> SocketRoute:
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{name}/invocations"
    return SocketRoute("function", name, uri, None, None, {})


def socket_api(**routes: SocketRoute) -> SocketApi:
    lifecycle = {key: function_route("connection") for key in ("$connect", "$disconnect")}
    changed = {f"${key}": route for key, route in routes.items()}
    return SocketApi(
        "wsapi12345", "live", ACCOUNT, REGION, {**lifecycle, "$default": lane_route(), **changed}
    )


@dataclass
class World:
    door: FrontDoor
    functions: RecordingFunctions
    sqs_endpoint: str
    calls: asyncio.Queue[ServiceCall]

    @property
    def socket_url(self) -> str:
        return self.door.url.replace("http", "ws") + "/api/1.48.0/sync"

    @property
    def bare_socket_url(self) -> str:
        return self.door.url.replace("http", "ws") + "/api/sync"

    def connections(self, **config: Any) -> Any:
        return boto3.client(
            "apigatewaymanagementapi",
            endpoint_url=f"{self.door.url}/live",
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(retries={"total_max_attempts": 1}, **config),
        )

    async def called(self, count: int) -> list[ServiceCall]:
        """The next calls that the gateway makes itself."""
        async with asyncio.timeout(10):
            return [await self.calls.get() for _ in range(count)]

    async def connected(self) -> tuple[str, Mapping[str, Any]]:
        """Id and event of the next `$connect`."""
        _, event = await self.functions.next()
        assert event["requestContext"]["eventType"] == "CONNECT"
        return event["requestContext"]["connectionId"], event


def queue_client(endpoint: str) -> Any:
    return boto3.client(
        "sqs",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


@asynccontextmanager
async def a_world(
    sqs_endpoint: str = "http://127.0.0.1:9",
    *,
    limits: GatewayLimits | None = None,
    disorder: Disorder | None = None,
    api: SocketApi | None = None,
    viewer_function: str | None = VIEWER_FUNCTION,
    http_timeout_ms: int = 30_000,
    record: Callable[[ServiceCall], None] | None = None,
):
    functions = RecordingFunctions()
    calls: asyncio.Queue[ServiceCall] = asyncio.Queue()
    door = FrontDoor(
        socket_api=api or socket_api(),
        http_api=HttpApi("httpapi123", "http", http_timeout_ms),
        functions=functions,
        viewer_function=None if viewer_function is None else EdgeFunction(viewer_function),
        services=ServiceAccess(
            sqs_endpoint, lambda _: Credentials("testing", "testing"), record or calls.put_nowait
        ),
        limits=limits,
        disorder=disorder,
    )
    await door.start("127.0.0.1", 0)
    try:
        yield World(door, functions, sqs_endpoint, calls)
    finally:
        await door.stop()

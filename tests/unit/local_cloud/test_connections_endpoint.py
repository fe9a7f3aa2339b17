"""@connections as the SDK sees it: what it posts, looks at and closes, and every refusal."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import aiohttp
import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from websockets.asyncio.client import connect

from syncline.aws.gateway import ApiGateway
from syncline.local_cloud.connections_endpoint import connection_of
from syncline.local_cloud.gateway_limits import GatewayLimits
from syncline.ports import ConnectionGone
from tests.unit.local_cloud.cloud_world import REGION, a_world

LIMITS = GatewayLimits()
UNKNOWN = "L0SM9cOFvHcCIhw="


@asynccontextmanager
async def a_socket(**settings):
    async with a_world(**settings) as world, connect(world.socket_url, max_size=None) as socket:
        connection_id, _ = await world.connected()
        yield world, socket, connection_id


async def refusal(call: Any, **parameters: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as raised:
        await asyncio.to_thread(call, **parameters)
    response = raised.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


async def post_until_refused(post: Any, **parameters: Any) -> tuple[int, ClientError]:
    for posted in range(1000):
        try:
            await asyncio.to_thread(post, **parameters)
        except ClientError as error:
            return posted, error
    raise AssertionError("a thousand posts to a client that does not read were taken")


async def received(socket: Any) -> Any:
    async with asyncio.timeout(10):
        return await socket.recv()


@pytest.mark.parametrize("path", ["", "/live"])
def test_a_post_reaches_the_client_as_text(path):
    async def scenario():
        async with a_socket() as (world, socket, connection_id):
            client = boto3.client(
                "apigatewaymanagementapi",
                endpoint_url=world.door.url + path,
                region_name=REGION,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
            )
            text = '{"é": 1}'.encode()
            await asyncio.to_thread(
                client.post_to_connection, ConnectionId=connection_id, Data=text
            )
            return await received(socket)

    assert asyncio.run(scenario()) == '{"é": 1}'


def test_the_adapter_for_api_gateway_posts_and_closes_through_it():
    async def scenario():
        async with a_socket() as (world, socket, connection_id):
            gateway = ApiGateway(world.connections())
            await gateway.post(connection_id, b"first")
            text = await received(socket)
            await gateway.disconnect(connection_id)
            await socket.wait_closed()
            with pytest.raises(ConnectionGone):
                await gateway.post(connection_id, b"second")
            return text, socket.close_code

    assert asyncio.run(scenario()) == ("first", 1000)


def test_the_greatest_post_passes_and_one_byte_more_is_refused():
    text = "x" * LIMITS.message_bytes

    async def scenario():
        async with a_socket() as (world, socket, gone):
            post = world.connections().post_to_connection
            await asyncio.to_thread(post, ConnectionId=gone, Data=text)
            arrived = await received(socket)
            return arrived, await refusal(post, ConnectionId=gone, Data=text + "y")

    arrived, refused = asyncio.run(scenario())
    assert arrived == text
    assert refused == (413, "PayloadTooLargeException")


def test_a_connection_can_be_looked_at():
    async def scenario():
        async with a_socket() as (world, _, connection_id):
            client = world.connections()
            await asyncio.to_thread(
                client.post_to_connection, ConnectionId=connection_id, Data=b"{}"
            )
            return await asyncio.to_thread(client.get_connection, ConnectionId=connection_id)

    found = asyncio.run(scenario())
    assert found["Identity"]["SourceIp"] == "192.0.2.1"
    assert "websockets" in found["Identity"]["UserAgent"]
    assert isinstance(found["ConnectedAt"], datetime)
    assert found["LastActiveAt"] >= found["ConnectedAt"]


@pytest.mark.parametrize("operation", ["post_to_connection", "get_connection", "delete_connection"])
def test_a_connection_that_is_gone_or_never_was_is_answered_410(operation):
    async def scenario():
        async with a_world() as world:
            async with connect(world.socket_url):
                connection_id, _ = await world.connected()
            # `$disconnect` comes after the connection is gone.
            await world.functions.next()
            call = getattr(world.connections(), operation)
            data = {"Data": b"{}"} if operation == "post_to_connection" else {}
            return [
                await refusal(call, ConnectionId=gone, **data) for gone in (connection_id, UNKNOWN)
            ]

    assert asyncio.run(scenario()) == [(410, "GoneException")] * 2


def test_a_connection_can_not_be_posted_to_before_its_handshake_has_ended():
    async def scenario():
        async with a_world() as world:
            post = world.connections().post_to_connection

            async def post_early(event):
                connection_id = event["requestContext"]["connectionId"]
                refused.append(await refusal(post, ConnectionId=connection_id, Data=b"{}"))
                return {"statusCode": 200}

            refused = []
            world.functions.answers["connection"] = post_early
            async with connect(world.socket_url):
                return list(refused)

    assert asyncio.run(scenario()) == [(410, "GoneException")]


def test_an_id_of_the_wrong_form_is_answered_400():
    async def scenario():
        async with a_world() as world:
            call = world.connections().get_connection
            return [await refusal(call, ConnectionId=name) for name in ("nonsense", "é=", "YQ==")]

    assert asyncio.run(scenario()) == [(400, "BadRequestException")] * 3


def test_a_client_that_does_not_read_is_answered_429_until_it_reads():
    limits = replace(LIMITS, socket_buffer_bytes=64 * 1024)
    text = b"x" * LIMITS.message_bytes

    async def scenario():
        async with a_socket(limits=limits) as (world, socket, connection_id):
            post = world.connections().post_to_connection
            socket.transport.pause_reading()
            posted, error = await post_until_refused(post, ConnectionId=connection_id, Data=text)
            socket.transport.resume_reading()
            for _ in range(posted):
                assert len(await received(socket)) == len(text)
            await asyncio.to_thread(post, ConnectionId=connection_id, Data=b"{}")
            return error.response["Error"]["Code"], await received(socket)

    assert asyncio.run(scenario()) == ("LimitExceededException", "{}")


def test_a_throttled_post_is_answered_429():
    async def scenario():
        limits = replace(LIMITS, requests_per_second=1e-6, requests_burst=1)
        async with a_socket(limits=limits) as (world, _, connection_id):
            call = world.connections().get_connection
            return await refusal(call, ConnectionId=connection_id)

    assert asyncio.run(scenario()) == (429, "LimitExceededException")


def test_an_unsigned_request_is_refused():
    async def scenario():
        async with a_socket() as (world, _, connection_id):
            client = boto3.client(
                "apigatewaymanagementapi",
                endpoint_url=world.door.url,
                region_name=REGION,
                config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}),
            )
            return await refusal(client.get_connection, ConnectionId=connection_id)

    assert asyncio.run(scenario()) == (403, "MissingAuthenticationTokenException")


def test_a_signature_for_another_region_is_refused():
    async def scenario():
        async with a_socket() as (world, _, connection_id):
            client = boto3.client(
                "apigatewaymanagementapi",
                endpoint_url=world.door.url,
                region_name="us-east-1",
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
                config=Config(retries={"total_max_attempts": 1}),
            )
            return await refusal(client.get_connection, ConnectionId=connection_id)

    assert asyncio.run(scenario()) == (403, "ForbiddenException")


def test_a_header_that_is_no_signature_is_refused():
    async def scenario():
        async with a_socket() as (world, _, connection_id):
            url = f"{world.door.url}/@connections/{connection_id}"
            async with (
                aiohttp.ClientSession(headers={"Authorization": "Bearer token"}) as session,
                session.get(url) as answer,
            ):
                return answer.status, answer.headers["x-amzn-ErrorType"]

    assert asyncio.run(scenario()) == (403, "ForbiddenException")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/@connections/abc%3D", "abc="),
        ("/live/@connections/abc=", "abc="),
        ("/other/@connections/abc=", None),
        ("/@connections/", None),
        ("/@connections/a/b", None),
        ("/api/@connections", None),
    ],
)
def test_only_paths_of_the_stages_connections_are_taken(path, expected):
    assert connection_of(path, "live") == expected

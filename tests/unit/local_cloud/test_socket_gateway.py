"""Sockets through the front door: handshakes, messages, limits and close codes."""

import asyncio
import base64
import json
import re
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from syncline.local_cloud.disorder import Disorder
from syncline.local_cloud.gateway_limits import GatewayLimits
from syncline.local_cloud.ports import FunctionFailed
from syncline.local_cloud.service_integration import ServiceCall
from syncline.local_cloud.socket_wire import CloseCode
from tests.unit.local_cloud.cloud_world import (
    ACCOUNT,
    LANE_ROLE,
    QUEUE,
    REGION,
    a_world,
    lane_route,
    socket_api,
)

LIMITS = GatewayLimits()
SMALL = replace(LIMITS, frame_bytes=64, message_bytes=256)


def body_of(message: dict[str, Any]) -> str:
    return base64.b64decode(message["Body"]).decode()


async def close_of(socket: Any) -> tuple[int, str]:
    async with asyncio.timeout(10):
        await socket.wait_closed()
    return socket.close_code, socket.close_reason


async def ping_on(socket: Any) -> None:
    with suppress(ConnectionClosed):
        while True:
            await socket.ping()
            await asyncio.sleep(0.05)


async def send_on(socket: Any) -> None:
    with suppress(ConnectionClosed):
        while True:
            await socket.send("{}")
            await asyncio.sleep(0.05)


@asynccontextmanager
async def a_socket(**settings):
    async with a_world(**settings) as world, connect(world.socket_url) as socket:
        connection_id, _ = await world.connected()
        yield world, socket, connection_id


# Handshakes


def test_connect_is_given_the_shape_of_api_gateways_event():
    async def scenario():
        async with a_world() as world:
            url = f"{world.socket_url}?token=a%20b&client=forged"
            async with connect(url, additional_headers={"Convex-Client": "npm-1.48.0"}):
                return await world.functions.next()

    function, event = asyncio.run(scenario())
    context = event["requestContext"]
    assert function == "connection"
    assert event["queryStringParameters"] == {"token": "a b", "client": "1.48.0"}
    assert event["multiValueQueryStringParameters"] == {"token": ["a b"], "client": ["1.48.0"]}
    assert event["isBase64Encoded"] is False
    assert event["headers"]["Convex-Client"] == "npm-1.48.0"
    assert event["headers"]["Host"] == f"wsapi12345.execute-api.{REGION}.amazonaws.com"
    assert event["headers"]["X-Forwarded-For"] == "127.0.0.1, 192.0.2.1"
    assert event["multiValueHeaders"]["Sec-WebSocket-Version"] == ["13"]
    assert "Connection" not in event["headers"]
    assert context["eventType"] == "CONNECT"
    assert context["routeKey"] == "$connect"
    assert context["messageDirection"] == "IN"
    assert (context["stage"], context["apiId"]) == ("live", "wsapi12345")
    assert context["connectedAt"] == context["requestTimeEpoch"] > 1_700_000_000_000
    assert context["identity"]["sourceIp"] == "192.0.2.1"
    assert context["requestId"] != context["extendedRequestId"]
    assert re.fullmatch(r"[\w-]{15}=", context["connectionId"])
    assert "messageId" not in context


def test_a_handshake_without_version_and_query_has_no_query_parameters():
    async def scenario():
        async with a_world() as world, connect(world.bare_socket_url):
            return await world.functions.next()

    _, event = asyncio.run(scenario())
    assert "queryStringParameters" not in event


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"statusCode": 403}, 403),
        ({"statusCode": 500, "body": "no"}, 500),
        ({"statusCode": 302}, 302),
        ({"status": 200}, 502),
        (None, 502),
        (FunctionFailed({"errorType": "ValueError", "errorMessage": "no"}), 502),
    ],
)
def test_a_handshake_that_connect_does_not_grant_is_refused_with_its_status(answer, status):
    async def scenario():
        async with a_world() as world:
            world.functions.will_answer("connection", answer)
            with pytest.raises(InvalidStatus) as raised:
                await connect(world.socket_url)
            event = await world.functions.next()
            assert world.functions.events.empty(), "a refused socket is not disconnected"
            return raised.value.response, event

    response, (_, event) = asyncio.run(scenario())
    assert response.status_code == status
    body = json.loads(response.body)
    assert body["connectionId"] == event["requestContext"]["connectionId"]
    assert set(body) == {"message", "connectionId", "requestId"}


def test_a_connect_function_that_takes_too_long_refuses_with_504():
    async def scenario():
        limits = replace(LIMITS, integration_seconds=0.05)
        async with a_world(limits=limits) as world:

            async def never(_):
                await asyncio.Event().wait()

            world.functions.answers["connection"] = never
            with pytest.raises(InvalidStatus) as raised:
                await connect(world.socket_url)
            return raised.value.response.status_code

    assert asyncio.run(scenario()) == 504


def test_the_subprotocol_is_the_one_that_connect_answers():
    async def scenario():
        async with a_world() as world:
            answer = {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "second"}}
            world.functions.will_answer("connection", answer)
            async with connect(world.socket_url, subprotocols=["first", "second"]) as socket:
                return socket.subprotocol

    assert asyncio.run(scenario()) == "second"


def test_compression_is_not_negotiated():
    async def scenario():
        async with a_socket() as (_, socket, _id):
            return socket.response.headers.get("Sec-WebSocket-Extensions")

    assert asyncio.run(scenario()) is None


# Messages


def test_a_message_becomes_what_the_template_says_in_the_lane_of_its_connection(sqs_endpoint, lane):
    text = '{"type": "Connect", "a&b=c+d": "é\\u0001 $context.connectionId \U0001f600"}'

    async def scenario():
        async with a_socket(sqs_endpoint=sqs_endpoint) as (world, socket, connection_id):
            await socket.send(text)
            return connection_id, await world.called(1)

    connection_id, calls = asyncio.run(scenario())
    (message,) = lane.receive()
    assert body_of(message) == text
    assert message["Attributes"]["MessageGroupId"] == connection_id
    assert re.fullmatch(r"[\w-]{15}=", message["Attributes"]["MessageDeduplicationId"])
    assert message["MessageAttributes"]["at"]["DataType"] == "Number"
    assert int(message["MessageAttributes"]["at"]["StringValue"]) > 1_700_000_000_000
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE}"
    assert calls == [ServiceCall(LANE_ROLE, "sqs:SendMessage", queue)]


def test_a_message_that_the_service_refuses_is_told_to_the_client(sqs_endpoint):
    async def scenario():
        api = socket_api(default=lane_route(queue="absent.fifo"))
        async with a_socket(sqs_endpoint=sqs_endpoint, api=api) as (_, socket, connection_id):
            await socket.send("{}")
            async with asyncio.timeout(10):
                return connection_id, json.loads(await socket.recv())

    connection_id, told = asyncio.run(scenario())
    assert told.pop("requestId")
    assert told == {"message": "Internal server error", "connectionId": connection_id}


def test_a_message_that_can_not_reach_the_service_is_told_to_the_client():
    async def scenario():
        async with a_socket() as (_, socket, _id):
            await socket.send("{}")
            async with asyncio.timeout(10):
                return json.loads(await socket.recv())

    assert asyncio.run(scenario())["message"] == "Internal server error"


def test_messages_of_a_socket_are_on_their_way_at_the_same_time(sqs_endpoint, lane):
    async def scenario():
        # Seed 3 delays some of twenty messages, so that later ones overtake them.
        disorder = Disorder(3, swaps=0.5)
        async with a_socket(sqs_endpoint=sqs_endpoint, disorder=disorder) as (world, socket, _):
            for number in range(20):
                await socket.send(str(number))
            await world.called(20)
        return disorder

    disorder = asyncio.run(scenario())
    numbers = [int(body_of(message)) for message in lane.receive()]
    assert sorted(numbers) == list(range(20))
    assert numbers != sorted(numbers)
    assert 0 < disorder.reordered < 20


def test_a_failure_of_the_gateway_itself_closes_with_1011():
    def fail(_):
        raise ZeroDivisionError

    async def scenario():
        async with a_socket(record=fail) as (_, socket, _id):
            await socket.send("{}")
            return (await close_of(socket))[0]

    assert asyncio.run(scenario()) == CloseCode.INTERNAL_ERROR


# Limits


@pytest.mark.parametrize("limits", [SMALL, LIMITS], ids=["small", "real"])
def test_the_greatest_frame_passes_and_one_byte_more_closes_with_1009(sqs_endpoint, lane, limits):
    async def scenario():
        async with a_socket(sqs_endpoint=sqs_endpoint, limits=limits) as (world, socket, _):
            await socket.send("x" * limits.frame_bytes)
            await world.called(1)
            await socket.send("y" * (limits.frame_bytes + 1))
            return (await close_of(socket))[0], world.calls.empty()

    assert asyncio.run(scenario()) == (CloseCode.TOO_LARGE, True)
    assert [body_of(message) for message in lane.receive()] == ["x" * limits.frame_bytes]


@pytest.mark.parametrize("limits", [SMALL, LIMITS], ids=["small", "real"])
def test_the_greatest_message_passes_in_frames_and_one_byte_more_closes_with_1009(
    sqs_endpoint, lane, limits
):
    frames = ["x" * limits.frame_bytes] * (limits.message_bytes // limits.frame_bytes)

    async def scenario():
        async with a_socket(sqs_endpoint=sqs_endpoint, limits=limits) as (world, socket, _):
            await socket.send(frames)
            await world.called(1)
            await socket.send([*frames, "y"])
            return (await close_of(socket))[0], world.calls.empty()

    assert asyncio.run(scenario()) == (CloseCode.TOO_LARGE, True)
    assert [body_of(message) for message in lane.receive()] == ["x" * limits.message_bytes]


def test_a_binary_frame_closes_with_1003():
    async def scenario():
        async with a_socket() as (world, socket, _):
            await socket.send(b"{}")
            return (await close_of(socket))[0], world.calls.empty()

    assert asyncio.run(scenario()) == (CloseCode.UNSUPPORTED_DATA, True)


def test_text_that_is_no_utf8_closes_with_1007():
    async def scenario():
        async with a_socket() as (world, socket, _):
            socket.protocol.send_frame(Frame(Opcode.TEXT, b"\xff"))
            socket.send_data()
            return (await close_of(socket))[0], world.calls.empty()

    assert asyncio.run(scenario()) == (CloseCode.INVALID_DATA, True)


def test_an_idle_socket_closes_with_1001():
    async def scenario():
        async with a_socket(limits=LIMITS.scaled(1 / 10_000)) as (_, socket, _id):
            return await close_of(socket)

    assert asyncio.run(scenario()) == (CloseCode.GOING_AWAY, "Going away")


def test_pings_do_not_keep_a_socket_open():
    async def scenario():
        async with a_socket(limits=replace(LIMITS, idle_seconds=0.3)) as (_, socket, _id):
            pinging = asyncio.create_task(ping_on(socket))
            code, _ = await close_of(socket)
            await pinging
            return code

    assert asyncio.run(scenario()) == CloseCode.GOING_AWAY


@pytest.mark.parametrize("direction", ["in", "out"])
def test_messages_in_either_direction_keep_a_socket_open(sqs_endpoint, lane, direction):
    limits = replace(LIMITS, idle_seconds=0.6)

    async def scenario():
        async with a_socket(sqs_endpoint=sqs_endpoint, limits=limits) as (world, socket, gone):
            post = world.connections().post_to_connection
            for _ in range(4):
                await asyncio.sleep(limits.idle_seconds / 2)
                if direction == "in":
                    await socket.send("{}")
                else:
                    await asyncio.to_thread(post, ConnectionId=gone, Data=b"{}")
            return socket.close_code

    assert asyncio.run(scenario()) is None


def test_a_socket_closes_with_1001_at_the_end_of_its_life_however_busy(sqs_endpoint, lane):
    limits = replace(LIMITS, life_seconds=0.3)

    async def scenario():
        async with a_socket(sqs_endpoint=sqs_endpoint, limits=limits) as (_, socket, _id):
            sending = asyncio.create_task(send_on(socket))
            code, _ = await close_of(socket)
            await sending
            return code

    assert asyncio.run(scenario()) == CloseCode.GOING_AWAY


def test_a_throttled_message_closes_with_1008_and_a_throttled_handshake_is_answered_429():
    async def scenario():
        # One token for the handshake, none for the message.
        limits = replace(LIMITS, requests_per_second=1e-6, requests_burst=1)
        async with a_socket(limits=limits) as (world, socket, _):
            await socket.send("{}")
            code, _ = await close_of(socket)
            with pytest.raises(InvalidStatus) as raised:
                await connect(world.socket_url)
            return code, raised.value.response.status_code, world.calls.empty()

    assert asyncio.run(scenario()) == (CloseCode.POLICY_VIOLATION, 429, True)


@pytest.mark.parametrize("code", [CloseCode.INTERNAL_ERROR, CloseCode.SERVICE_RESTART])
def test_the_gateway_can_be_made_to_fail_and_to_restart(code):
    async def scenario():
        async with a_socket() as (world, socket, _):
            assert world.door.interrupt(code) == 1
            return (await close_of(socket))[0]

    assert asyncio.run(scenario()) == code


def test_a_front_door_that_stops_closes_its_sockets_with_1012_and_disconnects_them():
    async def scenario():
        async with a_world() as world:
            socket = await connect(world.socket_url)
            await world.connected()
            await asyncio.gather(world.door.stop(), close_of(socket))
            _, event = await world.functions.next()
            return socket.close_code, event["requestContext"]["disconnectStatusCode"]

    assert asyncio.run(scenario()) == (1012, 1012)


# Disconnecting


def test_disconnect_is_given_the_shape_of_api_gateways_event():
    async def scenario():
        async with a_world() as world:
            async with connect(world.socket_url) as socket:
                connection_id, connected = await world.connected()
                await socket.close(4000, "enough")
            return connection_id, connected, await world.functions.next()

    connection_id, connected, (function, event) = asyncio.run(scenario())
    context = event["requestContext"]
    assert function == "connection"
    assert context["eventType"] == "DISCONNECT"
    assert context["routeKey"] == "$disconnect"
    assert context["connectionId"] == connection_id
    assert context["connectedAt"] == connected["requestContext"]["connectedAt"]
    assert context["requestTimeEpoch"] >= context["connectedAt"]
    assert context["disconnectStatusCode"] == 4000
    assert context["disconnectReason"] == "enough"
    assert event["headers"]["Host"].startswith("wsapi12345.")
    assert event["isBase64Encoded"] is False


def test_a_client_that_vanishes_is_disconnected_with_1006():
    async def scenario():
        async with a_socket() as (world, socket, _):
            socket.transport.abort()
            _, event = await world.functions.next()
            return event["requestContext"]["disconnectStatusCode"]

    assert asyncio.run(scenario()) == 1006


def test_a_client_that_vanishes_while_connect_is_asked_is_disconnected_too():
    handshake = (
        "GET /api/sync HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )

    async def scenario():
        async with a_world() as world:
            address = urlsplit(world.door.url)
            _, writer = await asyncio.open_connection(address.hostname, address.port)

            async def vanish(event):
                if event["requestContext"]["eventType"] == "CONNECT":
                    writer.transport.abort()
                    # The loop has to see the lost connection before the answer does.
                    await asyncio.sleep(0.05)
                return {"statusCode": 200}

            world.functions.answers["connection"] = vanish
            writer.write(handshake.encode())
            connection_id, _ = await world.connected()
            _, event = await world.functions.next()
            return connection_id, event["requestContext"]

    connection_id, context = asyncio.run(scenario())
    assert context["eventType"] == "DISCONNECT"
    assert context["connectionId"] == connection_id
    assert context["disconnectStatusCode"] == 1006


def test_disconnect_can_be_lost():
    async def scenario():
        disorder = Disorder(1, lost_disconnects=1)
        async with a_world(disorder=disorder) as world, connect(world.socket_url):
            await world.connected()
        assert world.functions.events.empty()
        return disorder.disconnects_lost

    assert asyncio.run(scenario()) == 1


def test_a_failing_disconnect_is_told_once():
    async def scenario():
        async with a_world() as world:
            async with connect(world.socket_url):
                await world.connected()
                failure = FunctionFailed({"errorType": "Timeout", "errorMessage": "late"})
                world.functions.will_answer("connection", failure)
            await world.functions.next()
        assert world.functions.events.empty()

    asyncio.run(scenario())

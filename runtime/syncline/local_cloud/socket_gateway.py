"""The WebSocket API: handshakes by way of `$connect`, messages to the queue, `$disconnect`.

Messages of one socket are sent on at once, each on its own: no document says that the gateway waits
for one before it sends the next (aws-facts.md 1.6).
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

import msgspec
from aiohttp import web
from websockets.datastructures import Headers
from websockets.http11 import Request as HandshakeRequest
from websockets.http11 import Response as HandshakeResponse
from websockets.server import ServerProtocol

from syncline.local_cloud.disorder import Disorder
from syncline.local_cloud.distribution import Answer, OriginRequest
from syncline.local_cloud.gateway_identity import new_id
from syncline.local_cloud.gateway_limits import GatewayLimits, Throttle
from syncline.local_cloud.ports import FunctionFailed, Functions, SocketApi
from syncline.local_cloud.service_integration import IntegrationError, ServiceIntegration
from syncline.local_cloud.socket_events import (
    Caller,
    connect_event,
    disconnect_event,
    socket_context,
)
from syncline.local_cloud.socket_wire import CloseCode, SocketWire

if TYPE_CHECKING:
    from aiohttp.http_websocket import WebSocketReader

CONNECT: Final = "$connect"
DISCONNECT: Final = "$disconnect"
DEFAULT: Final = "$default"

logger = logging.getLogger(__name__)


class Connection:
    """An open socket."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.wire: SocketWire
        self.last_active_at = caller.connected_at
        """Seconds since the epoch of the last message in either direction."""
        self.received = 0
        self.latest_sent_on = 0
        """The highest number of a message of this socket that was sent on."""


class SocketGateway:
    """One stage's sockets."""

    def __init__(
        self,
        api: SocketApi,
        functions: Functions,
        lane: ServiceIntegration,
        limits: GatewayLimits,
        throttle: Throttle,
        *,
        disorder: Disorder | None = None,
    ) -> None:
        self._api = api
        self._functions = functions
        self._lane = lane
        self._limits = limits
        self._throttle = throttle
        self._disorder = disorder
        self._connections: dict[str, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lifecycle = {key: _function_of(api, key) for key in (CONNECT, DISCONNECT)}

    def find(self, connection_id: str) -> Connection | None:
        """The open socket of that id; None: it is gone, or not open yet."""
        return self._connections.get(connection_id)

    def send(self, connection: Connection, text: bytes) -> None:
        """Write a message to a client."""
        connection.last_active_at = time.time()
        connection.wire.send(text)

    def interrupt(self, code: CloseCode, reason: str = "") -> int:
        """Close every socket as the gateway does when it fails or restarts; tells how many."""
        open_ones = list(self._connections.values())
        for connection in open_ones:
            connection.wire.close(code, reason)
        return len(open_ones)

    async def stop(self) -> None:
        """Close every socket with 1012 and wait for what is under way."""
        finished = [connection.wire.finished for connection in self._connections.values()]
        self.interrupt(CloseCode.SERVICE_RESTART, "Service restart")
        if finished:
            await asyncio.wait(finished)
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def connect(self, request: web.BaseRequest, asked: OriginRequest) -> web.StreamResponse:
        """Answer a handshake and hold the socket until it has ended."""
        now = time.time()
        caller = Caller(new_id(), now, request.headers.get("User-Agent", ""))
        context = socket_context(self._api, caller, "CONNECT", CONNECT, now)
        if not self._throttle.admits():
            return _refusal(429, context)
        handshake = ServerProtocol().accept(_handshake(request))
        # API Gateway knows the stage alone as a path (aws-facts.md 1.4).
        if asked.path != f"/{self._api.stage}" or handshake.status_code != 101:
            return _refusal(403, context)
        status, headers = await self._ask_to_connect(connect_event(self._api, asked, context))
        if not 200 <= status < 300:
            return _refusal(status, context)
        return await self._hold(request, _accepted(handshake, headers), caller)

    async def _ask_to_connect(self, event: Mapping[str, object]) -> tuple[int, Mapping[str, str]]:
        """Status and headers of the answer; 200 where the route is not there."""
        function = self._lifecycle[CONNECT]
        if function is None:
            return 200, {}
        try:
            async with asyncio.timeout(self._limits.integration_seconds):
                given = await self._functions.invoke(function, event)
            answer = msgspec.convert(given, _ConnectAnswer)
        except TimeoutError:
            return 504, {}
        except (FunctionFailed, msgspec.ValidationError) as error:
            logger.warning("%s did not answer: %r", CONNECT, error)
            return 502, {}
        return answer.status_code, answer.headers or {}

    async def _hold(
        self, request: web.BaseRequest, response: web.StreamResponse, caller: Caller
    ) -> web.StreamResponse:
        with suppress(ConnectionError):
            await response.prepare(request)
        transport = request.transport
        if transport is None:
            # Gone while `$connect` was asked: `$disconnect` comes all the same.
            self._spawn(self._tell_disconnected(caller, 1006, ""))
            return response
        connection = Connection(caller)
        connection.wire = wire = SocketWire(
            transport, self._limits, lambda text: self._receive(connection, text)
        )
        self._connections[caller.connection_id] = connection
        request.protocol.keep_alive(False)  # noqa: FBT003 - aiohttp's signature
        # It asks of a parser just these two methods, whatever the annotation says.
        request.protocol.set_parser(cast("WebSocketReader", wire))
        await wire.closed
        del self._connections[caller.connection_id]
        if self._disorder is None or not self._disorder.lose_disconnect():
            code, reason = wire.close_code, wire.close_reason
            self._spawn(self._tell_disconnected(caller, code, reason))
        await wire.finished
        return response

    async def _tell_disconnected(self, caller: Caller, code: int, reason: str) -> None:
        function = self._lifecycle[DISCONNECT]
        if function is None:
            return
        context = socket_context(self._api, caller, "DISCONNECT", DISCONNECT, time.time())
        try:
            async with asyncio.timeout(self._limits.integration_seconds):
                event = disconnect_event(self._api, context, code, reason)
                await self._functions.invoke(function, event)
        except (TimeoutError, FunctionFailed) as error:
            # Best effort: the gateway tells once (aws-facts.md 1.1).
            logger.warning("%s did not answer: %r", DISCONNECT, error)

    # Messages

    def _receive(self, connection: Connection, text: str) -> None:
        now = connection.last_active_at = time.time()
        if not self._throttle.admits():
            connection.wire.close(CloseCode.POLICY_VIOLATION, "Too many requests")
            return
        connection.received += 1
        context = socket_context(self._api, connection.caller, "MESSAGE", DEFAULT, now)
        self._spawn(self._send_on(connection, connection.received, text, context))

    async def _send_on(
        self, connection: Connection, number: int, text: str, context: Mapping[str, object]
    ) -> None:
        if self._disorder is not None:
            await asyncio.sleep(self._disorder.swap_delay())
            if number < connection.latest_sent_on:
                self._disorder.count_reordered()
        connection.latest_sent_on = max(connection.latest_sent_on, number)
        try:
            async with asyncio.timeout(self._limits.integration_seconds):
                await self._lane.send(text, context)
        except (TimeoutError, IntegrationError) as error:
            logger.warning("A client's message is lost: %r", error)
            self.send(connection, msgspec.json.encode(_failure("Internal server error", context)))
        except Exception:
            logger.exception("The local gateway failed.")
            connection.wire.close(CloseCode.INTERNAL_ERROR, "Internal error")

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _ConnectAnswer(msgspec.Struct, rename="camel"):
    status_code: int
    headers: dict[str, str] | None = None


def _function_of(api: SocketApi, key: str) -> str | None:
    route = api.routes.get(key)
    if route is None:
        return None
    if route.kind != "function" or route.function is None:
        raise ValueError(f"The route {key} must lead to a function, not to {route.uri}.")
    return route.function


def _handshake(request: web.BaseRequest) -> HandshakeRequest:
    headers = Headers()
    for name, value in request.headers.items():
        headers[name] = value
    return HandshakeRequest(request.raw_path, headers, request.method)


def _accepted(handshake: HandshakeResponse, given: Mapping[str, str]) -> web.StreamResponse:
    names = ("Upgrade", "Connection", "Sec-WebSocket-Accept")
    response = web.StreamResponse(
        status=101, headers={name: handshake.headers[name] for name in names}
    )
    for name, value in given.items():
        if name.lower() == "sec-websocket-protocol":
            response.headers[name] = value
    return response


def _failure(message: str, context: Mapping[str, object]) -> dict[str, object]:
    return {
        "message": message,
        "connectionId": context["connectionId"],
        "requestId": context["requestId"],
    }


def _refusal(status: int, context: Mapping[str, object]) -> web.Response:
    body = msgspec.json.encode(_failure(HTTPStatus(status).phrase, context)).decode()
    return Answer(status, body, (("content-type", "application/json"),)).response()

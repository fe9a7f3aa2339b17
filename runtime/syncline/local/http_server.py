"""The embedded server's front door: WebSocket connections and the HTTP API on one port."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import cast

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.http import HttpProcessingError

from syncline.drivers.http_api import HttpApi
from syncline.drivers.session_driver import SessionDriver
from syncline.drivers.sessions import Sessions
from syncline.drivers.site import Site, site_path
from syncline.errors import CallerError
from syncline.limits import CLIENT_MESSAGE_BYTES_MAX
from syncline.local.connection import Outbox
from syncline.local.http_api import answer
from syncline.local.site_server import answer_site
from syncline.sync.client_kind import client_kind

TICK_SECONDS = 1.0
READ_BUFFER_BYTES = 2**13
"""Of a body that is not read yet, before its client has to wait; ours: of a thousand uploads."""
PROTOCOL_PING_SECONDS = 30.0
"""Seconds between WebSocket pings that find dead peers; ours, a quarter of the idle limit."""
CLOSING_SECONDS_MAX = 5.0
"""Seconds that a client may take to answer a close frame; ours."""

logger = logging.getLogger(__name__)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a failure is the server's: what is no proper HTTP was refused, and that is all."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | web.RequestPayloadError)


logger.addFilter(_is_ours)


class Connection:
    """One WebSocket: the session's socket, and the loop that reads from it."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.WriteTransport) -> None:
        self._socket = socket
        self._outbox = Outbox(transport)
        self._transport = transport
        self._cut_off: asyncio.TimerHandle | None = None

    @property
    def unsent_bytes(self) -> int:
        """What the transport has not handed to the network yet."""
        return self._outbox.unsent_bytes

    def send(self, messages: tuple[bytes, ...]) -> bool:
        """Queue text messages in order. False: the client reads too slowly."""
        return self._outbox.send(messages)

    def flush(self) -> None:
        """Send what was queued."""
        self._outbox.flush()

    def close(self, code: int | None, reason: str) -> None:
        """Start the closing handshake; a peer that does not take part is cut off."""
        if self._cut_off is None:
            self._outbox.close(WSCloseCode.OK if code is None else code, reason)
            loop = asyncio.get_running_loop()
            self._cut_off = loop.call_later(CLOSING_SECONDS_MAX, self._transport.abort)

    async def read(self, driver: SessionDriver) -> None:
        """Hand every message to the session until the client has closed its side, too.

        That is, also after `close`: a socket with unread data that is closed is reset, and the
        client might never see what it was told last.
        """
        try:
            async for message in self._socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    driver.receive(message.data)
                elif message.type is WSMsgType.PING:
                    await self._socket.pong(message.data)
                elif message.type is WSMsgType.PONG:
                    driver.pong()
                else:
                    break
        finally:
            self.close(None, "")
            if self._cut_off is not None:
                self._cut_off.cancel()
            self._transport.close()


def make_app(sessions: Sessions, api: HttpApi, site: Site | None = None) -> web.Application:
    """The aiohttp application; it serves the site under a prefix, too."""
    # The API itself limits and reads bodies, so that its answer has the documented form.
    app = web.Application(
        client_max_size=0,
        handler_args={
            "auto_decompress": True,
            "logger": logger,
            "read_bufsize": READ_BUFFER_BYTES,
        },
    )

    async def connect(request: web.Request) -> web.StreamResponse:
        try:
            kind = client_kind(
                request.match_info.get("version"), request.headers.get("Convex-Client")
            )
        except CallerError as error:
            return web.json_response({"code": error.code, "message": error.message}, status=400)
        socket = web.WebSocketResponse(
            compress=False,
            max_msg_size=CLIENT_MESSAGE_BYTES_MAX,
            autoping=False,
            autoclose=False,
            heartbeat=PROTOCOL_PING_SECONDS,
            decode_text=False,
        )
        if not _is_handshake(socket, request):
            return web.json_response(
                {
                    "code": "WebSocketRequired",
                    "message": "This address takes WebSocket connections only.",
                },
                status=400,
            )
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        # uvloop's transports have the interface without being subclasses of it.
        connection = Connection(socket, cast("asyncio.WriteTransport", transport))
        driver = sessions.open(kind, connection)
        try:
            await connection.read(driver)
        finally:
            driver.closed()
        return socket

    async def call(request: web.Request) -> web.StreamResponse:
        path = None if site is None else site_path(request.path)
        if site is not None and path is not None:
            return await answer_site(site, request, path)
        return await answer(api, request)

    app.router.add_get("/api/sync", connect)
    app.router.add_get("/api/{version:[0-9][^/]*}/sync", connect)
    app.router.add_route("*", r"/{path:[\s\S]*}", call)
    app.cleanup_ctx.append(_ticking(sessions))
    app.on_shutdown.append(lambda _: _say_goodbye(sessions))
    return app


def _is_handshake(socket: web.WebSocketResponse, request: web.Request) -> bool:
    try:
        return socket.can_prepare(request).ok
    except ValueError:
        # A key that is not even ASCII.
        return False


async def _say_goodbye(sessions: Sessions) -> None:
    sessions.close_all(WSCloseCode.GOING_AWAY, "ServerStopping")
    await asyncio.sleep(0)


def _ticking(sessions: Sessions) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(_: web.Application) -> AsyncIterator[None]:
        async def tick() -> None:
            while True:
                await asyncio.sleep(TICK_SECONDS)
                sessions.tick()

        task = asyncio.get_running_loop().create_task(tick())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    return context

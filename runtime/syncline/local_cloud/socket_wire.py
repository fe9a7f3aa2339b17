"""One WebSocket as API Gateway holds it: its limits, its timers and its close codes.

aiohttp has answered the upgrade; from then on the bytes go through the protocol machine of
`websockets`, which, unlike aiohttp, tells frames from messages.
"""

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from syncline.local_cloud.gateway_limits import GatewayLimits


class CloseCode(IntEnum):
    """What clients see when the gateway closes (aws-facts.md 1.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    """Idle too long, or open too long."""
    UNSUPPORTED_DATA = 1003
    """A binary frame."""
    INVALID_DATA = 1007
    """Text that is no UTF-8 (RFC 6455); AWS's code is not documented."""
    POLICY_VIOLATION = 1008
    """Throttled."""
    TOO_LARGE = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012


NO_STATUS: Final = 1005
ABNORMAL: Final = 1006


class SocketWire:
    """Reads messages from a client and writes to it.

    `receive` is called with each text message. `closed` is done once closing has begun from either
    side, and `finished` once nothing is left of the connection.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        limits: GatewayLimits,
        receive: Callable[[str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._protocol = ServerProtocol(
            state=State.OPEN, max_size=(limits.message_bytes, limits.frame_bytes)
        )
        self._limits = limits
        self._receive = receive
        self._parts: list[bytes] = []
        self._was_closed_here = False
        self._active = self._loop.time()
        self._cut_off: asyncio.TimerHandle | None = None
        self._idle = self._loop.call_later(limits.idle_seconds, self._check_idle)
        self._life = self._loop.call_later(limits.life_seconds, self._end_life)
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.finished: asyncio.Future[None] = self._loop.create_future()

    # What aiohttp calls

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take bytes from the client: (False: more may come, nothing is left over)."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and not self._was_closed_here:
                self._take(event)
        self._flush()
        return False, b""

    def feed_eof(self) -> None:
        """The connection is lost."""
        self._protocol.receive_eof()
        self._protocol.data_to_send()
        self._end()
        if self._cut_off is not None:
            self._cut_off.cancel()
        if not self.finished.done():
            self.finished.set_result(None)

    # What the gateway calls

    @property
    def is_full(self) -> bool:
        """Whether the client reads so slowly that nothing more is taken for it."""
        return self._transport.get_write_buffer_size() > self._limits.socket_buffer_bytes

    def send(self, text: bytes) -> None:
        """Send a text message; nothing happens once closing has begun."""
        if self._protocol.state is State.OPEN:
            self._active = self._loop.time()
            self._protocol.send_text(text)
            self._flush()

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Start the closing handshake; doing it again changes nothing."""
        if self._protocol.state is State.OPEN:
            self._was_closed_here = True
            self._protocol.send_close(code, reason)
            self._flush()

    @property
    def close_code(self) -> int:
        """Why it ended: the code of whoever closed, 1005 without one, 1006 without a handshake."""
        sent, received = self._protocol.close_sent, self._protocol.close_rcvd
        first = sent if self._was_closed_here or received is None else received
        return ABNORMAL if first is None else first.code

    @property
    def close_reason(self) -> str:
        """Likewise, its text."""
        sent, received = self._protocol.close_sent, self._protocol.close_rcvd
        first = sent if self._was_closed_here or received is None else received
        return "" if first is None else first.reason

    # Inside

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.BINARY:
            self.close(CloseCode.UNSUPPORTED_DATA, "Binary is not supported")
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._parts.append(bytes(frame.data))
            if frame.fin:
                data, self._parts = b"".join(self._parts), []
                self._active = self._loop.time()
                self._take_message(data)

    def _take_message(self, data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.close(CloseCode.INVALID_DATA, "Text must be UTF-8")
        else:
            self._receive(text)

    def _flush(self) -> None:
        for chunk in self._protocol.data_to_send():
            if self._transport.is_closing():
                break
            if chunk:
                self._transport.write(chunk)
            else:
                # Half-closed, and read on: a socket closed with unread data is reset, and the
                # client might never see the close frame.
                self._transport.write_eof()
        if self._protocol.state is not State.OPEN:
            self._end()

    def _end(self) -> None:
        if self.closed.done():
            return
        self.closed.set_result(None)
        self._idle.cancel()
        self._life.cancel()
        self._cut_off = self._loop.call_later(self._limits.closing_seconds, self._transport.abort)

    def _check_idle(self) -> None:
        due = self._active + self._limits.idle_seconds
        if due <= self._loop.time():
            self.close(CloseCode.GOING_AWAY, "Going away")
        else:
            self._idle = self._loop.call_at(due, self._check_idle)

    def _end_life(self) -> None:
        self.close(CloseCode.GOING_AWAY, "Going away")

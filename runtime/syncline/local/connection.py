"""One WebSocket of the embedded server: aiohttp reads and handles control frames, we write text.

Writing straight to the transport is synchronous, so one loop can hand a Transition to a thousand
subscribers without a task for each. The frame header is RFC 6455 section 5.2: FIN and opcode text,
unmasked (a server never masks), length in 7, 16 or 64 bits.
"""

import asyncio
import struct

from syncline.limits import OUTBOX_BYTES_MAX

_TEXT = 0x81


def text_frame(payload: bytes) -> bytes:
    """One unfragmented, unmasked text frame."""
    length = len(payload)
    if length < 126:
        return bytes((_TEXT, length)) + payload
    if length < 65_536:
        return struct.pack("!BBH", _TEXT, 126, length) + payload
    return struct.pack("!BBQ", _TEXT, 127, length) + payload


class Outbox:
    """The sending side of a connection."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport

    def send(self, messages: tuple[bytes, ...]) -> bool:
        """Queue messages in order. False: the client reads too slowly and must be closed."""
        transport = self._transport
        if transport.is_closing():
            return True
        if len(messages) == 1:
            transport.write(text_frame(messages[0]))
        else:
            transport.write(b"".join([text_frame(message) for message in messages]))
        return transport.get_write_buffer_size() <= OUTBOX_BYTES_MAX

    @property
    def unsent_bytes(self) -> int:
        """What the operating system has not taken yet."""
        return self._transport.get_write_buffer_size()

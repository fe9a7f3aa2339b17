"""One WebSocket of the embedded server: aiohttp reads and handles control frames, we write text.

Writing straight to the transport is synchronous, so one loop can hand a Transition to a thousand
subscribers without a task for each. The frame header is RFC 6455 section 5.2: FIN and opcode text,
unmasked (a server never masks), length in 7, 16 or 64 bits.
"""

import asyncio
import struct

from syncline.limits import OUTBOX_BYTES_MAX

_TEXT = 0x81
_CLOSE = 0x88


def text_frame(payload: bytes) -> bytes:
    """One unfragmented, unmasked text frame."""
    length = len(payload)
    if length < 126:
        return bytes((_TEXT, length)) + payload
    if length < 65_536:
        return struct.pack("!BBH", _TEXT, 126, length) + payload
    return struct.pack("!BBQ", _TEXT, 127, length) + payload


def close_frame(code: int, reason: str) -> bytes:
    """A close frame; `reason` has at most 123 bytes."""
    payload = code.to_bytes(2, "big") + reason.encode()
    return bytes((_CLOSE, len(payload))) + payload


class Outbox:
    """The sending side of a connection."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._frames: list[bytes] = []

    def send(self, messages: tuple[bytes, ...]) -> bool:
        """Queue messages in order until `flush`. False: the client reads too slowly."""
        self._frames.extend([text_frame(message) for message in messages])
        return self._transport.get_write_buffer_size() <= OUTBOX_BYTES_MAX

    def flush(self) -> None:
        """Hand what was queued to the transport: one system call for all of it."""
        frames, self._frames = self._frames, []
        if frames and not self._transport.is_closing():
            self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def close(self, code: int, reason: str) -> None:
        """Send what was queued and a close frame, after which nothing may be sent."""
        self._frames.append(close_frame(code, reason))
        self.flush()

    @property
    def unsent_bytes(self) -> int:
        """What the operating system has not taken yet."""
        return self._transport.get_write_buffer_size()

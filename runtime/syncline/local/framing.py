"""Frames between the server and the processes that run functions: length-prefixed MessagePack.

A frame is its length as four bytes big-endian, then one message.
"""

from collections.abc import Iterator

import msgspec

_LENGTH_BYTES = 4

_encoder = msgspec.msgpack.Encoder()


def append_frame(buffer: bytearray, message: msgspec.Struct) -> None:
    """Add a message to what is to be sent."""
    start = len(buffer)
    buffer.extend(b"\x00\x00\x00\x00")
    _encoder.encode_into(message, buffer, -1)
    buffer[start : start + _LENGTH_BYTES] = (len(buffer) - start - _LENGTH_BYTES).to_bytes(
        _LENGTH_BYTES
    )


class FrameReader:
    """Cuts what arrives into frames, whatever the pieces."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """The frames completed by `data`; each must be decoded before the next is asked for."""
        if self._held:
            data = self._held + data
        view = memoryview(data)
        at, end = 0, len(data)
        while end - at >= _LENGTH_BYTES:
            start = at + _LENGTH_BYTES
            stop = start + int.from_bytes(view[at:start])
            if stop > end:
                break
            yield view[start:stop]
            at = stop
        self._held = bytes(view[at:])

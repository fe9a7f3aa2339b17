"""A Transition in pieces, for clients that know TransitionChunk (convex-protocol.md 1.9).

The pieces are cut at UTF-8 boundaries and escaped once more as JSON strings; what is measured is
the frame that leaves, escapes included. The parts of one Transition leave together, in order.
"""

from typing import Final

import orjson

_ENVELOPE: Final = (
    b'{"type":"TransitionChunk","chunk":%b,"partNumber":%d,"totalParts":%d,"transitionId":"%d"}'
)

_ENVELOPE_BYTES_MAX: Final = 128
"""The envelope without the chunk, with room for three numbers of ten digits."""

_PIECE_BYTES_MIN: Final = 16


def split_transition(frame: bytes, frame_bytes_max: int) -> tuple[bytes, ...]:
    """`frame` as TransitionChunk frames of at most `frame_bytes_max` (at least 256) bytes each."""
    room = frame_bytes_max - _ENVELOPE_BYTES_MAX
    assert room >= _ENVELOPE_BYTES_MAX, "a chunk needs room for some text"
    pieces: list[bytes] = []
    at = 0
    while at < len(frame):
        piece, at = _next_piece(frame, at, room)
        pieces.append(piece)
    total = len(pieces)
    return tuple(
        _ENVELOPE % (piece, number, total, len(frame)) for number, piece in enumerate(pieces)
    )


def _next_piece(frame: bytes, at: int, room: int) -> tuple[bytes, int]:
    """The longest convenient piece from `at` on, escaped to at most `room` bytes, and its end."""
    size = room
    while True:
        end = _character_start(frame, min(at + size, len(frame)))
        piece = orjson.dumps(frame[at:end].decode())
        if len(piece) <= room:
            return piece, end
        # Escaping grows a text evenly as a rule: aim a little below the same share of it.
        size = max((end - at) * room * 31 // (len(piece) * 32), _PIECE_BYTES_MIN)


def _character_start(frame: bytes, at: int) -> int:
    """`at`, moved back to where a character begins."""
    while at < len(frame) and frame[at] & 0xC0 == 0x80:
        at -= 1
    return at

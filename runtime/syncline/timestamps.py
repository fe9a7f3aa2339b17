"""Timestamps: nanoseconds since the epoch, unique per commit (convex-protocol 1.4)."""

import binascii
from base64 import b64decode, b64encode
from typing import NewType

from syncline.errors import CallerError

Timestamp = NewType("Timestamp", int)
"""0 to 2^63 - 1."""

TIMESTAMP_MAX = 2**63 - 1


def encode_timestamp(ts: int) -> str:
    """The wire form: 8 bytes little-endian in standard base64."""
    return b64encode(ts.to_bytes(8, "little")).decode()


def decode_timestamp(text: str) -> int:
    """A timestamp from the wire. CallerError("InvalidTimestamp") when malformed."""
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid(text) from error
    ts = int.from_bytes(data, "little")
    if len(data) != 8 or ts > TIMESTAMP_MAX:
        raise _invalid(text)
    return ts


def _invalid(text: str) -> CallerError:
    return CallerError(
        "InvalidTimestamp",
        f"{text[:40]!r} is not a timestamp: 8 little-endian bytes in base64, at most 2^63 - 1.",
    )

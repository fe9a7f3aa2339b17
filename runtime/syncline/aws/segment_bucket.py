"""Search segments in S3: the object `search/<name>` is position and content (segments/store.py).

One PUT replaces an object whole, so a reader has one segment or the other.
"""

import asyncio
import struct
from typing import TYPE_CHECKING, Final

from syncline.aws.s3_errors import refusals
from syncline.aws.settings import SEGMENT_PREFIX
from syncline.commit.record import Position
from syncline.segments.store import StoredSegment

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_HEAD: Final = struct.Struct(">QQ")
"""Timestamp and nonce of the commit that the segment stands at."""


class SegmentBucket:
    """Segments in one bucket."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    async def load(self, name: str) -> StoredSegment | None:
        """The newest one under a name; None: there is none."""
        try:
            data = await asyncio.to_thread(self._read, f"{SEGMENT_PREFIX}{name}")
        except FileNotFoundError:
            return None
        return StoredSegment(Position(*_HEAD.unpack_from(data)), data[_HEAD.size :])

    def _read(self, key: str) -> bytes:
        with refusals(key):
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    async def save(self, name: str, segment: StoredSegment) -> None:
        """Keep a segment in place of the one before."""
        head = _HEAD.pack(segment.position.ts, segment.position.nonce)
        await asyncio.to_thread(self._write, f"{SEGMENT_PREFIX}{name}", head + segment.content)

    def _write(self, key: str, data: bytes) -> None:
        with refusals(key):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data)

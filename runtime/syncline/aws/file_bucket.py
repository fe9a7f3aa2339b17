"""Files as objects in S3 (file_ports.py).

A public file is the object `api/storage/<key>`, which is its path at CloudFront; a private one is
`private/<key>`, which only presigned addresses reach. Objects carry their Content-Type and
Cache-Control, because CloudFront serves them without asking us.
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

from syncline.aws.s3_errors import refusals
from syncline.aws.settings import PRIVATE_FILE_PREFIX, PUBLIC_FILE_PREFIX
from syncline.drivers.http_storage import PUBLIC_CACHE, UNTYPED
from syncline.errors import UnavailableError
from syncline.execution.file_addresses import is_public_key
from syncline.file_ports import DirectUpload, FileMissing, WrittenFile

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART_BYTES: Final = 8 * 2**20
"""Held in memory: files up to this are one PUT, larger ones are sent in such parts."""
PIECE_BYTES: Final = 2**18
"""Of one read."""

_DELETED_AT_ONCE: Final = 1000
"""Keys of one DeleteObjects: S3's limit."""


class FileBucket:
    """Files in one bucket. The client signs by version 4, or its addresses are not taken."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    async def write(
        self, key: str, chunks: AsyncIterator[bytes], *, content_type: str | None
    ) -> WrittenFile:
        """Keep the bytes: one PUT, or several parts."""
        upload = _Upload(self._client, self._bucket, key, content_type or UNTYPED)
        try:
            async for chunk in chunks:
                if upload.add(chunk):
                    await asyncio.to_thread(upload.send)
            return await asyncio.to_thread(upload.finish)
        except BaseException:
            # What this does not reach any more expires (lifecycle rules of the data stack).
            await asyncio.to_thread(upload.abort)
            raise

    async def read(self, key: str, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """Bytes of a file, in pieces. FileMissing."""
        try:
            body = await asyncio.to_thread(self._open, key, start, length)
        except FileNotFoundError as error:
            raise FileMissing("FileMissing", f"There are no bytes of {key}.") from error
        return _pieces(body, key)

    def _open(self, key: str, start: int, length: int) -> "StreamingBody":
        asked = f"bytes={start}-{start + length - 1}"
        with refusals(key):
            return self._client.get_object(Bucket=self._bucket, Key=object_key(key), Range=asked)[
                "Body"
            ]

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget files; some may be gone already."""
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            await asyncio.to_thread(self._delete, keys[start : start + _DELETED_AT_ONCE])

    def _delete(self, keys: Sequence[str]) -> None:
        with refusals(keys[0]):
            reply = self._client.delete_objects(
                Bucket=self._bucket,
                Delete={"Objects": [{"Key": object_key(key)} for key in keys], "Quiet": True},
            )
        if failed := reply.get("Errors"):
            raise UnavailableError(
                "FilesUnavailable", f"S3 did not delete {len(failed)} files: {failed[0]}"
            )

    async def upload_address(
        self, key: str, described: WrittenFile, *, content_type: str | None, seconds: int
    ) -> DirectUpload:
        """A presigned URL that takes exactly these bytes by PUT: size and digest are signed."""
        digest = base64.b64encode(described.sha256).decode()
        kind = content_type or UNTYPED
        cache = _cache_control(key)
        url = self._client.generate_presigned_url(
            "put_object",
            Params={
                "Bucket": self._bucket,
                "Key": object_key(key),
                "ContentLength": described.size,
                "ContentType": kind,
                "CacheControl": cache,
                "ChecksumSHA256": digest,
            },
            ExpiresIn=seconds,
        )
        headers = {"Content-Type": kind, "Cache-Control": cache, "x-amz-checksum-sha256": digest}
        return DirectUpload(url, headers)

    async def inspect(self, key: str) -> WrittenFile | None:
        """What was put there by one PUT; None: nothing, or nothing whose digest S3 knows."""
        return await asyncio.to_thread(self._inspect, key)

    def _inspect(self, key: str) -> WrittenFile | None:
        try:
            with refusals(key):
                reply = self._client.head_object(
                    Bucket=self._bucket, Key=object_key(key), ChecksumMode="ENABLED"
                )
        except FileNotFoundError:
            return None
        # The stubs say that it is always there; it is for what was put with one.
        if "ChecksumSHA256" not in reply:
            return None
        return WrittenFile(reply["ContentLength"], base64.b64decode(reply["ChecksumSHA256"]))

    async def download_address(self, key: str, *, content_type: str | None, seconds: int) -> str:
        """A presigned URL that gives the file."""
        return self._client.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._bucket,
                "Key": object_key(key),
                "ResponseContentType": content_type or UNTYPED,
                "ResponseCacheControl": f"private, max-age={seconds}",
            },
            ExpiresIn=seconds,
        )


class _Upload:
    """One file on its way, at most two parts of it in memory."""

    def __init__(self, client: "S3Client", bucket: str, key: str, content_type: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._object = object_key(key)
        self._content_type = content_type
        self._digest = hashlib.sha256()
        self._size = 0
        self._pending = bytearray()
        self._upload_id: str | None = None
        self._parts: list[CompletedPartTypeDef] = []

    def add(self, chunk: bytes) -> bool:
        """Take a piece; True: `send` before the next."""
        self._pending += chunk
        self._size += len(chunk)
        self._digest.update(chunk)
        return len(self._pending) > PART_BYTES

    def send(self) -> None:
        """Send what is complete as a part."""
        with refusals(self._key):
            if self._upload_id is None:
                self._upload_id = self._client.create_multipart_upload(
                    Bucket=self._bucket,
                    Key=self._object,
                    ContentType=self._content_type,
                    CacheControl=_cache_control(self._key),
                )["UploadId"]
            self._send_part(self._upload_id)

    def _send_part(self, upload_id: str) -> None:
        number = len(self._parts) + 1
        reply = self._client.upload_part(
            Bucket=self._bucket,
            Key=self._object,
            UploadId=upload_id,
            PartNumber=number,
            Body=bytes(self._pending),
        )
        self._parts.append({"ETag": reply["ETag"], "PartNumber": number})
        self._pending.clear()

    def finish(self) -> WrittenFile:
        """Send the rest; the object is there now."""
        with refusals(self._key):
            if self._upload_id is None:
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=self._object,
                    Body=bytes(self._pending),
                    ContentType=self._content_type,
                    CacheControl=_cache_control(self._key),
                )
            else:
                if self._pending:
                    self._send_part(self._upload_id)
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=self._object,
                    UploadId=self._upload_id,
                    MultipartUpload={"Parts": self._parts},
                )
        return WrittenFile(self._size, self._digest.digest())

    def abort(self) -> None:
        """Forget the parts sent."""
        if self._upload_id is not None:
            with refusals(self._key):
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=self._object, UploadId=self._upload_id
                )


def object_key(key: str) -> str:
    """The object of a file."""
    return f"{PUBLIC_FILE_PREFIX if is_public_key(key) else PRIVATE_FILE_PREFIX}{key}"


def _cache_control(key: str) -> str:
    """Of what CloudFront serves; private files are given another with every address."""
    return PUBLIC_CACHE if is_public_key(key) else "private, no-store"


async def _pieces(body: "StreamingBody", key: str) -> AsyncGenerator[bytes, None]:
    try:
        while piece := await asyncio.to_thread(_read, body, key):
            yield piece
    finally:
        body.close()


def _read(body: "StreamingBody", key: str) -> bytes:
    with refusals(key):
        return body.read(PIECE_BYTES)

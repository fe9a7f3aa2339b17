"""Imports and exports as objects in S3 (drivers/exchange_files.py).

A part of an upload is `imports/<upload>/<number>`, its file `imports/<name>`, an export
`exports/<name>`. Whatever is read or written lies on this machine's disk meanwhile, because zips
are read and written out of order; so the disk bounds a file. Clients that have an address put parts
straight into the bucket, past the 6 MB of a Lambda's request. What is left behind by a crash
expires (lifecycle rules of the data stack).
"""

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Final

from syncline.aws.s3_errors import refusals
from syncline.aws.settings import EXPORT_PREFIX, IMPORT_PREFIX
from syncline.drivers.exchange_files import plain_name
from syncline.errors import CallerError, UnavailableError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from mypy_boto3_s3 import S3Client

FILE_BYTES_MAX: Final = 256 * 2**20
"""Of one file: half of a Lambda's disk of 512 MB, where bundles lie as well."""

ADDRESS_SECONDS: Final = 900
"""So long an address is good, unless the role's credentials end before."""

_DELETED_AT_ONCE: Final = 1000
"""Keys of one DeleteObjects: S3's limit."""
_CHUNK: Final = 2**20


class ExchangeBucket:
    """Files in one bucket. The client signs by version 4, or its addresses are not taken."""

    def __init__(
        self, client: "S3Client", bucket: str, scratch: Path, *, bytes_max: int = FILE_BYTES_MAX
    ) -> None:
        """`scratch`: a folder of this machine, made when needed; `bytes_max`: of any file."""
        self._client = client
        self._bucket = bucket
        self._scratch = scratch
        self._bytes_max = bytes_max

    def put_part(self, upload: str, number: int, data: bytes) -> None:
        """Keep one part of an upload; the same part again replaces it."""
        key = _part_key(upload, number)
        with refusals(key):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data)

    def part_address(self, upload: str, number: int) -> str:
        """A presigned URL that takes the part by PUT, for `ADDRESS_SECONDS`."""
        return self._client.generate_presigned_url(
            "put_object",
            Params={"Bucket": self._bucket, "Key": _part_key(upload, number)},
            ExpiresIn=ADDRESS_SECONDS,
        )

    def join_parts(self, upload: str, numbers: Sequence[int], name: str) -> None:
        """Make the file `name` of the parts and forget them.

        Through the disk, which bounds the file anyhow: S3 itself joins no parts below 5 MiB.

        Raises:
            FileNotFoundError: a part was never put.
            CallerError: FileTooLarge.
        """
        keys = [_part_key(upload, number) for number in numbers]
        with self.create(name) as target:
            for key in keys:
                self._download(key, target)
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            self._delete(sorted({*keys[start : start + _DELETED_AT_ONCE]}))

    def open(self, name: str) -> BinaryIO:
        """Download a file to read it. FileNotFoundError; CallerError: FileTooLarge."""
        file = self._temporary()
        try:
            self._download(_key(name), file)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    def create(self, name: str) -> BinaryIO:
        """Open for writing; closing uploads it, unless `with` is left by an exception."""
        key = _key(name)

        def send(file: BinaryIO) -> None:
            with refusals(key):
                self._client.put_object(Bucket=self._bucket, Key=key, Body=file)

        def check(size: int) -> None:
            self._check(key, size)

        return _Upload(self._temporary().detach(), check, send)

    def remove(self, name: str) -> None:
        """Forget a file; it may be gone already."""
        key = _key(name)
        with refusals(key):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def path(self, name: str) -> Path | None:
        """The file downloaded, until the next `path`; None if there is none."""
        served = self.unpack_folder("served")
        place = served / plain_name(name)
        try:
            with place.open("wb") as target:
                self._download(_key(name), target)
        except FileNotFoundError:
            place.unlink()
            return None
        return place

    def address(self, name: str) -> str:
        """A presigned URL that gives the file, for `ADDRESS_SECONDS`. FileNotFoundError."""
        key = _key(name)
        with refusals(key):
            self._client.head_object(Bucket=self._bucket, Key=key)
        return self._client.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "ResponseContentDisposition": f"attachment; filename={name}",
            },
            ExpiresIn=ADDRESS_SECONDS,
        )

    def unpack_folder(self, name: str) -> Path:
        """An empty folder of that name on this machine."""
        folder = self._scratch / plain_name(name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        return folder

    def remove_folder(self, folder: Path) -> None:
        """Remove what `unpack_folder` gave."""
        shutil.rmtree(folder, ignore_errors=True)

    def _download(self, key: str, target: BinaryIO) -> None:
        with refusals(key):
            reply = self._client.get_object(Bucket=self._bucket, Key=key)
            self._check(key, reply["ContentLength"])
            for chunk in reply["Body"].iter_chunks(_CHUNK):
                target.write(chunk)

    def _delete(self, keys: Sequence[str]) -> None:
        with refusals(keys[0]):
            reply = self._client.delete_objects(
                Bucket=self._bucket,
                Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
            )
        if failed := reply.get("Errors"):
            raise UnavailableError(
                "FilesUnavailable", f"S3 did not delete {len(failed)} parts: {failed[0]}"
            )

    def _check(self, key: str, size: int) -> None:
        if size > self._bytes_max:
            raise CallerError(
                "FileTooLarge",
                f"{key} has {size} bytes or more; {self._bytes_max} fit on a Lambda's disk. Import "
                "several smaller files, from the second on with --append.",
            )

    def _temporary(self) -> io.BufferedRandom:
        """A file without a name: it goes with whoever holds it."""
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._scratch)
        Path(name).unlink()
        return os.fdopen(handle, "w+b")


class _Upload(io.BufferedRandom):
    """A file that is sent when it is closed, bounded while it is written."""

    def __init__(
        self, raw: io.RawIOBase, check: Callable[[int], None], send: Callable[[BinaryIO], None]
    ) -> None:
        self._check = check
        self._send = send
        self._is_dropped = False
        super().__init__(raw)

    def write(self, buffer: "ReadableBuffer", /) -> int:
        self._check(self.tell() + memoryview(buffer).nbytes)
        return super().write(buffer)

    def close(self) -> None:
        if self.closed:
            return
        try:
            if not self._is_dropped:
                self.seek(0)
                self._send(self)
        finally:
            super().close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_dropped = self._is_dropped or kind is not None
        super().__exit__(kind, error, traceback)

    def __del__(self) -> None:
        # Forgotten half-way: nobody has said that it is complete.
        self._is_dropped = True
        super().__del__()


def _key(name: str) -> str:
    """Exports are the files that the exporter names so; all others come from uploads."""
    prefix = EXPORT_PREFIX if name.startswith("snapshot_") else IMPORT_PREFIX
    return prefix + plain_name(name)


def _part_key(upload: str, number: int) -> str:
    return f"{IMPORT_PREFIX}{plain_name(upload)}/{number}"

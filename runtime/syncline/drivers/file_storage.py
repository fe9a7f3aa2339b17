"""Files of a deployment: bytes in a FileStore, rows in the log, and nothing lost between the two.

A key is noted in `_files_pending` before the first byte is written, and leaves it in the commit
that makes the file. A deletion puts it back there. So whatever crashes: every key that has bytes is
a file's or is pending, and `sweep` removes the bytes of what has been pending for too long.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

from syncline.drivers.deployment import Deployment
from syncline.drivers.http_messages import HttpError
from syncline.drivers.system_calls import (
    SystemCallError,
    system_mutation,
    system_mutation_at,
    system_query,
)
from syncline.errors import UnavailableError
from syncline.execution.file_addresses import PUT_PATH, is_public_key, make_key, private_key
from syncline.file_ports import DirectUpload, FileStore, WrittenFile
from syncline.limits import FILE_BYTES_MAX, UPLOAD_URL_SECONDS
from syncline.ports import Clock, Entropy
from syncline.values.value import Value

UPLOAD_EXPIRY_SECONDS: Final = 2 * UPLOAD_URL_SECONDS
"""Seconds until an upload that says nothing any more is dead: longer than one may take."""
DIRECT_EXPIRY_SECONDS: Final = 86_400
"""Seconds until a file that is put directly has to be confirmed."""
SWEEP_SECONDS: Final = 30.0
"""Seconds between two looks at what is due; they cost nothing while nothing is pending."""
SWEEP_KEYS: Final = 100
"""Files removed by one step of a sweep."""

_REFUSALS: Final = {
    "InvalidUploadUrl": (403, "The upload URL is not one of this deployment, or is long gone."),
    "UploadUrlExpired": (403, "The upload URL has expired: they are good for an hour."),
}


@dataclass(frozen=True, slots=True)
class FileRow:
    """What is known of a file."""

    storage_id: str
    key: str
    secret: str | None
    """Signs the addresses of a private file; None: public."""
    sha256: str
    """Base64."""
    size: int
    content_type: str | None

    @classmethod
    def of(cls, found: Mapping[str, Value]) -> Self:
        """The file that a system function of files answers."""
        secret, content_type = found["secret"], found["contentType"]
        return cls(
            str(found["storageId"]),
            str(found["key"]),
            secret if isinstance(secret, str) else None,
            str(found["sha256"]),
            int(str(found["size"])),
            content_type if isinstance(content_type, str) else None,
        )


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload whose key is noted."""

    upload_id: str
    key: str
    bytes_max: int


class FileStorage:
    """The files of one deployment."""

    def __init__(
        self, deployment: Deployment, files: FileStore, *, clock: Clock, entropy: Entropy, url: str
    ) -> None:
        """`url`: the deployment's own, without a slash behind."""
        self._deployment = deployment
        self._files = files
        self._clock = clock
        self._entropy = entropy
        self.url = url
        self.written = 0
        """The newest ts that a file was committed at."""

    # Uploads

    async def receive(
        self,
        token: str,
        chunks: AsyncIterator[bytes],
        *,
        content_type: str | None,
        length: int | None,
        sha256: bytes | None,
    ) -> str:
        """Keep what is uploaded under an upload URL's token; the file's storage id.

        `length` and `sha256`: as the client says, None if it does not.

        Raises:
            HttpError: 400 DigestMismatch, 403 InvalidUploadUrl and UploadUrlExpired, 408
                UploadTimedOut, 413 FileTooLarge, 415 ContentTypeNotAllowed.
        """
        begun = await self._begin(token, content_type, {})
        if length is not None and length > begun.bytes_max:
            await self._abandon(begun)
            raise too_large(begun.bytes_max)
        return await self._keep(begun, chunks, content_type, sha256)

    async def store(
        self,
        chunks: AsyncIterator[bytes],
        *,
        content_type: str | None = None,
        sha256: bytes | None = None,
        private: bool = False,
    ) -> str:
        """Keep a file for an action; its storage id. HttpError: as `receive`."""
        key = make_key(self._entropy.bits(128))
        begun = await self._begin_store(private_key(key) if private else key)
        return await self._keep(begun, chunks, content_type, sha256)

    async def restore(
        self,
        document: dict[str, Value],
        chunks: AsyncIterator[bytes],
        *,
        sha256: bytes,
        private: bool,
    ) -> None:
        """Keep a file of a snapshot under its own `_storage` row.

        Raises:
            HttpError: as `receive`.
            SystemCallError: a file of that id is there.
        """
        key = make_key(self._entropy.bits(128))
        begun = await self._begin_store(private_key(key) if private else key)
        content_type = document.get("contentType")
        await self._write(
            begun, chunks, content_type if isinstance(content_type, str) else None, sha256
        )
        try:
            is_there = await system_mutation(
                self._deployment,
                "_system/storage:finish_import",
                {"uploadId": begun.upload_id, "document": document},
            )
        except SystemCallError:
            await self._abandon(begun)
            raise
        if not is_there:
            raise await self._given_up(begun)

    async def _begin(
        self, token: str, content_type: str | None, described: dict[str, Value]
    ) -> Begun:
        arguments: dict[str, Value] = {
            "token": token,
            "key": make_key(self._entropy.bits(128)),
            "secret": f"{self._entropy.bits(256):064x}",
            "contentType": content_type,
            "expires": self._in(UPLOAD_EXPIRY_SECONDS),
            **described,
        }
        answer = await system_mutation(self._deployment, "_system/storage:begin_upload", arguments)
        assert isinstance(answer, dict)
        match answer:
            case {"refused": "ContentTypeNotAllowed", "allowed": list(allowed)}:
                raise HttpError(
                    415,
                    "ContentTypeNotAllowed",
                    f"The Content-Type is {content_type}; allowed: {', '.join(map(str, allowed))}.",
                )
            case {"refused": "FileTooLarge", "maxBytes": int(bytes_max)}:
                raise too_large(bytes_max)
            case {"refused": str(code)}:
                status, message = _REFUSALS[code]
                raise HttpError(status, code, message)
            case {"uploadId": str(upload_id), "key": str(key), "maxBytes": bytes_max}:
                most = bytes_max if isinstance(bytes_max, int) else FILE_BYTES_MAX
                return Begun(upload_id, key, most)
            case _:
                raise AssertionError(f"begin_upload answered {answer}")

    async def _begin_store(
        self,
        key: str,
        described: dict[str, Value] | None = None,
        writable_until: float | None = None,
    ) -> Begun:
        is_private = not is_public_key(key)
        upload_id = await system_mutation(
            self._deployment,
            "_system/storage:begin_store",
            {
                "key": key,
                "secret": f"{self._entropy.bits(256):064x}" if is_private else None,
                "expires": self._in(UPLOAD_EXPIRY_SECONDS),
                "described": described,
                "writableUntil": writable_until,
            },
        )
        return Begun(str(upload_id), key, FILE_BYTES_MAX)

    async def offer(
        self, described: WrittenFile, content_type: str | None, *, private: bool
    ) -> tuple[str, DirectUpload] | None:
        """Where an action may PUT a file and then `confirm` it; None: only `store` takes it."""
        key = make_key(self._entropy.bits(128))
        key = private_key(key) if private else key
        address = await self._files.upload_address(
            key, described, content_type=content_type, seconds=UPLOAD_URL_SECONDS
        )
        if address is None:
            return None
        begun = await self._begin_store(
            key, _description(described, content_type), self._in(2 * UPLOAD_URL_SECONDS)
        )
        return begun.upload_id, address

    async def _keep(
        self,
        begun: Begun,
        chunks: AsyncIterator[bytes],
        content_type: str | None,
        sha256: bytes | None,
    ) -> str:
        written = await self._write(begun, chunks, content_type, sha256)
        return await self._finish(begun, written, content_type)

    async def _write(
        self,
        begun: Begun,
        chunks: AsyncIterator[bytes],
        content_type: str | None,
        sha256: bytes | None,
    ) -> WrittenFile:
        try:
            async with asyncio.timeout(UPLOAD_URL_SECONDS):
                written = await self._files.write(
                    begun.key, _bounded(chunks, begun.bytes_max), content_type=content_type
                )
            if sha256 is not None and written.sha256 != sha256:
                raise _other_digest(written.sha256)
        except TimeoutError as error:
            await self._abandon(begun)
            raise HttpError(
                408, "UploadTimedOut", f"An upload may take {UPLOAD_URL_SECONDS} seconds."
            ) from error
        except Exception:
            await self._abandon(begun)
            raise
        return written

    async def _finish(self, begun: Begun, written: WrittenFile, content_type: str | None) -> str:
        # If this fails, nobody knows whether there is a file now: the sweep will.
        storage_id, ts = await system_mutation_at(
            self._deployment,
            "_system/storage:finish_upload",
            {
                "uploadId": begun.upload_id,
                "sha256": base64.b64encode(written.sha256).decode(),
                "size": float(written.size),
                "contentType": content_type,
            },
        )
        if storage_id is None:
            raise await self._given_up(begun)
        self.written = max(self.written, ts)
        return str(storage_id)

    async def _given_up(self, begun: Begun) -> HttpError:
        """The sweep was faster: the upload was taken for dead."""
        await self._files.delete([begun.key])
        return HttpError(408, "UploadTimedOut", "The upload took too long and was given up.")

    async def _abandon(self, begun: Begun) -> None:
        """Forget an upload that can't become a file; if that fails, the sweep does it."""
        with suppress(UnavailableError):
            await self._files.delete([begun.key])
            await self._forget([begun.upload_id])

    async def _forget(self, ids: list[Value]) -> None:
        await system_mutation(self._deployment, "_system/storage:forget", {"ids": ids})

    # Uploads past the API

    async def describe(
        self, token: str, described: WrittenFile, content_type: str | None
    ) -> tuple[str, DirectUpload]:
        """Where a client may PUT exactly these bytes for an hour: the upload's id and the place.

        Raises:
            HttpError: as `receive`.
        """
        if described.size > FILE_BYTES_MAX:
            raise too_large(FILE_BYTES_MAX)
        begun = await self._begin(
            token,
            content_type,
            {
                "expires": self._in(DIRECT_EXPIRY_SECONDS),
                "writableUntil": self._in(2 * UPLOAD_URL_SECONDS),
                "described": _description(described, content_type),
            },
        )
        address = await self._files.upload_address(
            begun.key, described, content_type=content_type, seconds=UPLOAD_URL_SECONDS
        )
        if address is None:
            headers = {} if content_type is None else {"Content-Type": content_type}
            address = DirectUpload(f"{self.url}{PUT_PATH}?upload={begun.upload_id}", headers)
        return begun.upload_id, address

    async def put(self, upload_id: str, chunks: AsyncIterator[bytes]) -> None:
        """Take the bytes of a described file here, where there is no other place.

        Raises:
            HttpError: 400 DigestMismatch, 403 InvalidUploadUrl, 408, 413.
        """
        begun, described, content_type = await self._described(upload_id)
        written = await self._files.write(
            begun.key, _bounded(chunks, described.size), content_type=content_type
        )
        if written != described:
            await self._files.delete([begun.key])
            raise _other_digest(written.sha256)

    async def confirm(self, upload_id: str) -> str:
        """Make a file of what was put: its storage id.

        Raises:
            HttpError: 400 NothingUploaded, DigestMismatch; 403 InvalidUploadUrl; 408.
        """
        begun, described, content_type = await self._described(upload_id)
        written = await self._files.inspect(begun.key)
        if written is None:
            raise HttpError(400, "NothingUploaded", "PUT the file first, then confirm it.")
        if written != described:
            await self._abandon(begun)
            raise _other_digest(written.sha256)
        return await self._finish(begun, written, content_type)

    async def _described(self, upload_id: str) -> tuple[Begun, WrittenFile, str | None]:
        found = await system_query(
            self._deployment, "_system/storage:described_upload", {"uploadId": upload_id}
        )
        match found:
            case {"key": str(key), "sha256": str(sha256), "size": size, "contentType": given}:
                written = WrittenFile(int(str(size)), base64.b64decode(sha256))
                content_type = given if isinstance(given, str) else None
                return Begun(upload_id, key, written.size), written, content_type
            case _:
                raise HttpError(403, "InvalidUploadUrl", _REFUSALS["InvalidUploadUrl"][1])

    # Reading

    async def find(self, key: str) -> FileRow | None:
        """A public file by its key."""
        return _row(await system_query(self._deployment, "_system/storage:find", {"key": key}))

    async def get(self, storage_id: str) -> FileRow | None:
        """A file by its storage id."""
        return _row(
            await system_query(self._deployment, "_system/storage:get", {"storageId": storage_id})
        )

    async def read(self, row: FileRow, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """Bytes of a file. FileMissing: deleted meanwhile."""
        if length == 0:
            return _nothing()
        return await self._files.read(row.key, start, length)

    async def content(self, storage_id: str) -> bytes | None:
        """All of a file in memory, for an action; None: there is none."""
        row = await self.get(storage_id)
        if row is None:
            return None
        return b"".join([chunk async for chunk in await self.read(row, 0, row.size)])

    async def address(self, row: FileRow, seconds: int) -> str | None:
        """Where else the bytes can be had, for so long; None: only by `read`."""
        return await self._files.download_address(
            row.key, content_type=row.content_type, seconds=seconds
        )

    # What is left behind

    async def sweep(self) -> int:
        """Remove the bytes of deleted files and of uploads that died; how many keys."""
        removed = 0
        while await self._is_due():
            due = await system_mutation(
                self._deployment, "_system/storage:claim_due", {"limit": SWEEP_KEYS}
            )
            assert isinstance(due, list)
            rows = [row for row in due if isinstance(row, dict)]
            if rows:
                await self._files.delete([str(row["key"]) for row in rows])
                await self._forget([row["id"] for row in rows])
            removed += len(rows)
        return removed

    async def _is_due(self) -> bool:
        earliest = await system_query(self._deployment, "_system/storage:earliest_due", {})
        return isinstance(earliest, int | float) and earliest <= self._in(0)

    async def run(self, failed: Callable[[UnavailableError], None]) -> None:
        """Sweep for ever; `failed` is told of what has to wait for the next time."""
        while True:
            try:
                await self.sweep()
            except UnavailableError as error:
                failed(error)
            await asyncio.sleep(SWEEP_SECONDS)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock.now_ns() / 1e9

    def _in(self, seconds: int) -> float:
        return self._clock.now_ns() / 1e6 + seconds * 1000


def _description(described: WrittenFile, content_type: str | None) -> dict[str, Value]:
    return {
        "sha256": base64.b64encode(described.sha256).decode(),
        "size": float(described.size),
        "contentType": content_type,
    }


def too_large(bytes_max: int) -> HttpError:
    """413: a file past its limit."""
    return HttpError(413, "FileTooLarge", f"The file may have {bytes_max} bytes at most.")


def _other_digest(sha256: bytes) -> HttpError:
    return HttpError(
        400,
        "DigestMismatch",
        "What arrived is not what was announced: its SHA-256 is "
        f"{base64.b64encode(sha256).decode()}. Upload the file again.",
    )


async def _bounded(chunks: AsyncIterator[bytes], bytes_max: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > bytes_max:
            raise too_large(bytes_max)
        yield chunk


async def _nothing() -> AsyncGenerator[bytes, None]:
    for chunk in ():
        yield chunk


def _row(found: Value) -> FileRow | None:
    if found is None:
        return None
    assert isinstance(found, dict)
    return FileRow.of(found)

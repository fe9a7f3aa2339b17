"""The port of files' bytes; `ports` has all the others (and is as long as a module may be).

Adapters: a folder, a bucket, and memory for tests; one contract suite (tests/contract).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Protocol

import msgspec

from syncline.errors import CallerError


class WrittenFile(msgspec.Struct, frozen=True, gc=False):
    """What the bytes of a file were."""

    size: int
    sha256: bytes
    """32 bytes."""


class DirectUpload(msgspec.Struct, frozen=True, gc=False):
    """Where a client PUTs a file itself, and the headers that it has to send with it."""

    url: str
    headers: Mapping[str, str]


class FileMissing(CallerError):  # noqa: N818 - says what the file is
    """There are no such bytes."""


class FileStore(Protocol):
    """Bytes of files by keys of lower-case letters, digits and "-"; one contract suite.

    Keys that begin with "private-" are of files that nobody may get by their key alone.
    Calls raise UnavailableError when the store can't be reached.
    """

    async def write(
        self, key: str, chunks: AsyncIterator[bytes], *, content_type: str | None
    ) -> WrittenFile:
        """Keep the bytes, durably; they are there whole or not at all.

        Whatever `chunks` raises is passed on, and nothing is kept. Memory holds a bounded part.
        """
        ...

    async def read(self, key: str, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """Bytes from `start` on, `length` of them, which the file has, in pieces.

        Opened when this returns: a deletion afterwards takes nothing from who reads already.

        Raises:
            FileMissing: there is none.
        """
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget files; some may be gone already."""
        ...

    async def upload_address(
        self, key: str, described: WrittenFile, *, content_type: str | None, seconds: int
    ) -> DirectUpload | None:
        """Where exactly these bytes can be put, for so long; None: only `write` takes them."""
        ...

    async def inspect(self, key: str) -> WrittenFile | None:
        """What was put there directly; None: nothing."""
        ...

    async def download_address(
        self, key: str, *, content_type: str | None, seconds: int
    ) -> str | None:
        """Where a file can be had by whoever knows the address, for so long; None: by `read`."""
        ...

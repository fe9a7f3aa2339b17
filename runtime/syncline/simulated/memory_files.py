"""Files in memory (file_ports.py): for tests of functions, and for the contract's sake."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from syncline.file_ports import DirectUpload, FileMissing, WrittenFile


class MemoryFiles:
    """Bytes by key."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    async def write(
        self, key: str, chunks: AsyncIterator[bytes], *, content_type: str | None
    ) -> WrittenFile:
        """Keep the bytes."""
        del content_type
        content = b"".join([chunk async for chunk in chunks])
        self.files[key] = content
        return _written(content)

    async def read(self, key: str, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """Bytes of a file. FileMissing."""
        content = self.files.get(key)
        if content is None:
            raise FileMissing("FileMissing", f"There are no bytes of {key}.")
        return _pieces(content[start : start + length])

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget files; some may be gone already."""
        for key in keys:
            self.files.pop(key, None)

    async def upload_address(
        self, key: str, described: WrittenFile, *, content_type: str | None, seconds: int
    ) -> DirectUpload | None:
        """None: nobody else reaches this memory."""

    async def inspect(self, key: str) -> WrittenFile | None:
        """What is there under a key."""
        content = self.files.get(key)
        return None if content is None else _written(content)

    async def download_address(
        self, key: str, *, content_type: str | None, seconds: int
    ) -> str | None:
        """None: see `read`."""


def _written(content: bytes) -> WrittenFile:
    return WrittenFile(len(content), hashlib.sha256(content).digest())


async def _pieces(content: bytes) -> AsyncGenerator[bytes, None]:
    if content:
        yield content

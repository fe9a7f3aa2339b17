"""Files in the data folder (file_ports.py): `files/<two digits>/<key>`.

Bytes go to a name of their own first and get their key when all of them are on the disk. Disks
block, so they have threads of their own; a transfer holds one piece in memory at a time.
"""

import asyncio
import hashlib
import os
import re
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from syncline.file_ports import DirectUpload, FileMissing, WrittenFile

PIECE_BYTES: Final = 2**16
"""Of one read, and collected before a write."""
THREADS: Final = 8
"""For all transfers together; ours: disks gain nothing from more."""

T = TypeVar("T")

_KEY: Final = re.compile(r"[0-9a-z-]{3,80}")


class FileFolder:
    """Files below one folder, which is made with the first of them. One object a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._threads = ThreadPoolExecutor(THREADS, "files")
        self._writes = 0

    def open(self) -> None:
        """Forget what was being written when the process ended, before anything else is done."""
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._incoming.iterdir():
            leftover.unlink()

    def close(self) -> None:
        """Let go of the threads; nothing may be in flight."""
        self._threads.shutdown()

    async def write(
        self, key: str, chunks: AsyncIterator[bytes], *, content_type: str | None
    ) -> WrittenFile:
        """Keep the bytes, durably."""
        del content_type  # is in the file's row
        self._writes += 1
        partial = self._incoming / f"{self._writes}-{key}"
        writer = _Writer(partial)
        try:
            piece: list[bytes] = []
            size = 0
            async for chunk in chunks:
                piece.append(chunk)
                size += len(chunk)
                if size >= PIECE_BYTES:
                    await self._in_thread(writer.write, piece)
                    piece, size = [], 0
            return await self._in_thread(writer.finish, piece, self._place(key))
        except BaseException:
            # When it was cancelled, a thread may still be writing: `drop` waits for that.
            self._threads.submit(writer.drop)
            raise

    async def read(self, key: str, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """Bytes of a file, in pieces. FileMissing."""
        try:
            file = await self._in_thread(_open_at, self._place(key), start)
        except FileNotFoundError as error:
            raise FileMissing("FileMissing", f"There are no bytes of {key}.") from error
        return self._pieces(file, length)

    async def _pieces(self, file: BinaryIO, length: int) -> AsyncGenerator[bytes, None]:
        with file:
            left = length
            while left > 0:
                piece = await self._in_thread(file.read, min(left, PIECE_BYTES))
                if not piece:
                    raise FileMissing("FileMissing", f"{left} bytes are missing at the end.")
                left -= len(piece)
                yield piece

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget files; some may be gone already."""
        await self._in_thread(_unlink, [self._place(key) for key in keys])

    async def upload_address(
        self, key: str, described: WrittenFile, *, content_type: str | None, seconds: int
    ) -> DirectUpload | None:
        """None: this folder has no address of its own."""

    async def inspect(self, key: str) -> WrittenFile | None:
        """What is there under a key."""
        return await self._in_thread(_inspect, self._place(key))

    async def download_address(
        self, key: str, *, content_type: str | None, seconds: int
    ) -> str | None:
        """None: see `read`."""

    def _place(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not the key of a file")
        return self._folder / key[-2:] / key

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, work, *arguments)


class _Writer:
    """One file being written."""

    def __init__(self, partial: Path) -> None:
        self._turn = threading.Lock()
        self._is_dropped = False
        self._partial = partial
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, pieces: Sequence[bytes]) -> None:
        with self._turn:
            if not self._is_dropped:
                self._write(pieces)

    def _write(self, pieces: Sequence[bytes]) -> None:
        if self._file is None:
            self._partial.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = self._partial.open("wb", buffering=0)
        for piece in pieces:
            self._digest.update(piece)
            self._size += len(piece)
            view = memoryview(piece)
            while view:
                # A raw file may take less than it is given.
                view = view[self._file.write(view) :]

    def finish(self, pieces: Sequence[bytes], place: Path) -> WrittenFile:
        """Write the last pieces, wait for the disk, and give the file its name."""
        with self._turn:
            self._write(pieces)
            assert self._file is not None, "written above"
            os.fsync(self._file.fileno())
            self._file.close()
            if not place.parent.is_dir():
                place.parent.mkdir(mode=0o700, exist_ok=True)
                _sync_folder(place.parent.parent)
            self._partial.replace(place)
            _sync_folder(place.parent)
            return WrittenFile(self._size, self._digest.digest())

    def drop(self) -> None:
        """Forget what did not get its name."""
        with self._turn:
            self._is_dropped = True
            if self._file is not None:
                self._file.close()
                self._partial.unlink(missing_ok=True)


def _open_at(place: Path, start: int) -> BinaryIO:
    file = place.open("rb", buffering=0)
    file.seek(start)
    return file


def _unlink(places: Sequence[Path]) -> None:
    for place in places:
        place.unlink(missing_ok=True)


def _inspect(place: Path) -> WrittenFile | None:
    try:
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return WrittenFile(file.tell(), digest.digest())
    except FileNotFoundError:
        return None


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where folders can be opened."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

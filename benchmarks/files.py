"""Files to and from `syncline dev`, all at once: `python -m benchmarks.files [--all]`.

A thousand files of 2 GB in all, five of them of 100 MB, go up together and come down together, each
compared by its SHA-256; meanwhile the server's memory is watched. Without `--all` a tenth of it.
"""

import asyncio
import hashlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import psutil

from benchmarks.dev_process import DevProcess

MEBIBYTE = 2**20
SAMPLE_SECONDS = 0.05
_BLOCK = 2**16


@dataclass(frozen=True)
class FilePlan:
    """`files` of mixed sizes from 0 up that have `bytes_all` together, and some `large` ones."""

    files: int
    bytes_all: int
    large: int
    large_bytes: int
    seed: int
    at_once: int = 10_000
    """Transfers beside each other."""

    def sizes(self) -> list[int]:
        """Every file's size; the first ten have 0 to 9 bytes, the large ones come last."""
        random = Random(self.seed)
        weights = [random.paretovariate(1.1) for _ in range(self.files - 10)]
        rest = self.bytes_all - sum(range(10))
        sizes = [int(rest * weight / sum(weights)) for weight in weights]
        sizes[0] += rest - sum(sizes)
        return [*range(10), *sizes, *[self.large_bytes] * self.large]


@dataclass
class Moved:
    """What came of it."""

    files: int = 0
    bytes_moved: int = 0
    wrong: list[str] = field(default_factory=list[str])
    memory_growth: int = 0
    """Bytes by which the server's main process grew at most."""
    upload_seconds: float = 0.0
    download_seconds: float = 0.0


class _Content:
    """A file's bytes, made again whenever they are wanted: no two blocks are alike."""

    def __init__(self, seed: int, number: int, size: int) -> None:
        self.size = size
        self._block = Random(seed * 1_000_003 + number).randbytes(_BLOCK)

    def blocks(self) -> Iterator[bytes]:
        """The bytes in order."""
        for start in range(0, self.size, _BLOCK):
            block = start.to_bytes(8, "big") + self._block[8:]
            yield block[: self.size - start]

    async def stream(self) -> AsyncIterator[bytes]:
        """The bytes in order, for an upload."""
        for block in self.blocks():
            yield block

    def sha256(self) -> bytes:
        """Their digest."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.digest()


async def move_files(url: str, pid: int, plan: FilePlan) -> Moved:
    """Upload all files, `at_once` of them at the same time, then download them so."""
    contents = [_Content(plan.seed, at, size) for at, size in enumerate(plan.sizes())]
    moved = Moved()
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
        watch = asyncio.create_task(_watch(pid, moved))
        upload_url = await _call(client, url, "mutation", "files:upload_url", {})
        began = time.perf_counter()
        room = asyncio.Semaphore(plan.at_once)
        ids = await asyncio.gather(*(_upload(client, upload_url, each, room) for each in contents))
        moved.upload_seconds = time.perf_counter() - began
        urls = await _call(client, url, "query", "files:urls", {"ids": ids})
        began = time.perf_counter()
        digests = await asyncio.gather(*(_download(client, each, room) for each in urls))
        moved.download_seconds = time.perf_counter() - began
        watch.cancel()
    for storage_id, content, (digest, size) in zip(ids, contents, digests, strict=True):
        moved.files += 1
        moved.bytes_moved += content.size + size
        if digest != content.sha256():
            moved.wrong.append(f"{storage_id}: {size} bytes instead of {content.size}, or others")
    return moved


async def _call(
    client: aiohttp.ClientSession, url: str, kind: str, path: str, arguments: dict[str, object]
) -> Any:
    body = {"path": path, "args": arguments, "format": "json"}
    async with client.post(f"{url}/api/{kind}", json=body) as answer:
        said = await answer.json()
        if said["status"] != "success":
            raise RuntimeError(f"{path}: {said}")
        return said["value"]


async def _upload(
    client: aiohttp.ClientSession, url: str, content: _Content, room: asyncio.Semaphore
) -> str:
    headers = {"Content-Type": "application/x-file", "Content-Length": str(content.size)}
    async with room, client.post(url, data=content.stream(), headers=headers) as answer:
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {await answer.text()}")
        return (await answer.json())["storageId"]


async def _download(
    client: aiohttp.ClientSession, url: str, room: asyncio.Semaphore
) -> tuple[bytes, int]:
    digest, size = hashlib.sha256(), 0
    async with room, client.get(url) as answer:
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {await answer.text()}")
        async for block in answer.content.iter_any():
            digest.update(block)
            size += len(block)
    return digest.digest(), size


async def _watch(pid: int, moved: Moved) -> None:
    process = psutil.Process(pid)
    first = process.memory_info().rss
    while True:
        moved.memory_growth = max(moved.memory_growth, process.memory_info().rss - first)
        await asyncio.sleep(SAMPLE_SECONDS)


def main() -> None:
    """Move them and say how fast."""
    is_all = "--all" in sys.argv[1:]
    plan = FilePlan(
        files=1000,
        bytes_all=(1500 if is_all else 150) * MEBIBYTE,
        large=5,
        large_bytes=(100 if is_all else 10) * MEBIBYTE,
        seed=1,
    )
    with tempfile.TemporaryDirectory() as folder:
        server = DevProcess(Path(folder))
        server.start()
        try:
            moved = asyncio.run(move_files(server.url, server.tree()[0].pid, plan))
        finally:
            server.stop()
    one_way = moved.bytes_moved / 2 / MEBIBYTE
    print(f"{moved.files} files of {one_way:.0f} MB in all, {len(moved.wrong)} wrong")
    print(f"up   {moved.upload_seconds:6.1f} s, {one_way / moved.upload_seconds:6.0f} MB/s")
    print(f"down {moved.download_seconds:6.1f} s, {one_way / moved.download_seconds:6.0f} MB/s")
    print(f"the server grew by {moved.memory_growth / MEBIBYTE:.0f} MB at most")
    sys.exit(1 if moved.wrong else 0)


if __name__ == "__main__":
    main()

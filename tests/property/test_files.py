"""Every byte belongs to a file or is known to belong to none, whatever breaks in between.

Uploads, direct uploads, deletions and sweeps run while the store fails and clients leave at
any moment. After each step every key that has bytes is in a row, and every file has its bytes; when
everything has come to its end, nothing is left but the files.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.drivers.http_messages import HttpError
from syncline.errors import UnavailableError
from syncline.file_ports import WrittenFile
from syncline.simulated.memory_files import MemoryFiles
from tests.unit.drivers.files_world import FilesWorld, digest_of, json_of

STEPS = ("upload", "upload", "direct", "delete", "sweep", "wait")


class BreakingFiles(MemoryFiles):
    """Fails before or after having done what it was asked, now and then."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self.breaks = True

    def _fail(self) -> None:
        if self.breaks and self._random.random() < 0.2:
            raise UnavailableError("FilesUnavailable", "the store is away")

    async def write(
        self, key: str, chunks: AsyncIterator[bytes], *, content_type: str | None
    ) -> WrittenFile:
        self._fail()
        written = await super().write(key, chunks, content_type=content_type)
        self._fail()
        return written

    async def delete(self, keys: Sequence[str]) -> None:
        self._fail()
        await super().delete(keys)
        self._fail()


class Story:
    def __init__(self, world: FilesWorld, files: BreakingFiles, random: Random) -> None:
        self.world, self.files, self.random = world, files, random
        self.expected: dict[str, bytes] = {}

    async def step(self) -> None:
        step = self.random.choice(STEPS)
        try:
            if step == "wait":
                await self.world.app.advance(seconds=self.random.choice((1, 3700, 90_000)))
            elif step == "sweep":
                await self.world.storage.sweep()
            elif step == "delete" and self.expected:
                storage_id = self.random.choice(sorted(self.expected))
                await self.world.app.mutation("files:remove", id=storage_id)
                del self.expected[storage_id]
            elif step == "direct":
                await self._upload_directly()
            elif step == "upload":
                await self._upload()
        except (UnavailableError, HttpError, asyncio.CancelledError):
            pass
        await self.check()

    async def _upload(self) -> None:
        content = self.random.randbytes(self.random.randrange(50))
        url = await self.world.upload_url(private=self.random.random() < 0.3)
        announced = content if self.random.random() < 0.8 else b"other"
        headers = {"Digest": f"sha-256={digest_of(announced)}"}
        answer = await self.world.request("POST", url, self._arriving(content), headers)
        self.expected[json_of(answer)["storageId"]] = content

    async def _arriving(self, content: bytes) -> AsyncIterator[bytes]:
        yield content[:20]
        match self.random.randrange(8):
            case 0:
                raise HttpError(408, "ClientGone", "The body ended early.")
            case 1:
                raise asyncio.CancelledError
            case _:
                yield content[20:]

    async def _upload_directly(self) -> None:
        content = self.random.randbytes(self.random.randrange(50))
        body = b'{"size": %d, "sha256": "%s"}' % (len(content), digest_of(content).encode())
        url = await self.world.upload_url(direct=True)
        place = json_of(await self.world.request("POST", url, body))
        if self.random.random() < 0.8:
            await self.world.request("PUT", place["url"], self._arriving(content))
        if self.random.random() < 0.8:
            answer = await self.world.request("POST", place["confirmUrl"])
            self.expected[json_of(answer)["storageId"]] = content

    async def check(self) -> None:
        stored = {row["storageId"]: row["key"] for row in await self.world.stored()}
        pending = {row["key"] for row in await self.world.pending() if row["kind"] != "url"}
        assert set(stored) == set(self.expected)
        assert set(self.files.files) <= {*stored.values(), *pending}
        assert not pending & set(stored.values())
        for storage_id, key in stored.items():
            assert self.files.files[key] == self.expected[storage_id]
            row = await self.world.app.query("files:row", id=storage_id)
            assert isinstance(row, dict)
            assert row["sha256"] == digest_of(self.expected[storage_id])

    async def end(self) -> None:
        self.files.breaks = False
        await self.world.app.advance(seconds=90_000)
        await self.world.storage.sweep()
        await self.check()
        assert len(self.files.files) == len(self.expected)
        assert await self.world.pending() == []


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_byte_is_lost_or_forgotten(seed: int):
    async def scenario() -> None:
        random = Random(seed)
        files = BreakingFiles(random)
        with tempfile.TemporaryDirectory() as folder:
            async with FilesWorld(Path(folder), files) as world:
                story = Story(world, files, random)
                for _ in range(25):
                    await story.step()
                await story.end()

    asyncio.run(scenario())

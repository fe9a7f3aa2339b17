"""`ctx.storage` of actions, through the whole engine in memory."""

import asyncio
import hashlib
from pathlib import Path
from random import Random

import pytest

from syncline.errors import CallFailedError
from syncline.file_ports import DirectUpload, WrittenFile
from syncline.simulated.memory_files import MemoryFiles
from syncline.testing import Deployment
from tests.unit.drivers.files_world import FUNCTIONS, FilesWorld

ACTIONS = """
from syncline import ActionCtx, action
from . import files

@action
async def store(ctx: ActionCtx, data: bytes, private: bool = False):
    return await ctx.storage.store(data, content_type="text/x", private=private)

@action
async def copy(ctx: ActionCtx, id: str):
    data = await ctx.storage.get(id)
    new = None if data is None else await ctx.storage.store(data)
    return None if new is None else [new, await ctx.run_query(files.metadata, id=new)]

@action
async def repeated(ctx: ActionCtx, data: bytes, times: int):
    new = await ctx.storage.store(data * times)
    return [new, (await ctx.storage.get(new)) == data * times]

@action
async def others(ctx: ActionCtx, id: str):
    url = await ctx.storage.get_url(id)
    known = await ctx.storage.get_metadata(id)
    upload = await ctx.storage.generate_upload_url(max_bytes=3, content_types=["a/b"])
    await ctx.storage.delete(id)
    return [url, known, upload, await ctx.storage.get_url(id), await ctx.storage.get(id)]

@action
async def wrong(ctx: ActionCtx):
    await ctx.storage.store("text")

@action
async def missing(ctx: ActionCtx):
    await ctx.storage.delete("nothing")
"""


def run(tmp_path: Path, scenario, files: MemoryFiles | None = None) -> None:
    async def whole() -> None:
        world = FilesWorld(tmp_path, files)
        (tmp_path / "functions" / "acting.py").write_text(ACTIONS)
        async with world as w:
            w.app.engine.serve_files(w.storage)
            await scenario(w)

    asyncio.run(whole())


@pytest.mark.parametrize("private", [False, True])
def test_what_an_action_stores_is_a_file_like_any_other(tmp_path: Path, private: bool):
    async def scenario(w: FilesWorld) -> None:
        storage_id = await w.app.action("acting:store", data=b"hello", private=private)
        answer, content = await w.get(await w.url(str(storage_id)))
        assert (content, answer.content_type) == (b"hello", "text/x")
        assert ("/api/files/" in await w.url(str(storage_id))) == private

    run(tmp_path, scenario)


def test_an_action_gets_whole_files_and_sees_at_once_what_it_stored(tmp_path: Path):
    async def scenario(w: FilesWorld) -> None:
        first = await w.upload(b"to copy")
        copied = await w.app.action("acting:copy", id=first)
        assert isinstance(copied, list)
        assert await w.storage.content(str(copied[0])) == b"to copy"
        assert copied[1]["sha256"] == hashlib.sha256(b"to copy").hexdigest()
        assert await w.app.action("acting:copy", id="gg00") is None

    run(tmp_path, scenario)


@pytest.mark.parametrize("times", [0, 1, 3 * 2**20, 3 * 2**20 + 1, 7 * 2**20])
def test_files_of_every_size_go_to_and_fro(tmp_path: Path, times: int):
    async def scenario(w: FilesWorld) -> None:
        _, same = await w.app.action("acting:repeated", data=b"x", times=times)
        assert same

    run(tmp_path, scenario)


def test_actions_do_what_queries_and_mutations_do(tmp_path: Path):
    async def scenario(w: FilesWorld) -> None:
        storage_id = await w.upload(b"hello")
        url, known, upload, after, content = await w.app.action("acting:others", id=storage_id)
        assert "/api/storage/" in url
        assert (known["storageId"], known["size"]) == (storage_id, 5)
        assert "/api/storage/upload?token=" in upload
        assert (after, content) == (None, None)

    run(tmp_path, scenario)


def test_mistakes_are_explained(tmp_path: Path):
    async def scenario(w: FilesWorld) -> None:
        with pytest.raises(CallFailedError, match="takes bytes, not str"):
            await w.app.action("acting:wrong")
        with pytest.raises(CallFailedError, match="is not the id of a file"):
            await w.app.action("acting:missing")

    run(tmp_path, scenario)


class AddressedFiles(MemoryFiles):
    """Takes files at an address, as S3 does."""

    async def upload_address(
        self, key: str, described: WrittenFile, *, content_type: str | None, seconds: int
    ) -> DirectUpload | None:
        return DirectUpload(f"http://bucket.test/{key}", {"Content-Type": content_type or "x"})


def test_large_files_go_straight_to_where_they_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = AddressedFiles()
    content = Random(3).randbytes(50)

    def put(address: DirectUpload, data: bytes) -> None:
        files.files[address.url.rpartition("/")[2]] = data

    monkeypatch.setattr("syncline.drivers.action_tasks.put_file", put)

    async def scenario(w: FilesWorld) -> None:
        times = 3 * 2**20 // 50 + 1
        storage_id, same = await w.app.action("acting:repeated", data=content, times=times)
        assert same
        assert (await w.storage.content(storage_id)) == content * times
        assert await w.pending() == []

    run(tmp_path, scenario, files)


def test_testing_deployments_have_files(tmp_path: Path):
    (tmp_path / "files.py").write_text(FUNCTIONS.read_text())
    (tmp_path / "acting.py").write_text(ACTIONS)

    async def scenario() -> None:
        async with Deployment(tmp_path) as app:
            storage_id = str(await app.action("acting:store", data=b"hello"))
            assert await app.storage.content(storage_id) == b"hello"

    asyncio.run(scenario())

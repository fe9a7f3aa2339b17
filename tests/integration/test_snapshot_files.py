"""Snapshots with files over the real engine in memory: bytes, ids and visibility survive."""

import base64
import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from syncline.drivers import file_exports, file_imports
from syncline.drivers.importer import ImportRequest
from syncline.drivers.system_calls import system_query
from syncline.execution.file_addresses import is_private
from syncline.schema.catalog import STORAGE
from syncline.values.document_id import encode_id
from tests.integration.test_import_export import Exchange, in_deployment

FILES = {
    b"\x89PNG" + bytes(3000): ("image/png", False),
    b"": (None, False),
    b"for few": ("text/plain; charset=utf-8", True),
}


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 1000):
        yield content[start : start + 1000]


async def stored(exchange: Exchange, content: bytes) -> str:
    kind, private = FILES[content]
    return await exchange.app.storage.store(chunks(content), content_type=kind, private=private)


async def files(exchange: Exchange) -> dict[str, tuple[bytes | None, str | None, bool]]:
    """Bytes, content type and visibility of every file, by its storage id."""
    found = {}
    for each in await file_exports.files_at(exchange.app.engine, exchange.app.engine.latest_ts()):
        row = each.row
        content = await exchange.app.storage.content(row.storage_id)
        found[row.storage_id] = (content, row.content_type, is_private(row.key))
        assert is_private(row.key) == (row.secret is not None)
    return found


async def pending(exchange: Exchange) -> int:
    due = await system_query(exchange.app.engine, "_system/storage:earliest_due", {})
    return 0 if due is None else 1


def zipped(**entries: bytes | dict[str, Any]) -> bytes:
    """`lines`: the line about files; others: names without "_storage/"."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as writer:
        for name, content in entries.items():
            data = content if isinstance(content, bytes) else orjson.dumps(content)
            path = "documents.jsonl" if name == "lines" else name
            writer.writestr(f"_storage/{path}", data)
    return buffer.getvalue()


ID = encode_id(STORAGE.number, bytes(16))
ROW = {
    "_id": ID,
    "_creationTime": 5,
    "sha256": base64.b64encode(hashlib.sha256(b"hello").digest()).decode(),
    "size": 5,
}


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_exports, "PAGE_FILES", 2)
    monkeypatch.setattr(file_imports, "CLEAR_FILES", 2)
    monkeypatch.setattr(file_imports, "PROGRESS_FILES", 2)


@pytest.mark.usefixtures("small_pages")
def test_files_go_out_and_into_another_deployment_with_their_ids(tmp_path: Path):
    snapshots: list[bytes] = []
    before: dict[str, Any] = {}

    async def out(exchange: Exchange) -> None:
        for content in FILES:
            await stored(exchange, content)
        before.update(await files(exchange))
        snapshots.append(await exchange.export(with_files=True))
        snapshots.append(await exchange.export())

    async def back(exchange: Exchange) -> None:
        state = await exchange.import_(snapshots[0], None, form="zip")
        assert (state["state"], state["num_rows_written"].value) == ("completed", 3)
        assert await files(exchange) == before
        assert await pending(exchange) == 0

    in_deployment(tmp_path / "a", out)
    assert len(before) == 3
    with zipfile.ZipFile(io.BytesIO(snapshots[0])) as archive:
        names = {name for name in archive.namelist() if name.startswith("_storage/")}
        types = {row[1]: storage_id for storage_id, row in before.items()}
        assert names == {
            "_storage/documents.jsonl",
            f"_storage/{types['image/png']}.png",
            f"_storage/{types[None]}",
            f"_storage/{types['text/plain; charset=utf-8']}.txt",
        }
    in_deployment(tmp_path / "b", back)
    with zipfile.ZipFile(io.BytesIO(snapshots[1])) as archive:
        assert not [name for name in archive.namelist() if name.startswith("_storage/")]


@pytest.mark.usefixtures("small_pages")
def test_modes_decide_what_happens_to_files_that_are_there(tmp_path: Path):
    async def test(exchange: Exchange) -> None:
        for content in FILES:
            await stored(exchange, content)
        snapshot = await exchange.export(with_files=True)
        before = await files(exchange)
        other = await exchange.app.storage.store(chunks(b"another"))

        refused = await exchange.import_(snapshot, None, form="zip")
        assert "There are documents in `_storage` already" in refused["error_message"]
        refused = await exchange.import_(snapshot, None, "append", form="zip")
        assert "is there already" in refused["error_message"]
        assert "0 of 3 files had been written before" in refused["error_message"]
        assert (await files(exchange)).keys() == {*before, other}

        state = await exchange.import_(snapshot, None, "replace", form="zip")
        assert state["state"] == "completed", state
        assert await files(exchange) == before
        # Until their bytes are gone, too; nothing of the snapshot goes with them.
        assert await exchange.app.storage.sweep() == 4
        assert await files(exchange) == before

        without = await exchange.export()
        state = await exchange.import_(without, None, "replaceAll", form="zip")
        assert state["state"] == "completed", state
        assert await files(exchange) == before, "it is not about files"

    in_deployment(tmp_path, test)


def test_a_replacement_asks_with_the_number_of_files(tmp_path: Path):
    async def test(exchange: Exchange) -> None:
        await stored(exchange, b"")
        snapshot = await exchange.export(with_files=True)
        with exchange.files.create("f") as file:
            file.write(snapshot)
        import_id = await exchange.importer.start(ImportRequest("zip", "replace", None, "f"))
        state = await exchange._settled(import_id)
        assert "_storage: 1 documents created; all documents" in state["message_to_confirm"]

    in_deployment(tmp_path, test)


def test_a_file_that_is_deleted_during_an_export_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def test(exchange: Exchange) -> None:
        gone, kept = [await stored(exchange, content) for content in list(FILES)[:2]]
        deletes = exchange.app.storage.read

        async def read(row: Any, start: int, length: int) -> Any:
            if row.storage_id == gone:
                await exchange.app.storage._files.delete([row.key])
            return await deletes(row, start, length)

        monkeypatch.setattr(exchange.app.storage, "read", read)
        content = await exchange.export(with_files=True)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            (line,) = archive.read("_storage/documents.jsonl").splitlines()
            assert orjson.loads(line)["_id"] == kept
            assert not [name for name in archive.namelist() if gone in name]

    in_deployment(tmp_path, test)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"lines": ROW}, f"line 1: the zip lacks the bytes of the file {ID}"),
        ({"lines": ROW, ID: b"hellO"}, "line 1: the bytes of the file are not those of its"),
        ({"lines": ROW, f"{ID}.png": b"hell"}, "line 1: the bytes of the file are not those"),
        ({"lines": b"", f"{ID}.png": b"hello"}, f"{ID}.png: no line of _storage/documents.jsonl"),
        ({ID: b"hello"}, "The zip holds no snapshot"),
        ({"lines": b"{", ID: b"hello"}, "line 1: Not valid JSON"),
        ({"lines": b"[]", ID: b"hello"}, "line 1: not a JSON object"),
        ({"lines": {**ROW, "_id": "x"}, "x": b"hello"}, "line 1: `_id` 'x' is not the id of"),
        (
            {"lines": {**ROW, "_id": encode_id(10001, bytes(16))}},
            "line 1: the `_id` belongs to table number 10001, but files have number 516",
        ),
        ({"lines": {**ROW, "_creationTime": None}}, "`_creationTime` must be a number"),
        ({"lines": {**ROW, "size": 1.5}}, "`size` must be a whole number of bytes"),
        ({"lines": {**ROW, "size": "5"}}, "`size` must be a number"),
        ({"lines": {**ROW, "sha256": "????"}}, "`sha256` must be the SHA-256"),
        ({"lines": {**ROW, "contentType": 5}}, "`contentType` must be a text"),
        (
            {"lines": orjson.dumps(ROW) + b"\n" + orjson.dumps(ROW), ID: b"hello"},
            f"line 2: the file {ID} is there twice",
        ),
    ],
)
def test_bad_files_are_refused_before_anything_changes(
    tmp_path: Path, entries: dict[str, Any], message: str
):
    async def test(exchange: Exchange) -> None:
        kept = await stored(exchange, b"")
        state = await exchange.import_(zipped(**entries), None, "replace", form="zip")
        assert state["state"] == "failed"
        assert message in state["error_message"]
        assert list(await files(exchange)) == [kept]

    in_deployment(tmp_path, test)


def test_files_of_another_server_come_in_too(tmp_path: Path):
    async def test(exchange: Exchange) -> None:
        size = {"$integer": base64.b64encode((5).to_bytes(8, "little")).decode()}
        row = {**ROW, "size": size, "contentType": "text/plain", "internalId": "unknown here"}
        snapshot = zipped(lines=row, **{f"{ID}.txt": b"hello"})
        state = await exchange.import_(snapshot, None, form="zip")
        assert state["state"] == "completed", state
        assert await files(exchange) == {ID: (b"hello", "text/plain", False)}

    in_deployment(tmp_path, test)

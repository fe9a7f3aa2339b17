"""Imports and exports over the real engine in memory: what arrives, what stays, what is refused."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from syncline.drivers import exporter as exporting
from syncline.drivers import importer as importing
from syncline.drivers.answers import Answer
from syncline.drivers.exporter import Exporter
from syncline.drivers.importer import Importer, ImportRequest
from syncline.drivers.system_calls import SystemCallError, system_mutation, system_query
from syncline.exchange import batches as batching
from syncline.local.exchange_folder import ExchangeFolder
from syncline.system_functions import exports as export_functions
from syncline.testing import Deployment
from syncline.values.document_id import decode_id, encode_id
from syncline.values.value import Int64

SCHEMA = """
from syncline import define_schema, define_table, v

schema = define_schema({
    "channels": define_table({"name": v.string()}).index("by_name", ["name"]),
    "messages": define_table({"channel": v.id("channels"), "body": v.string()}),
})
"""
FUNCTIONS = """
from syncline import mutation, query

@query
async def by_name(ctx, name: str):
    found = ctx.db.query("channels").with_index("by_name", lambda q: q.eq("name", name))
    return await found.first()

@query
async def rows(ctx, table: str):
    return await ctx.db.query(table).collect()

@mutation
async def add(ctx, table: str, document: dict):
    return await ctx.db.insert(table, document)
"""
CHANNEL_ID = encode_id(10077, bytes(16))
SECOND_ID = encode_id(10077, bytes([1]) * 16)


class Exchange:
    """A deployment with its importer and exporter."""

    def __init__(self, app: Deployment, folder: Path) -> None:
        self.app = app
        self.files = ExchangeFolder(folder)
        self.importer = Importer(app.engine, self.files, app.storage)
        self.exporter = Exporter(app.engine, self.files, app.storage)

    async def import_(
        self, content: bytes, table: str | None, mode: str = "requireEmpty", form: str = "jsonLines"
    ) -> dict[str, Any]:
        """Import and confirm; the final state."""
        name = "import-test"
        with self.files.create(name) as file:
            file.write(content)
        import_id = await self.importer.start(ImportRequest(form, mode, table, name))
        state = await self._settled(import_id)
        if state["state"] == "waiting_for_confirmation":
            await self.importer.perform(import_id)
            state = await self._settled(import_id)
        return state

    async def _settled(self, import_id: str) -> dict[str, Any]:
        while self.importer._tasks:
            await next(iter(self.importer._tasks))
        row = await self.app.query("_system/cli/queryImport:default", importId=import_id)
        assert isinstance(row, dict)
        state = row["state"]
        assert isinstance(state, dict)
        return state

    async def export(self, *, with_files: bool = False) -> bytes:
        """Export; the zip."""
        await self.exporter.request(with_files=with_files)
        while self.exporter._tasks:
            await next(iter(self.exporter._tasks))
        row = await self.app.query("_system/cli/exports:getLatest")
        assert isinstance(row, dict)
        assert row["state"] == "completed", row
        assert isinstance(row["start_ts"], Int64)
        path = self.files.path(f"snapshot_{row['start_ts'].value}.zip")
        assert path is not None
        return path.read_bytes()

    async def rows(self, table: str) -> list[dict[str, Any]]:
        found = await self.app.query("t:rows", table=table)
        assert isinstance(found, list)
        return found  # type: ignore[return-value] # documents

    async def numbers(self) -> dict[str, int]:
        tables = await system_query(self.app.engine, "_system/exports:tables", {})
        assert isinstance(tables, list)
        return {row["name"]: row["number"] for row in tables}  # type: ignore[index] # rows


@asynccontextmanager
async def deployment(folder: Path, *, schema: bool = True) -> AsyncIterator[Exchange]:
    functions = folder / "functions"
    functions.mkdir(parents=True, exist_ok=True)
    (functions / "t.py").write_text(FUNCTIONS)
    if schema:
        (functions / "schema.py").write_text(SCHEMA)
    async with Deployment(functions) as app:
        yield Exchange(app, folder / "exchange")


def in_deployment(
    folder: Path, test: Callable[[Exchange], Awaitable[None]], *, schema: bool = True
) -> None:
    async def work() -> None:
        async with deployment(folder, schema=schema) as exchange:
            await test(exchange)

    asyncio.run(work())


def lines(*documents: dict[str, Any]) -> bytes:
    return b"".join(orjson.dumps(each) + b"\n" for each in documents)


def test_documents_are_imported_and_counted(tmp_path: Path):
    async def test(exchange: Exchange) -> None:
        state = await exchange.import_(lines({"name": "a"}, {"name": "b"}), "channels")
        assert state == {"state": "completed", "num_rows_written": Int64(2)}
        assert [row["name"] for row in await exchange.rows("channels")] == ["a", "b"]
        assert exchange.files.path("import-test") is None

    in_deployment(tmp_path, test)


def test_a_table_that_is_not_in_the_schema_is_made(tmp_path: Path):
    async def test(exchange: Exchange) -> None:
        state = await exchange.import_(b"x,y\n1,a\n", "extras", form="csv")
        assert state["state"] == "completed"
        (row,) = await exchange.rows("extras")
        assert (row["x"], row["y"]) == (1, "a")

    in_deployment(tmp_path, test)


def test_ids_and_creation_times_are_kept_and_give_the_empty_table_their_number(tmp_path: Path):
    async def test(exchange: Exchange) -> None:
        before = (await exchange.numbers())["channels"]
        document = {"_id": CHANNEL_ID, "_creationTime": 1234.5, "name": "a"}
        later = {"_id": SECOND_ID, "name": "b"}
        created_only = {"_creationTime": 77, "name": "c"}
        state = await exchange.import_(lines(document, later, created_only), "channels")
        assert state["state"] == "completed", state
        assert before != 10077
        assert (await exchange.numbers())["channels"] == 10077
        rows = {row["name"]: row for row in await exchange.rows("channels")}
        assert rows["a"] == document
        assert rows["b"]["_id"] == SECOND_ID
        assert rows["c"]["_creationTime"] == 77
        assert decode_id(rows["c"]["_id"])[0] == 10077  # type: ignore[index] # a valid id
        assert await exchange.app.query("t:by_name", name="a") == document

    in_deployment(tmp_path, test)


def test_ids_of_another_table_are_refused_while_documents_are_there(tmp_path: Path):
    async def test(exchange: Exchange) -> None:
        await exchange.app.mutation("t:add", table="channels", document={"name": "old"})
        document = lines({"_id": CHANNEL_ID, "name": "a"})
        state = await exchange.import_(document, "channels", "append")
        assert state["state"] == "failed"
        assert "belong to table number 10077" in state["error_message"]
        state = await exchange.import_(document, "channels", "replace")
        assert state["state"] == "completed"
        assert [row["name"] for row in await exchange.rows("channels")] == ["a"]

    in_deployment(tmp_path, test)


def test_an_id_that_is_there_already_is_refused_with_its_line(tmp_path: Path):
    async def test(exchange: Exchange) -> None:
        await exchange.import_(lines({"_id": CHANNEL_ID, "name": "a"}), "channels")
        again = lines({"name": "b"}, {"_id": CHANNEL_ID, "name": "c"})
        state = await exchange.import_(again, "channels", "append")
        assert state["state"] == "failed"
        assert "line 2" in state["error_message"]
        assert "is there already" in state["error_message"]
        assert [row["name"] for row in await exchange.rows("channels")] == ["a"]

    in_deployment(tmp_path, test)


def test_a_document_that_does_not_fit_the_schema_fails_with_its_line_and_changes_nothing(
    tmp_path: Path,
):
    async def test(exchange: Exchange) -> None:
        state = await exchange.import_(lines({"name": "a"}, {"nme": "b"}), "channels")
        assert state["state"] == "failed"
        assert "line 2" in state["error_message"]
        assert "`name`" in state["error_message"]
        assert not await exchange.rows("channels")
        assert exchange.files.path("import-test") is None

    in_deployment(tmp_path, test)


def test_a_later_batch_that_fails_says_how_much_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(batching, "BATCH_DOCUMENTS_MAX", 2)

    async def test(exchange: Exchange) -> None:
        content = lines({"name": "a"}, {"name": "b"}, {"nme": "c"})
        state = await exchange.import_(content, "channels")
        assert "2 of 3 documents had been written before" in state["error_message"]
        assert len(await exchange.rows("channels")) == 2

    in_deployment(tmp_path, test)


def test_modes_decide_what_happens_to_documents_that_are_there(tmp_path: Path):
    async def test(exchange: Exchange) -> None:
        await exchange.app.mutation("t:add", table="channels", document={"name": "old"})
        await exchange.app.mutation("t:add", table="extras", document={"x": 1})
        content = lines({"name": "new"})
        state = await exchange.import_(content, "channels")
        assert "--append" in state["error_message"]
        await exchange.import_(content, "channels", "append")
        assert [row["name"] for row in await exchange.rows("channels")] == ["old", "new"]
        await exchange.import_(content, "channels", "replace")
        assert [row["name"] for row in await exchange.rows("channels")] == ["new"]
        assert len(await exchange.rows("extras")) == 1
        await exchange.import_(content, "channels", "replaceAll")
        assert [row["name"] for row in await exchange.rows("channels")] == ["new"]
        assert not await exchange.rows("extras")

    in_deployment(tmp_path, test)


def test_an_import_waits_for_its_confirmation_and_takes_only_one(tmp_path: Path):
    async def test(exchange: Exchange) -> None:
        await exchange.app.mutation("t:add", table="channels", document={"name": "old"})
        with exchange.files.create("f") as file:
            file.write(lines({"name": "new"}))
        importer = exchange.importer
        import_id = await importer.start(ImportRequest("jsonLines", "replace", "channels", "f"))
        state = await exchange._settled(import_id)
        assert state["require_manual_confirmation"] is True
        assert "channels: 1 documents created; all documents" in state["message_to_confirm"]
        assert [row["name"] for row in await exchange.rows("channels")] == ["old"]
        await importer.perform(import_id)
        with pytest.raises(SystemCallError, match="not waiting"):
            await importer.perform(import_id)
        assert (await exchange._settled(import_id))["state"] == "completed"

    in_deployment(tmp_path, test)


def test_an_export_goes_back_in_with_the_same_documents_ids_and_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(exporting, "PAGE_DOCUMENTS", 3)
    special = {"big": Int64(-(2**63)), "nan": float("inf"), "raw": b"\x00\xff", "deep": [{"a": 1}]}

    async def take(exchange: Exchange) -> tuple[bytes, dict[str, Any]]:
        app = exchange.app
        for number in range(10):
            channel = await app.mutation("t:add", table="channels", document={"name": f"{number}"})
            await app.mutation(
                "t:add", table="messages", document={"channel": channel, "body": "ü"}
            )
        await app.mutation("t:add", table="extras", document=special)
        content = await exchange.export()
        return content, await everything(exchange)

    async def everything(exchange: Exchange) -> dict[str, Any]:
        tables = await exchange.numbers()
        return {"tables": tables, **{name: await exchange.rows(name) for name in tables}}

    async def work() -> None:
        async with deployment(tmp_path / "one") as exchange:
            await exchange.app.mutation("t:add", table="first", document={})
            content, expected = await take(exchange)
        # In the other deployment the same tables have other numbers until the import.
        async with deployment(tmp_path / "two") as other:
            state = await other.import_(content, None, form="zip")
            assert state["state"] == "completed", state
            assert await everything(other) == expected
            found = await other.app.query("t:by_name", name="7")
            assert found == expected["channels"][7]
            again = await other.export()
        with zipfile.ZipFile(io.BytesIO(content)) as a, zipfile.ZipFile(io.BytesIO(again)) as b:
            assert {n: a.read(n) for n in a.namelist()} == {n: b.read(n) for n in b.namelist()}

    asyncio.run(work())


def test_an_export_shows_one_moment_whatever_is_written_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(exporting, "PAGE_DOCUMENTS", 1)

    async def test(exchange: Exchange) -> None:
        app = exchange.app
        for number in range(5):
            await app.mutation("t:add", table="channels", document={"name": f"{number}"})
        work = asyncio.create_task(exchange.export())
        while not work.done():
            await app.mutation("t:add", table="channels", document={"name": "later"})
        with zipfile.ZipFile(io.BytesIO(await work)) as archive:
            found = archive.read("channels/documents.jsonl").splitlines()
        names = [orjson.loads(line)["name"] for line in found]
        # Writes before the snapshot are in it, in order; none after it is.
        assert names[:5] == ["0", "1", "2", "3", "4"]
        assert len(names) < len(await exchange.rows("channels"))

    in_deployment(tmp_path, test)


def test_a_failed_export_says_so_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(exporting, "PAGE_DOCUMENTS", 0)

    async def test(exchange: Exchange) -> None:
        with pytest.raises(AssertionError, match="failed"):
            await exchange.export()
        assert not list((tmp_path / "exchange").glob("*.zip"))
        monkeypatch.setattr(exporting, "PAGE_DOCUMENTS", 5)
        assert await exchange.export()

    in_deployment(tmp_path, test)
    assert "The export failed" in caplog.text


def test_old_exports_are_forgotten_with_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(export_functions, "KEPT", 2)

    async def test(exchange: Exchange) -> None:
        for _ in range(3):
            await exchange.app.mutation("t:add", table="channels", document={"name": "x"})
            await exchange.export()
        assert len(list((tmp_path / "exchange").glob("*.zip"))) == 2

    in_deployment(tmp_path, test)


def test_clearing_takes_documents_that_come_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importing, "CLEAR_DOCUMENTS", 2)

    async def test(exchange: Exchange) -> None:
        for number in range(7):
            await exchange.app.mutation("t:add", table="channels", document={"name": f"{number}"})
        engine = exchange.app.engine
        mutation = engine.mutation
        calls = 0

        async def interrupted(path: str, *arguments: Any, **options: Any) -> Answer:
            nonlocal calls
            calls += 1
            answer = await mutation(path, *arguments, **options)
            if calls == 2:
                monkeypatch.setattr(engine, "mutation", mutation)
                old = lines({"_creationTime": 5, "name": "old"})
                assert (await exchange.import_(old, "channels", "append"))["state"] == "completed"
            return answer

        monkeypatch.setattr(engine, "mutation", interrupted)
        await exchange.importer._clear_table("channels")
        assert calls == 2
        assert not await exchange.rows("channels")

    in_deployment(tmp_path, test)


def test_one_export_runs_at_a_time(tmp_path: Path):
    async def test(exchange: Exchange) -> None:
        await exchange.exporter.request()
        with pytest.raises(SystemCallError, match="running already"):
            await exchange.exporter.request()
        while exchange.exporter._tasks:
            await next(iter(exchange.exporter._tasks))

    in_deployment(tmp_path, test)


def test_what_a_stop_interrupted_is_failed_at_the_next_start(tmp_path: Path):
    async def test(exchange: Exchange) -> None:
        import_id = await system_mutation(
            exchange.app.engine,
            "_system/imports:create",
            {"format": "csv", "mode": "append", "tableName": "t", "file": "f"},
        )
        exchange.files.create("f").close()
        await system_mutation(exchange.app.engine, "_system/exports:request", {})
        await exchange.importer.recover()
        row = await exchange.app.query("_system/cli/queryImport:default", importId=import_id)
        assert row["state"]["state"] == "failed"  # type: ignore[index] # a row
        assert not list((tmp_path / "exchange").iterdir())
        latest = await exchange.app.query("_system/cli/exports:getLatest")
        assert latest["state"] == "failed"  # type: ignore[index] # a row
        assert await exchange.export()

    in_deployment(tmp_path, test)


def test_users_can_call_no_system_function(tmp_path: Path):
    async def test(exchange: Exchange) -> None:
        for caller in (exchange.app.as_anonymous(), exchange.app.as_user("ada")):
            with pytest.raises(Exception, match="Could not find public function"):
                await caller.query("_system/cli/tables:default")
            with pytest.raises(Exception, match="Could not find public function"):
                await caller.mutation("_system/imports:clear_batch", table="channels", limit=1)

    in_deployment(tmp_path, test)

"""Exports as background work: every table at one ts into a zip (convex-protocol.md 7.2).

The state is a row of `_exports`, so a subscription to `_system/cli/exports:getLatest` follows:
requested, in_progress, completed or failed. One export runs at a time.
"""

import asyncio
import logging
from contextlib import closing
from typing import IO, BinaryIO, Final

import msgspec

from syncline.drivers.deployment import Deployment
from syncline.drivers.exchange_files import ExchangeFiles
from syncline.drivers.file_exports import files_at, write_files
from syncline.drivers.file_storage import FileStorage
from syncline.drivers.system_calls import system_mutation, system_query, system_query_json
from syncline.exchange.snapshot_zip import SnapshotTable, SnapshotWriter
from syncline.values.value import Int64, Value

PAGE_DOCUMENTS: Final = 500
PAGE_BYTES: Final = 4 * 2**20
"""Of one page; ours: well below what a query may read and return."""

logger = logging.getLogger(__name__)


class _Page(msgspec.Struct):
    """A PaginationResult whose documents stay undecoded."""

    page: list[msgspec.Raw]
    isDone: bool  # noqa: N815 - as it is on the wire
    continueCursor: str  # noqa: N815 - as it is on the wire


_decode_page = msgspec.json.Decoder(_Page).decode


class Exporter:
    """Runs exports of one deployment; `close` before the engine closes."""

    def __init__(self, deployment: Deployment, files: ExchangeFiles, storage: FileStorage) -> None:
        self._deployment = deployment
        self._files = files
        self._storage = storage
        self._tasks: set[asyncio.Task[None]] = set()

    async def request(self, *, with_files: bool = False) -> None:
        """Start an export, with or without the files. SystemCallError: one is running."""
        noted = await system_mutation(self._deployment, "_system/exports:request", {})
        assert isinstance(noted, dict)
        export_id, forgotten = noted["id"], noted["files"]
        assert isinstance(export_id, str)
        assert isinstance(forgotten, list)
        for name in forgotten:
            await asyncio.to_thread(self._files.remove, str(name))
        task = asyncio.get_running_loop().create_task(
            self._guarded(export_id, with_files=with_files)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Wait until nothing runs in the background; each failure is a row of its own."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Stop what is going on; it is marked failed at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _guarded(self, export_id: str, *, with_files: bool) -> None:
        try:
            await self._export(export_id, with_files=with_files)
        except Exception as error:
            logger.exception("The export failed")
            await self._set_state(export_id, {"state": "failed", "error_message": str(error)})

    async def _set_state(self, export_id: str, state: dict[str, Value]) -> None:
        await system_mutation(
            self._deployment, "_system/exports:set_state", {"exportId": export_id, "state": state}
        )

    async def _export(self, export_id: str, *, with_files: bool) -> None:
        ts = self._deployment.latest_ts()
        await self._set_state(export_id, {"state": "in_progress", "start_ts": Int64(ts)})
        rows = await system_query(self._deployment, "_system/exports:tables", {}, at=ts)
        assert isinstance(rows, list)
        tables = [
            SnapshotTable(str(row["name"]), int(str(row["number"])))
            for row in rows
            if isinstance(row, dict)
        ]
        name = export_file(ts)
        file = await asyncio.to_thread(self._files.create, name)
        try:
            with file:
                await self._write(file, tables, ts, with_files=with_files)
        except BaseException:
            self._files.remove(name)
            raise
        await self._set_state(
            export_id,
            {
                "state": "completed",
                "start_ts": Int64(ts),
                "complete_ts": Int64(max(ts, self._deployment.latest_ts())),
                "zip_object_key": name,
            },
        )

    async def _write(
        self, file: BinaryIO, tables: list[SnapshotTable], ts: int, *, with_files: bool
    ) -> None:
        files = await files_at(self._deployment, ts) if with_files else None
        with closing(SnapshotWriter(file, tables)) as writer:
            for table in tables:
                with writer.table(table.name) as target:
                    await self._write_table(target, table.name, ts)
            if files is not None:
                await write_files(writer, files, self._storage)

    async def _write_table(self, target: IO[bytes], table: str, ts: int) -> None:
        cursor: str | None = None
        done = False
        while not done:
            page = await self._page(table, cursor, ts)
            lines = b"".join(bytes(document) + b"\n" for document in page.page)
            # Compressing is the slow part and releases the interpreter's lock.
            await asyncio.to_thread(target.write, lines)
            cursor, done = page.continueCursor, page.isDone

    async def _page(self, table: str, cursor: str | None, ts: int) -> _Page:
        options: dict[str, Value] = {
            "cursor": cursor,
            "numItems": PAGE_DOCUMENTS,
            "maximumBytesRead": PAGE_BYTES,
        }
        arguments: dict[str, Value] = {"table": table, "order": "asc", "paginationOpts": options}
        return _decode_page(
            await system_query_json(
                self._deployment, "_system/cli/tableData:default", arguments, at=ts
            )
        )


def export_file(ts: int) -> str:
    """The name of the zip of the export at `ts`."""
    return f"snapshot_{ts}.zip"

"""Imports as background work: survey the file, wait for confirmation, write it in batches.

Every state is a row of `_snapshot_imports`, so a subscription to `_system/cli/queryImport` follows
along (convex-protocol.md 7.2): uploaded, waiting_for_confirmation, in_progress, completed, failed.
Each batch is one transaction; others see the import grow.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, TypeVar

import orjson

from syncline.drivers.deployment import Deployment
from syncline.drivers.exchange_files import ExchangeFiles
from syncline.drivers.file_imports import clear_files, write_files
from syncline.drivers.file_storage import FileStorage
from syncline.drivers.system_calls import system_mutation, system_query
from syncline.errors import CallerError, SynclineError
from syncline.exchange.batches import ImportBatch, Survey, batches, survey
from syncline.exchange.snapshot_zip import SnapshotReader
from syncline.schema.catalog import STORAGE
from syncline.values.value import Int64, Value

MODES: Final = ("requireEmpty", "append", "replace", "replaceAll")
FORMATS: Final = ("csv", "jsonLines", "jsonArray", "zip")

CLEAR_DOCUMENTS: Final = 500
"""Documents deleted by one mutation."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import: `table` is None exactly for a zip."""

    form: str
    mode: str
    table: str | None
    file: str


class Importer:
    """Runs imports of one deployment; `close` before the engine closes."""

    def __init__(self, deployment: Deployment, files: ExchangeFiles, storage: FileStorage) -> None:
        self._deployment = deployment
        self._files = files
        self._storage = storage
        self._tasks: set[asyncio.Task[None]] = set()

    async def recover(self) -> None:
        """Fail the imports and exports that a stop of the server had interrupted."""
        files = await system_mutation(self._deployment, "_system/imports:fail_interrupted", {})
        assert isinstance(files, list)
        for name in files:
            await asyncio.to_thread(self._files.remove, str(name))

    async def start(self, request: ImportRequest) -> str:
        """Note the import and survey the file in the background; returns the import's id."""
        import_id = await system_mutation(
            self._deployment,
            "_system/imports:create",
            {
                "format": request.form,
                "mode": request.mode,
                "tableName": request.table,
                "file": request.file,
            },
        )
        assert isinstance(import_id, str)
        self._spawn(import_id, request, self._survey(import_id, request))
        return import_id

    async def receive(self, upload: str, numbers: Sequence[int], request: ImportRequest) -> str:
        """Join an upload's parts to `request.file` and start. FileNotFoundError: a part lacks."""
        await asyncio.to_thread(self._files.join_parts, upload, numbers, request.file)
        return await self.start(request)

    async def perform(self, import_id: str) -> None:
        """Go on after the confirmation. SystemCallError: it does not wait for one."""
        row = await system_mutation(
            self._deployment, "_system/imports:confirm", {"importId": import_id}
        )
        assert isinstance(row, dict)
        table = row["tableName"]
        request = ImportRequest(
            str(row["format"]),
            str(row["mode"]),
            table if isinstance(table, str) else None,
            str(row["file"]),
        )
        self._spawn(import_id, request, self._write(import_id, request))

    async def settle(self) -> None:
        """Wait until nothing runs in the background; each failure is a row of its own."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Stop what is going on; `recover` marks it failed at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(
        self, import_id: str, request: ImportRequest, work: Coroutine[object, object, None]
    ) -> None:
        task = asyncio.get_running_loop().create_task(self._guarded(import_id, request, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(
        self, import_id: str, request: ImportRequest, work: Coroutine[object, object, None]
    ) -> None:
        """Whatever ends the work early becomes the import's state."""
        try:
            await work
        except SynclineError as error:
            await self._fail(import_id, request, error.message)
        except Exception as error:
            logger.exception("An import failed")
            message = f"The import stopped: {type(error).__name__}: {error}"
            await self._fail(import_id, request, message)

    async def _fail(self, import_id: str, request: ImportRequest, message: str) -> None:
        await asyncio.to_thread(self._files.remove, request.file)
        await self._set_state(import_id, {"state": "failed", "error_message": message})

    async def _set_state(self, import_id: str, state: dict[str, Value]) -> None:
        await system_mutation(
            self._deployment, "_system/imports:set_state", {"importId": import_id, "state": state}
        )

    async def _survey(self, import_id: str, request: ImportRequest) -> None:
        found = await asyncio.to_thread(self._read_all, request)
        names: list[Value] = list(found.counts)
        existing = await system_query(
            self._deployment, "_system/imports:inspect", {"tables": names}
        )
        assert isinstance(existing, list)
        filled = [str(name) for name in existing]
        if request.mode == "requireEmpty" and filled:
            raise CallerError("TableNotEmpty", _not_empty(filled))
        replaced = filled if request.mode in {"replace", "replaceAll"} else []
        if request.mode == "replaceAll":
            every = await system_query(self._deployment, "_system/cli/tables:names", {})
            assert isinstance(every, list)
            replaced += [str(name) for name in every if name not in names]
        state: dict[str, Value] = {
            "state": "waiting_for_confirmation",
            "message_to_confirm": _summary(found.counts, replaced) if replaced else None,
            "require_manual_confirmation": bool(replaced),
        }
        await self._set_state(
            import_id, {name: value for name, value in state.items() if value is not None}
        )

    def _read_all(self, request: ImportRequest) -> Survey:
        with self._files.open(request.file) as file:
            return survey(file, request.form, request.table)

    async def _write(self, import_id: str, request: ImportRequest) -> None:
        found = await asyncio.to_thread(self._read_all, request)
        await self._clear(import_id, request, found)
        await system_mutation(
            self._deployment,
            "_system/imports:prepare",
            {
                "tables": [{"name": table.name, "number": table.number} for table in found.tables],
                "mode": request.mode,
                "hasFiles": found.files is not None,
            },
        )
        file = await asyncio.to_thread(self._files.open, request.file)
        try:
            # Documents name files: whoever sees one finds the other.
            await self._write_files(import_id, file, found)
            file.seek(0)
            await self._write_documents(import_id, request, file, found)
        finally:
            file.close()
        written = Int64(sum(found.counts.values()))
        await self._set_state(import_id, {"state": "completed", "num_rows_written": written})
        await asyncio.to_thread(self._files.remove, request.file)

    async def _write_files(self, import_id: str, file: BinaryIO, found: Survey) -> None:
        if not found.files:
            return

        async def report(progress: str) -> None:
            state: dict[str, Value] = {"state": "in_progress", "progress_message": progress}
            await self._set_state(import_id, state)

        source = await asyncio.to_thread(SnapshotReader, file)
        await write_files(source, self._storage, found.files, report)

    async def _write_documents(
        self, import_id: str, request: ImportRequest, file: BinaryIO, found: Survey
    ) -> None:
        total = sum(table.documents for table in found.tables)
        written = 0
        source = batches(file, request.form, request.table)
        while (batch := await asyncio.to_thread(_next, source)) is not None:
            written += len(batch.documents)
            progress = f"Importing {batch.table} ({written}/{total} documents)"
            try:
                await system_mutation(
                    self._deployment,
                    "_system/imports:write_batch",
                    encode_batch(import_id, progress, batch),
                )
            except SynclineError as error:
                before = written - len(batch.documents)
                raise CallerError(
                    error.code,
                    f"{error.message} ({before} of {total} documents had been written before.)",
                ) from error

    async def _clear(self, import_id: str, request: ImportRequest, found: Survey) -> None:
        if request.mode not in {"replace", "replaceAll"}:
            return
        names = list(found.counts)
        if request.mode == "replaceAll":
            every = await system_query(self._deployment, "_system/cli/tables:names", {})
            assert isinstance(every, list)
            names += [str(name) for name in every if name not in names]
        for name in names:
            await self._set_state(
                import_id, {"state": "in_progress", "progress_message": f"Clearing {name}"}
            )
            if name == STORAGE.name:
                await clear_files(self._deployment)
            else:
                await self._clear_table(name)

    async def _clear_table(self, name: str) -> None:
        after = 0.0
        while True:
            last = await system_mutation(
                self._deployment,
                "_system/imports:clear_batch",
                {"table": name, "limit": CLEAR_DOCUMENTS, "after": after},
            )
            if isinstance(last, int | float):
                after = float(last)
            elif after == 0.0:
                return
            else:
                # Somebody may have written behind us: the last pass finds nothing from the start.
                after = 0.0


def _next(source: Iterator[T]) -> T | None:
    return next(source, None)


def encode_batch(import_id: str, progress: str, batch: ImportBatch) -> bytes:
    """The arguments of `_system/imports:write_batch`, without decoding the documents again."""
    head = orjson.dumps(
        {
            "importId": import_id,
            "progress": progress,
            "table": batch.table,
            "places": [str(document.place) for document in batch.documents],
        }
    )
    documents = b",".join(document.encoded for document in batch.documents)
    return head[:-1] + b',"documents":[' + documents + b"]}"


def _not_empty(names: list[str]) -> str:
    listed = ", ".join(f"`{name}`" for name in names)
    return (
        f"There are documents in {listed} already. "
        "Use --append to add to them or --replace to replace them."
    )


def _summary(created: Mapping[str, int], replaced: list[str]) -> str:
    """What will be created and deleted, one table a line."""
    lines = ["Import change summary:"]
    for name in sorted({*created, *replaced}):
        gone = "; all documents in it now are deleted" if name in replaced else ""
        lines.append(f"  {name}: {created.get(name, 0)} documents created{gone}")
    return "\n".join(lines)

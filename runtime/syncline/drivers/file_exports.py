"""The files of an export: what there was at its ts, as far as it is there still.

Rows are read at the ts of the export, before their versions are forgotten; bytes take longer, and
have no versions. A file that was deleted meanwhile is left out, row and bytes: whoever named it
finds nothing either way.
"""

import asyncio
import logging

import msgspec

from syncline.drivers.deployment import Deployment
from syncline.drivers.file_storage import FileRow, FileStorage
from syncline.drivers.system_calls import system_query
from syncline.exchange.snapshot_files import file_line
from syncline.exchange.snapshot_zip import SnapshotWriter
from syncline.file_ports import FileMissing
from syncline.schema.catalog import STORAGE
from syncline.values.value import Value

PAGE_FILES = 200
"""Files of one read; ours: three documents each."""

logger = logging.getLogger(__name__)


class ExportedFile(msgspec.Struct, frozen=True):
    """A file as it was at the export's ts."""

    document: dict[str, Value]
    row: FileRow


async def files_at(deployment: Deployment, ts: int) -> list[ExportedFile]:
    """All files at `ts`, without their bytes."""
    found: list[ExportedFile] = []
    cursor: str | None = None
    is_done = False
    while not is_done:
        options: dict[str, Value] = {"cursor": cursor, "numItems": PAGE_FILES}
        page = await system_query(
            deployment, "_system/storage:list_files", {"paginationOpts": options}, at=ts
        )
        assert isinstance(page, dict)
        rows, cursor, is_done = page["page"], str(page["continueCursor"]), page["isDone"] is True
        assert isinstance(rows, list)
        found += [_exported(row) for row in rows]
    return found


def _exported(found: Value) -> ExportedFile:
    assert isinstance(found, dict)
    document = found["document"]
    assert isinstance(document, dict)
    return ExportedFile(document, FileRow.of(found))


async def write_files(
    writer: SnapshotWriter, files: list[ExportedFile], storage: FileStorage
) -> None:
    """Write bytes and rows of the files that are there still."""
    there: list[ExportedFile] = []
    for file in files:
        try:
            chunks = await storage.read(file.row, 0, file.row.size)
        except FileMissing:
            logger.info("%s was deleted during the export", file.row.storage_id)
            continue
        with writer.file(file.row.storage_id, file.row.content_type) as target:
            async for chunk in chunks:
                await asyncio.to_thread(target.write, chunk)
        there.append(file)
    with writer.table(STORAGE.name) as target:
        for file in there:
            line = file_line(file.document, is_private=file.row.secret is not None)
            await asyncio.to_thread(target.write, line)

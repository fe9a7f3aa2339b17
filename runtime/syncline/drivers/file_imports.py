"""The files of an import: those that it replaces go, those of the snapshot come, ids kept."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Final

from syncline.drivers.deployment import Deployment
from syncline.drivers.file_storage import FileStorage
from syncline.drivers.system_calls import system_mutation
from syncline.errors import CallerError, SynclineError
from syncline.exchange.snapshot_zip import SnapshotReader

CLEAR_FILES: Final = 100
"""Files deleted by one mutation, each of three rows."""
PROGRESS_FILES: Final = 10
"""Files between two reports of progress."""


async def clear_files(deployment: Deployment) -> None:
    """Delete all files."""
    deleted = CLEAR_FILES
    while deleted == CLEAR_FILES:
        count = await system_mutation(
            deployment, "_system/storage:delete_some", {"limit": CLEAR_FILES}
        )
        deleted = int(str(count))


async def write_files(
    source: SnapshotReader,
    storage: FileStorage,
    total: int,
    report: Callable[[str], Awaitable[None]],
) -> None:
    """Keep the files of a snapshot; `report` is told of the progress.

    Raises:
        CallerError: naming the line, and how many files had been written before it.
    """
    for written, file in enumerate(source.files()):
        if written % PROGRESS_FILES == 0:
            await report(f"Importing files ({written}/{total} files)")
        try:
            await storage.restore(
                file.document,
                _chunks(source.content(file)),
                sha256=file.sha256,
                private=file.is_private,
            )
        except SynclineError as error:
            raise CallerError(
                error.code,
                f"{file.place}: {error.message} "
                f"({written} of {total} files had been written before.)",
            ) from error


async def _chunks(content: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    while (chunk := await asyncio.to_thread(next, content, None)) is not None:
        yield chunk

"""An import as a whole: what a file holds per table, and its documents in batches to write."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from syncline.exchange.documents import ImportedDocument, ImportFileError, reject
from syncline.exchange.readers import READERS
from syncline.exchange.snapshot_zip import SnapshotReader
from syncline.schema.catalog import STORAGE

BATCH_DOCUMENTS_MAX: Final = 500
"""Documents written by one mutation; ours: well inside its second of time."""
BATCH_BYTES_MAX: Final = 2 * 2**20
"""Bytes of documents written by one mutation; ours: one append of the log holds them."""


@dataclass(frozen=True, slots=True)
class ImportedTable:
    """A table of the file. `number`: the one in its documents' ids, None if they have none."""

    name: str
    number: int | None
    documents: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What a file holds. `files`: how many, None if it is not about files."""

    tables: tuple[ImportedTable, ...]
    files: int | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Rows by table, files among them."""
        counts = {table.name: table.documents for table in self.tables}
        return counts if self.files is None else {**counts, STORAGE.name: self.files}


@dataclass(frozen=True, slots=True)
class ImportBatch:
    """Documents of one table, in the file's order."""

    table: str
    documents: tuple[ImportedDocument, ...]


def read_tables(
    file: BinaryIO, form: str, table: str | None
) -> Iterator[tuple[str, int | None, Iterable[ImportedDocument]]]:
    """(name, number if known beforehand, documents) of each table of a file.

    Args:
        file: seekable, at its start.
        form: "jsonLines", "jsonArray", "csv" or "zip".
        table: the table of a file that holds one, None for a zip.

    Raises:
        ImportFileError: naming the line and what is wrong.
    """
    if form == "zip":
        snapshot = SnapshotReader(file)
        for found in snapshot.tables:
            yield found.name, found.number, snapshot.documents(found)
        return
    if table is None or form not in READERS:
        raise ImportFileError("InvalidImport", f"The format {form!r} needs a table to import into.")
    yield table, None, READERS[form](file)


def survey(file: BinaryIO, form: str, table: str | None) -> Survey:
    """Read the whole file once: its tables, how many documents each has and their number; files.

    Raises:
        ImportFileError: naming the line; also when the ids of one table are of several.
    """
    tables = _survey_tables(file, form, table)
    if form != "zip":
        return Survey(tables)
    file.seek(0)
    snapshot = SnapshotReader(file)
    count = snapshot.check_files()
    return Survey(tables, count if snapshot.has_files else None)


def _survey_tables(file: BinaryIO, form: str, table: str | None) -> tuple[ImportedTable, ...]:
    tables: list[ImportedTable] = []
    for name, known, documents in read_tables(file, form, table):
        number, count = known, 0
        for document in documents:
            count += 1
            if document.table_number not in {None, number}:
                if number is not None:
                    reject(
                        document.place,
                        f"the `_id` belongs to another table (number {document.table_number}) "
                        f"than the ids before it (number {number})",
                    )
                number = document.table_number
        tables.append(ImportedTable(name, number, count))
    return tuple(tables)


def batches(file: BinaryIO, form: str, table: str | None) -> Iterator[ImportBatch]:
    """The documents of a file in batches that one mutation can write.

    Raises:
        ImportFileError: naming the line.
    """
    for name, _, documents in read_tables(file, form, table):
        waiting: list[ImportedDocument] = []
        size = 0
        for document in documents:
            if waiting and (
                len(waiting) >= BATCH_DOCUMENTS_MAX
                or size + len(document.encoded) > BATCH_BYTES_MAX
            ):
                yield ImportBatch(name, tuple(waiting))
                waiting, size = [], 0
            waiting.append(document)
            size += len(document.encoded)
        if waiting:
            yield ImportBatch(name, tuple(waiting))

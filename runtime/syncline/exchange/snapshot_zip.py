"""The official layout of a snapshot, both ways (convex-protocol.md 7.2).

    README.md
    _tables/documents.jsonl        {"name", "id": table number}, one table a line
    <table>/documents.jsonl        one document a line

Ours writes tagged values (`{"$integer": ...}`) and therefore no `generated_schema.jsonl`; in a
snapshot of another server that file says whether whole numbers without a point are Int64.
"""

import base64
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO, Final

import orjson

from syncline.bundle_spec import JsonValue
from syncline.exchange.documents import (
    ImportedDocument,
    ImportFileError,
    Place,
    document_from_json,
    reject,
)
from syncline.exchange.readers import read_json_lines

_DOCUMENTS: Final = "documents.jsonl"
_TABLES: Final = "_tables"
_HINTS: Final = "generated_schema.jsonl"
_HINT_BYTES_MAX: Final = 2**20
_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError)
"""What reading a zip raises: damaged, compressed in an unknown way, encrypted, cut off."""

_README: Final = """\
# Snapshot

All documents of a deployment as they were at one moment: `<table>/documents.jsonl` has one
document a line, `_tables/documents.jsonl` the number of each table, which is part of its
documents' ids. Import it again with `syncline import snapshot.zip` or `npx convex import`.
"""


@dataclass(frozen=True, slots=True)
class SnapshotTable:
    """A table of a snapshot; `number` is None if the file doesn't say."""

    name: str
    number: int | None


class SnapshotReader:
    """Reads a snapshot from a seekable file, one document at a time."""

    def __init__(self, file: BinaryIO) -> None:
        """Raises ImportFileError: no zip, damaged, or with parts that can't be imported."""
        try:
            self._zip = zipfile.ZipFile(file)
        except zipfile.BadZipFile as error:
            raise ImportFileError("InvalidImport", f"The file is not a zip: {error}") from error
        self._prefix = self._find_prefix()
        self.tables: tuple[SnapshotTable, ...] = tuple(self._read_tables())
        if not self.tables and f"{self._prefix}{_TABLES}/{_DOCUMENTS}" not in self._names():
            raise ImportFileError(
                "InvalidImport",
                f"The zip holds no snapshot: there is no <table>/{_DOCUMENTS} in it.",
            )

    def _find_prefix(self) -> str:
        """The folder that everything lies in when somebody zipped the unpacked folder again."""
        tops = {name.partition("/")[0] for name in self._zip.namelist()}
        tops -= {"__MACOSX"}
        if len(tops) == 1 and f"{(top := next(iter(tops)))}/{_DOCUMENTS}" not in self._names():
            return f"{top}/"
        return ""

    def _names(self) -> set[str]:
        return set(self._zip.namelist())

    def _read_tables(self) -> Iterator[SnapshotTable]:
        numbers = self._numbers()
        for name in sorted(self._names()):
            if not name.startswith(self._prefix):
                continue
            table, slash, rest = name.removeprefix(self._prefix).partition("/")
            if not slash or not rest:
                continue
            if table.startswith("_"):
                self._refuse_system_part(table, name)
            elif rest == _DOCUMENTS:
                yield SnapshotTable(table, numbers.get(table))
            elif rest != _HINTS:
                raise ImportFileError(
                    "InvalidImport", f"{name}: not a part of a snapshot; remove it from the zip."
                )

    def _refuse_system_part(self, table: str, name: str) -> None:
        if table in {_TABLES, "__MACOSX"} or self._zip.getinfo(name).file_size == 0:
            return
        if name.endswith(_HINTS):
            return
        raise ImportFileError(
            "InvalidImport",
            f"{name}: `{table}` can't be imported, only tables of documents. "
            "Export without file storage, or remove that folder from the zip.",
        )

    def _numbers(self) -> dict[str, int]:
        path = f"{self._prefix}{_TABLES}/{_DOCUMENTS}"
        if path not in self._names():
            return {}
        numbers: dict[str, int] = {}
        with self._zip.open(path) as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = orjson.loads(line)
                    numbers[str(row["name"])] = int(row["id"])
                except (ValueError, TypeError, KeyError) as error:
                    reject(Place(path, number), f'not of the form {{"name", "id"}}: {error!r}')
        return numbers

    def documents(self, table: SnapshotTable) -> Iterator[ImportedDocument]:
        """The table's documents.

        Raises:
            ImportFileError: naming file and line; also when an id is not one of that table.
        """
        path = f"{self._prefix}{table.name}/{_DOCUMENTS}"
        try:
            with self._zip.open(path) as file:
                opened: BinaryIO = file  # type: ignore[assignment] # reads like any binary file
                read = self._typed if self._whole_numbers_are_int64(table) else read_json_lines
                for document in read(opened, path):
                    if table.number is not None and document.table_number not in {
                        None,
                        table.number,
                    }:
                        reject(
                            document.place,
                            f"the `_id` belongs to table number {document.table_number}, but "
                            f"`{table.name}` has number {table.number} in {_TABLES}",
                        )
                    yield document
        except _DAMAGED as error:
            raise ImportFileError("InvalidImport", f"{path} can't be read: {error}") from error

    def _whole_numbers_are_int64(self, table: SnapshotTable) -> bool:
        path = f"{self._prefix}{table.name}/{_HINTS}"
        if path not in self._names():
            return False
        with self._zip.open(path) as file:
            return b"int64" in file.read(_HINT_BYTES_MAX).replace(b"normalfloat64", b"")

    def _typed(self, file: BinaryIO, name: str) -> Iterator[ImportedDocument]:
        """Like `read_json_lines`, with whole numbers without a point as Int64."""
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            place = Place(name, number)
            try:
                tagged = orjson.dumps(_tag_integers(orjson.loads(line)))
            except (orjson.JSONDecodeError, OverflowError) as error:
                reject(place, f"not valid JSON: {error}")
            yield document_from_json(tagged, place)


def _tag_integers(parsed: JsonValue, name: str = "") -> JsonValue:
    if isinstance(parsed, list):
        return [_tag_integers(item) for item in parsed]
    if isinstance(parsed, dict):
        return {key: _tag_integers(item, key) for key, item in parsed.items()}
    if isinstance(parsed, bool) or not isinstance(parsed, int) or name == "_creationTime":
        return parsed
    payload = parsed.to_bytes(8, "little", signed=True)
    return {"$integer": base64.b64encode(payload).decode()}


class SnapshotWriter:
    """Writes a snapshot into an open file; `close` completes it."""

    def __init__(self, file: BinaryIO, tables: Iterable[SnapshotTable]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self._zip.writestr("README.md", _README)
        rows = [orjson.dumps({"name": table.name, "id": table.number}) for table in tables]
        self._zip.writestr(f"{_TABLES}/{_DOCUMENTS}", b"".join(row + b"\n" for row in rows))

    def table(self, name: str) -> IO[bytes]:
        """The file of a table, to write lines to and close; one at a time."""
        # Sizes are unknown when a streamed entry begins.
        return self._zip.open(f"{name}/{_DOCUMENTS}", "w", force_zip64=True)

    def close(self) -> None:
        """Write the directory of the zip."""
        self._zip.close()

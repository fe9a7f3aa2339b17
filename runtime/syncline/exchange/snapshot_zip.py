"""The official layout of a snapshot, both ways (convex-protocol.md 7.2).

    README.md
    _tables/documents.jsonl        {"name", "id": table number}, one table a line
    <table>/documents.jsonl        one document a line
    _storage/...                   the files, if they were asked for (snapshot_files.py)

Ours writes tagged values (`{"$integer": ...}`) and therefore no `generated_schema.jsonl`; in a
snapshot of another server that file says whether whole numbers without a point are Int64.
"""

import base64
import hashlib
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
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
from syncline.exchange.snapshot_files import (
    SnapshotFile,
    entry_name,
    read_file_lines,
    storage_id_of,
)
from syncline.schema.catalog import STORAGE

_DOCUMENTS: Final = "documents.jsonl"
_TABLES: Final = "_tables"
_HINTS: Final = "generated_schema.jsonl"
_HINT_BYTES_MAX: Final = 2**20
_CHUNK: Final = 2**20
_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError)
"""What reading a zip raises: damaged, compressed in an unknown way, encrypted, cut off."""

_README: Final = """\
# Snapshot

All documents of a deployment as they were at one moment: `<table>/documents.jsonl` has one
document a line, `_tables/documents.jsonl` the number of each table, which is part of its
documents' ids. `_storage` has the files, if they were exported too, each named by its storage
id, and a line about each in `_storage/documents.jsonl`. Import it again with
`syncline import snapshot.zip` or `npx convex import`.
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
        self._entries = self._read_entries()
        says_tables = f"{self._prefix}{_TABLES}/{_DOCUMENTS}" in self._names()
        if not self.tables and not says_tables and not self.has_files:
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
            if table == STORAGE.name:
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
            f"{name}: `{table}` can't be imported, only tables of documents and "
            f"`{STORAGE.name}`. Remove that folder from the zip.",
        )

    def _read_entries(self) -> dict[str, str]:
        """Where in the zip the bytes of each file are, by storage id."""
        folder = f"{self._prefix}{STORAGE.name}/"
        listed = (folder, f"{folder}{_DOCUMENTS}", f"{folder}{_HINTS}")
        return {
            storage_id_of(name.removeprefix(folder)): name
            for name in self._names()
            if name.startswith(folder) and name not in listed
        }

    @property
    def has_files(self) -> bool:
        """Whether the snapshot has file storage; there may be no file in it."""
        return f"{self._prefix}{STORAGE.name}/{_DOCUMENTS}" in self._names()

    def files(self) -> Iterator[SnapshotFile]:
        """The files, without their bytes.

        Raises:
            ImportFileError: naming the line; also when a file's bytes are missing.
        """
        if not self.has_files:
            return
        path = f"{self._prefix}{STORAGE.name}/{_DOCUMENTS}"
        with _readable(path), self._zip.open(path) as file:
            opened: BinaryIO = file  # type: ignore[assignment] # reads like any binary file
            for each in read_file_lines(opened, path):
                if each.storage_id not in self._entries:
                    reject(each.place, f"the zip lacks the bytes of the file {each.storage_id}")
                yield each

    def content(self, file: SnapshotFile) -> Iterator[bytes]:
        """The bytes of a file, in pieces.

        Raises:
            ImportFileError: the zip is damaged there.
        """
        name = self._entries[file.storage_id]
        with _readable(name), self._zip.open(name) as opened:
            while chunk := opened.read(_CHUNK):
                yield chunk

    def check_files(self) -> int:
        """Read every file to its end: how many there are.

        Raises:
            ImportFileError: naming what is missing, superfluous, damaged or there twice.
        """
        seen: set[str] = set()
        for file in self.files():
            if file.storage_id in seen:
                reject(file.place, f"the file {file.storage_id} is there twice")
            seen.add(file.storage_id)
            digest, size = hashlib.sha256(), 0
            for chunk in self.content(file):
                digest.update(chunk)
                size += len(chunk)
            if (size, digest.digest()) != (file.size, file.sha256):
                reject(file.place, "the bytes of the file are not those of its `size` and `sha256`")
        if unknown := sorted(self._entries.keys() - seen):
            name = self._entries[unknown[0]]
            raise ImportFileError(
                "InvalidImport", f"{name}: no line of {STORAGE.name}/{_DOCUMENTS} is about it."
            )
        return len(seen)

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
        with _readable(path), self._zip.open(path) as file:
            opened: BinaryIO = file  # type: ignore[assignment] # reads like any binary file
            read = self._typed if self._whole_numbers_are_int64(table) else read_json_lines
            for document in read(opened, path):
                if table.number is not None and document.table_number not in {None, table.number}:
                    reject(
                        document.place,
                        f"the `_id` belongs to table number {document.table_number}, but "
                        f"`{table.name}` has number {table.number} in {_TABLES}",
                    )
                yield document

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


@contextmanager
def _readable(path: str) -> Generator[None]:
    """Damage to a part of the zip is an ImportFileError that names it."""
    try:
        yield
    except _DAMAGED as error:
        raise ImportFileError("InvalidImport", f"{path} can't be read: {error}") from error


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

    def file(self, storage_id: str, content_type: str | None) -> IO[bytes]:
        """The bytes of a file, to write and close; one at a time.

        They are not compressed: the formats of large files are.
        """
        name = f"{STORAGE.name}/{entry_name(storage_id, content_type)}"
        return self._zip.open(zipfile.ZipInfo(name), "w", force_zip64=True)

    def close(self) -> None:
        """Write the directory of the zip."""
        self._zip.close()

"""The files of a snapshot (convex-protocol.md 7.2).

    _storage/documents.jsonl       one row of `_storage` a line; ours with `isPrivate`
    _storage/<storage id><suffix>  the bytes; the suffix follows from the content type

A file gets new addresses where it is imported: the key in a public one is not taken along, since
its bytes may be about to be removed under that key (drivers/file_storage.py).
"""

import base64
import binascii
import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from syncline.errors import CallerError
from syncline.exchange.documents import LINE_BYTES_MAX, Place, reject
from syncline.limits import FILE_BYTES_MAX
from syncline.schema.catalog import STORAGE
from syncline.values import wire_json
from syncline.values.document_id import decode_id
from syncline.values.value import Int64, Value

_KEPT: Final = ("_id", "_creationTime", "sha256", "size", "contentType")
_DIGEST_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A file of a snapshot, without its bytes."""

    place: Place
    document: dict[str, Value]
    """Its row of `_storage`."""
    size: int
    """In bytes."""
    is_private: bool

    @property
    def storage_id(self) -> str:
        """The id that documents name it by."""
        return str(self.document["_id"])

    @property
    def sha256(self) -> bytes:
        """The digest of its bytes."""
        return base64.b64decode(str(self.document["sha256"]))


def entry_name(storage_id: str, content_type: str | None) -> str:
    """Where the bytes of a file are in the folder of files."""
    plain = (content_type or "").partition(";")[0].strip().lower()
    return storage_id + (mimetypes.guess_extension(plain) or "")


def storage_id_of(entry: str) -> str:
    """The storage id that a name in the folder of files begins with."""
    return entry.partition(".")[0]


def file_line(document: dict[str, Value], *, is_private: bool) -> bytes:
    """The line of a file in `documents.jsonl`."""
    return wire_json.encode({**document, **({"isPrivate": True} if is_private else {})}) + b"\n"


def read_file_lines(file: BinaryIO, name: str) -> Iterator[SnapshotFile]:
    """The rows of `documents.jsonl`.

    Raises:
        ImportFileError: naming the line.
    """
    number = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if line := line.strip():
            yield _file(line, Place(name, number))


def _file(line: bytes, place: Place) -> SnapshotFile:
    try:
        row = wire_json.decode(line)
    except CallerError as error:
        reject(place, error.message)
    if not isinstance(row, dict):
        reject(place, "not a JSON object; every file is one object")
    document = {name: row[name] for name in _KEPT if row.get(name) is not None}
    _check_id(document.get("_id"), place)
    created = document.get("_creationTime")
    if isinstance(created, bool) or not isinstance(created, int | float):
        reject(place, "`_creationTime` must be a number of milliseconds since the epoch")
    size = _size(document.get("size"), place)
    document["size"] = float(size)
    _check_digest(document.get("sha256"), place)
    if not isinstance(document.get("contentType", ""), str):
        reject(place, "`contentType` must be a text")
    return SnapshotFile(place, document, size, row.get("isPrivate") is True)


def _check_id(storage_id: Value, place: Place) -> None:
    decoded = decode_id(storage_id) if isinstance(storage_id, str) else None
    if decoded is None:
        reject(place, f"`_id` {storage_id!r} is not the id of a file")
    if decoded[0] != STORAGE.number:
        reject(
            place,
            f"the `_id` belongs to table number {decoded[0]}, but files have number "
            f"{STORAGE.number} here. Export without file storage, and upload the files.",
        )


def _size(size: Value, place: Place) -> int:
    number = size.value if isinstance(size, Int64) else size
    if isinstance(number, bool) or not isinstance(number, int | float):
        reject(place, "`size` must be a number of bytes")
    if not 0 <= number <= FILE_BYTES_MAX or number != int(number):
        reject(place, f"`size` must be a whole number of bytes, up to {FILE_BYTES_MAX}")
    return int(number)


def _check_digest(sha256: Value, place: Place) -> None:
    try:
        digest = base64.b64decode(sha256, validate=True) if isinstance(sha256, str) else b""
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _DIGEST_BYTES:
        reject(place, "`sha256` must be the SHA-256 of the file in base64")

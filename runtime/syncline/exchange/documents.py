"""One document of an import: checked as far as a file alone allows, errors naming the line.

Whether it fits the schema is decided when it is written.
"""

import math
from dataclasses import dataclass
from typing import NoReturn

from syncline.errors import CallerError, DeveloperError
from syncline.limits import DOCUMENT_BYTES_MAX
from syncline.values import wire_json
from syncline.values.document_id import decode_id
from syncline.values.value import Value, normalize

LINE_BYTES_MAX = 4 * DOCUMENT_BYTES_MAX
"""Bytes of one line; base64 and escapes make the text of a document longer than its value."""


class ImportFileError(CallerError):
    """The file has to be mended; the message names the line and what is wrong."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document stands: the file inside a zip (or "") and the line or element from 1."""

    file: str
    number: int
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.file + ' ' if self.file else ''}{self.unit} {self.number}"


@dataclass(frozen=True, slots=True)
class ImportedDocument:
    """A document to write; `encoded` is its canonical JSON, system fields included."""

    place: Place
    encoded: bytes
    table_number: int | None
    """Of its `_id`; None when the file leaves the id to us."""


def reject(place: Place, problem: str) -> NoReturn:
    """Refuse the file. Raises ImportFileError."""
    raise ImportFileError("InvalidImport", f"{place}: {problem}")


def document_from_json(text: bytes, place: Place) -> ImportedDocument:
    """A document from one line of convex_encoded_json or plain JSON.

    Raises:
        ImportFileError: no JSON object, a value that can't be stored, or a bad system field.
    """
    if len(text) > LINE_BYTES_MAX:
        reject(place, f"longer than {LINE_BYTES_MAX} bytes, more than a document can hold")
    try:
        return imported_document(wire_json.decode(text), place)
    except CallerError as error:
        if isinstance(error, ImportFileError):
            raise
        reject(place, error.message)


def imported_document(value: Value, place: Place) -> ImportedDocument:
    """Check a decoded value as document.

    Raises:
        ImportFileError: not an object, a field that can't be stored, or a bad system field.
    """
    if not isinstance(value, dict):
        reject(place, 'not a JSON object; every document is one object, like {"name": "Ada"}')
    try:
        normalize(value)
    except DeveloperError as error:
        reject(place, error.message)
    number = _table_number(value, place)
    created = value.get("_creationTime")
    if created is not None and (
        isinstance(created, bool)
        or not isinstance(created, int | float)
        or not math.isfinite(created)
    ):
        reject(place, "`_creationTime` must be a number of milliseconds since the epoch")
    for name in value:
        if name.startswith("_") and name not in {"_id", "_creationTime"}:
            reject(place, f"the field `{name}` starts with an underscore, which is reserved")
    return ImportedDocument(place, wire_json.encode(value), number)


def _table_number(document: dict[str, Value], place: Place) -> int | None:
    document_id = document.get("_id")
    if document_id is None:
        return None
    decoded = decode_id(document_id) if isinstance(document_id, str) else None
    if decoded is None:
        reject(
            place,
            f"`_id` {document_id!r} is not a document id; leave `_id` out to get a new one",
        )
    return decoded[0]

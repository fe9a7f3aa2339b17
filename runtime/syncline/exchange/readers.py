"""Reading the documents of one table from JSON lines, CSV or a JSON array (convex-protocol 7.2).

JSON lines and CSV are read line by line; a JSON array is held in memory and therefore limited.
"""

import csv
import io
import math
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

import msgspec

from syncline.exchange.documents import (
    LINE_BYTES_MAX,
    ImportedDocument,
    ImportFileError,
    Place,
    document_from_json,
    imported_document,
    reject,
)
from syncline.limits import DOCUMENT_BYTES_MAX
from syncline.values.value import Value, normalize_number

JSON_ARRAY_BYTES_MAX: Final = 64 * 2**20
"""Bytes of a JSON array file; ours: it is held in memory (the reference allows 8 MiB)."""

_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

_decode_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode


def read_json_lines(file: BinaryIO, name: str = "") -> Iterator[ImportedDocument]:
    """One document a line; blank lines are skipped. `name`: the file's, for messages.

    Raises:
        ImportFileError: naming the line.
    """
    number = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line := line.strip():
            yield document_from_json(line, Place(name, number))


def read_json_array(file: BinaryIO) -> Iterator[ImportedDocument]:
    """A JSON array of objects.

    Raises:
        ImportFileError: too large, no array, or naming the element (counted from 1).
    """
    content = file.read(JSON_ARRAY_BYTES_MAX + 1).removeprefix(_BYTE_ORDER_MARK)
    if len(content) > JSON_ARRAY_BYTES_MAX:
        raise ImportFileError(
            "InvalidImport",
            f"A JSON array may have up to {JSON_ARRAY_BYTES_MAX} bytes. Use JSON lines for more: "
            "jq -c '.[]' data.json > data.jsonl",
        )
    try:
        elements = _decode_elements(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ImportFileError(
            "InvalidImport", f"The file is not a JSON array of objects: {error}"
        ) from error
    for number, element in enumerate(elements, 1):
        yield document_from_json(bytes(element), Place("", number, "element"))


def read_csv(file: BinaryIO) -> Iterator[ImportedDocument]:
    """CSV with a header of field names. A cell that is a number becomes one, others stay text.

    Raises:
        ImportFileError: a bad header, a row of another length, or naming the line.
    """
    # The limit is the process's; without it a long cell of a valid document is refused.
    csv.field_size_limit(DOCUMENT_BYTES_MAX)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        rows = csv.reader(text, strict=True)
        try:
            header = _header(rows)
            for row in rows:
                if row:
                    yield _csv_document(header, row, Place("", rows.line_num))
        except (csv.Error, UnicodeDecodeError) as error:
            reject(Place("", rows.line_num + 1), str(error))
    finally:
        text.detach()


def _header(rows: Iterator[list[str]]) -> list[str]:
    empty: list[str] = []
    header = next(rows, empty)
    place = Place("", 1)
    if not header:
        reject(place, "the file is empty; a CSV file starts with a line of field names")
    for name in header:
        if not name.strip():
            reject(place, "a column of the header has no name")
        if header.count(name) > 1:
            reject(place, f"the column `{name}` is there twice")
    return header


def _csv_document(header: list[str], row: list[str], place: Place) -> ImportedDocument:
    if len(row) != len(header):
        reject(place, f"{len(row)} cells, but the header names {len(header)} columns")
    cells = zip(header, row, strict=True)
    return imported_document({name: _cell(name, text) for name, text in cells}, place)


def _cell(name: str, text: str) -> Value:
    if name == "_id" or not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    return normalize_number(number) if math.isfinite(number) else text


READERS: Final[dict[str, Callable[[BinaryIO], Iterator[ImportedDocument]]]] = {
    "jsonLines": read_json_lines,
    "jsonArray": read_json_array,
    "csv": read_csv,
}
"""By the name of the format in an import request; "zip" is snapshot_zip.py."""

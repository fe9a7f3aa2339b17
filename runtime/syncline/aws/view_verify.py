"""Compares the view with the log it was built from, entry by entry (architecture.md, rule 5).

The view may go on meanwhile: it is compared as of the watermark read first, and entries that later
commits wrote are left to the next time. All keys are held in memory: about 300 bytes an entry.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal, Protocol

from syncline.aws.document_keys import document_id_of
from syncline.aws.log_history import commits_between, documents_at
from syncline.commit.record import Position
from syncline.drivers.replica import TABLES
from syncline.drivers.table_rows import dropped_indexes
from syncline.errors import CorruptionError
from syncline.index.index_definition import INDEX_ID_BYTES
from syncline.ports import Log, StoredRow

DIFFERENCES_MAX: Final = 1000
"""Differences that a report names; all are counted."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry that the view has otherwise than the log says."""

    kind: Literal["missing", "extra", "different"]
    """Of a different one, the ts or the document is another."""
    key: bytes
    document_id: str
    """ "" for an extra entry whose key ends with no id."""
    ts: int
    """The ts that the log says; of an extra entry, the view's."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` found."""

    position: Position
    """The watermark as of which the view was compared."""
    entries: int
    """How many entries the log says there are."""
    differences: tuple[Difference, ...]
    """The first DIFFERENCES_MAX by key."""
    differences_count: int


class ComparableView(Protocol):
    """A view that can be gone through."""

    async def position(self) -> Position:
        """The watermark, read strongly."""
        ...

    def entries(self) -> AsyncGenerator[Sequence[StoredRow], None]:
        """Every row and tombstone, in no order."""
        ...


@dataclass(frozen=True, slots=True)
class _Expected:
    ts: int
    digest: bytes
    document_id: str


async def verify(log: Log, view: ComparableView) -> VerifyReport:
    """Compare every entry of the view with the log.

    Raises:
        UnavailableError: "OutOfRetention": the log does not have the view's position: rebuild it.
    """
    position = await view.position()
    expected, dropped = await _expected(log, position)
    count = len(expected)
    found: list[Difference] = []
    async for rows in view.entries():
        found += [each for row in rows if (each := _compare(row, expected.get(row.key)))]
        for row in rows:
            if row.document is not None:
                expected.pop(row.key, None)
    found += [
        Difference("missing", key, each.document_id, each.ts) for key, each in expected.items()
    ]
    # Read last, so that it has every commit of which the view showed something.
    touched: set[bytes] = set()
    async for commits in commits_between(log, position, None):
        for commit in commits:
            touched.update(*(change.write_keys for change in commit.changes))
    differences = sorted(
        (
            each
            for each in found
            if each.key not in touched and each.key[:INDEX_ID_BYTES] not in dropped
        ),
        key=lambda each: each.key,
    )
    return VerifyReport(position, count, tuple(differences[:DIFFERENCES_MAX]), len(differences))


async def _expected(log: Log, at: Position) -> tuple[dict[bytes, _Expected], set[bytes]]:
    """The entries that the log says, and the ids of dropped indexes.

    The log keeps the keys that a document was written with; the view need not have the entries of
    an index that is gone.
    """
    expected: dict[bytes, _Expected] = {}
    dropped: set[bytes] = set()
    async for batch in documents_at(log, at):
        for stored in batch:
            entry = _Expected(stored.ts, _digest(stored.document), stored.document_id)
            for key in stored.keys:
                expected[key] = entry
            if stored.table == TABLES:
                dropped.update(dropped_indexes(stored.document))
    return expected, dropped


def _compare(row: StoredRow, expected: _Expected | None) -> Difference | None:
    # A tombstone where an entry should be is left among the expected: it is missing.
    if row.document is None:
        return None
    if expected is None:
        return Difference("extra", row.key, _id_in(row.key), row.ts)
    if (row.ts, _digest(row.document)) != (expected.ts, expected.digest):
        return Difference("different", row.key, expected.document_id, expected.ts)
    return None


def _id_in(key: bytes) -> str:
    try:
        return document_id_of(key)
    except CorruptionError:
        # A planted or damaged entry; its key is reported all the same.
        return ""


def _digest(document: bytes) -> bytes:
    return blake2b(document, digest_size=16).digest()

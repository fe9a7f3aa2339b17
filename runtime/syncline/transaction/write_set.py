"""What a run would write: at most one change per document, and their entries by key.

Savepoints make sub-transactions: a nested mutation that fails takes back its own writes only.
"""

from dataclasses import dataclass
from typing import TypeAlias

from sortedcontainers import SortedDict

from syncline.commit.record import DocumentChange


@dataclass(frozen=True, slots=True)
class PendingWrite:
    """A document as it was before the run, and as the run leaves it (after None: deleted)."""

    table: int
    before: bytes | None
    before_ts: int
    keys_before: tuple[bytes, ...]
    after: bytes | None
    keys_after: tuple[bytes, ...]


Savepoint: TypeAlias = "tuple[dict[str, PendingWrite], SortedDict[bytes, bytes | None]]"


class WriteSet:
    """Pending writes by document, and what each touched entry holds now."""

    __slots__ = ("_entries", "_writes")

    def __init__(self) -> None:
        self._writes: dict[str, PendingWrite] = {}
        self._entries: SortedDict[bytes, bytes | None] = SortedDict()

    def __len__(self) -> int:
        return len(self._writes)

    def get(self, document_id: str) -> PendingWrite | None:
        """The pending write of a document."""
        return self._writes.get(document_id)

    def put(self, document_id: str, write: PendingWrite) -> None:
        """Replace the pending write of a document; `before` stays that of the first."""
        previous = self._writes.get(document_id)
        gone = previous.keys_after if previous else write.keys_before
        for key in gone:
            self._entries[key] = None
        for key in write.keys_after:
            self._entries[key] = write.after
        self._writes[document_id] = write

    def entries(self, lo: bytes, hi: bytes) -> list[tuple[bytes, bytes | None]]:
        """Touched entries with lo <= key < hi in key order: the document, or None for a hole."""
        if not self._entries:
            return []
        return [
            (key, self._entries[key])
            for key in self._entries.irange(lo, hi, inclusive=(True, False))
        ]

    def savepoint(self) -> Savepoint:
        """The writes so far."""
        return dict(self._writes), self._entries.copy()

    def roll_back(self, savepoint: Savepoint) -> None:
        """Forget every write since the savepoint."""
        self._writes, self._entries = savepoint

    def changes(self) -> tuple[DocumentChange, ...]:
        """What to commit: documents that were made and deleted again leave no trace."""
        return tuple(
            DocumentChange(
                document_id,
                write.table,
                write.before,
                write.after,
                write.before_ts,
                write.keys_before,
                write.keys_after,
            )
            for document_id, write in self._writes.items()
            if write.before is not None or write.after is not None
        )

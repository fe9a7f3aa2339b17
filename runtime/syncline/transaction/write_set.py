"""What a run would write: at most one change per document, and the index entries it touched.

Every write can be undone, newest first: a sub-transaction that fails takes back its own writes.
"""

import msgspec
from sortedcontainers import SortedDict

from syncline.commit.record import DocumentChange


class PendingWrite(msgspec.Struct, frozen=True, gc=False):
    """A document as it was before the run, and as the run leaves it (after None: deleted)."""

    table: int
    before: bytes | None
    before_ts: int
    keys_before: tuple[bytes, ...]
    after: bytes | None
    keys_after: tuple[bytes, ...]


class WriteSet:
    """Pending writes by document, and what each entry that they touch holds now."""

    __slots__ = ("_entries", "_undo", "_writes")

    def __init__(self) -> None:
        self._writes: dict[str, PendingWrite] = {}
        self._undo: list[tuple[str, PendingWrite | None]] = []
        # Made by the first scan that meets writes: most mutations read before they write.
        self._entries: SortedDict[bytes, bytes | None] | None = None

    def __len__(self) -> int:
        return len(self._writes)

    def get(self, document_id: str) -> PendingWrite | None:
        """The pending write of a document."""
        return self._writes.get(document_id)

    def of_table(self, table: int) -> list[tuple[str, PendingWrite]]:
        """The pending writes of a table's documents."""
        return [each for each in self._writes.items() if each[1].table == table]

    def put(self, document_id: str, write: PendingWrite) -> None:
        """Replace the pending write of a document; it repeats `before` of the one it replaces."""
        previous = self._writes.get(document_id)
        self._undo.append((document_id, previous))
        self._writes[document_id] = write
        if self._entries is not None:
            _hide(self._entries, previous)
            _show(self._entries, write)

    def next_entry(
        self, lo: bytes, hi: bytes, *, reverse: bool
    ) -> tuple[bytes, bytes | None] | None:
        """The first touched entry with lo <= key < hi; its document, or None where none is now."""
        entries = self._entries
        if entries is None:
            entries = self._entries = SortedDict()
            for write in self._writes.values():
                _show(entries, write)
        for key in entries.irange(lo, hi, inclusive=(True, False), reverse=reverse):
            return key, entries[key]
        return None

    def savepoint(self) -> int:
        """The number of writes so far, for `roll_back`."""
        return len(self._undo)

    def roll_back(self, savepoint: int) -> None:
        """Undo every write since the savepoint."""
        while len(self._undo) > savepoint:
            document_id, previous = self._undo.pop()
            undone = self._writes.pop(document_id)
            if previous is not None:
                self._writes[document_id] = previous
            if self._entries is not None:
                _hide(self._entries, undone)
                _show(self._entries, previous)

    def changes(self) -> tuple[DocumentChange, ...]:
        """What to commit: documents that were made and deleted again leave no trace."""
        return tuple(
            [
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
            ]
        )


def _show(entries: SortedDict[bytes, bytes | None], write: PendingWrite | None) -> None:
    if write is None:
        return
    for key in write.keys_before:
        entries[key] = None
    for key in write.keys_after:
        entries[key] = write.after


def _hide(entries: SortedDict[bytes, bytes | None], write: PendingWrite | None) -> None:
    if write is None:
        return
    # A key ends with the document's id, so no other document's write has touched it.
    for key in {*write.keys_before, *write.keys_after}:
        del entries[key]

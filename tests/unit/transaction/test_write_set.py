"""Pending writes: one change a document, entries as they are now, and their undoing."""

from syncline.transaction.write_set import PendingWrite, WriteSet

LO, HI = b"a", b"z"


def stored(key: bytes, document: bytes, after: bytes | None, *keys: bytes) -> PendingWrite:
    return PendingWrite(1, document, 7, (key,), after, keys)


def inserted(after: bytes | None, *keys: bytes) -> PendingWrite:
    return PendingWrite(1, None, 0, (), after, keys)


def entries(writes: WriteSet) -> list[tuple[bytes, bytes | None]]:
    """All touched entries, forwards; the same backwards."""
    forwards: list[tuple[bytes, bytes | None]] = []
    lo = LO
    while (entry := writes.next_entry(lo, HI, reverse=False)) is not None:
        forwards.append(entry)
        lo = entry[0] + b"\x00"
    backwards: list[tuple[bytes, bytes | None]] = []
    hi = HI
    while (entry := writes.next_entry(LO, hi, reverse=True)) is not None:
        backwards.append(entry)
        hi = entry[0]
    assert backwards[::-1] == forwards
    return forwards


def test_a_moved_document_leaves_a_hole_where_it_was():
    writes = WriteSet()
    writes.put("d", stored(b"b1", b"old", b"new", b"c1"))
    assert entries(writes) == [(b"b1", None), (b"c1", b"new")]


def test_a_document_moved_twice_leaves_nothing_in_between():
    writes = WriteSet()
    writes.put("d", stored(b"b1", b"old", b"new", b"c1"))
    assert len(entries(writes)) == 2
    writes.put("d", stored(b"b1", b"old", b"newer", b"d1"))
    assert entries(writes) == [(b"b1", None), (b"d1", b"newer")]
    (change,) = writes.changes()
    assert (change.before, change.after, change.before_ts) == (b"old", b"newer", 7)
    assert change.write_keys == {b"b1", b"d1"}


def test_what_is_made_and_deleted_again_leaves_no_change():
    writes = WriteSet()
    writes.put("d", inserted(b"new", b"c1"))
    writes.put("d", inserted(None))
    assert entries(writes) == []
    assert writes.changes() == ()
    assert writes.get("d") == inserted(None)


def test_rolling_back_restores_writes_and_entries_step_by_step():
    writes = WriteSet()
    writes.put("d", stored(b"b1", b"old", b"new", b"c1"))
    before = (entries(writes), writes.changes())
    outer = writes.savepoint()
    writes.put("d", stored(b"b1", b"old", None))
    inner = writes.savepoint()
    between = (entries(writes), writes.changes())
    writes.put("d", stored(b"b1", b"old", b"again", b"b1"))
    writes.put("e", inserted(b"other", b"e2"))
    assert entries(writes) == [(b"b1", b"again"), (b"e2", b"other")]
    writes.roll_back(inner)
    assert (entries(writes), writes.changes()) == between
    writes.roll_back(outer)
    assert (entries(writes), writes.changes()) == before
    writes.roll_back(0)
    assert (entries(writes), writes.changes(), len(writes)) == ([], (), 0)


def test_the_range_of_next_entry_is_half_open():
    writes = WriteSet()
    writes.put("d", inserted(b"new", b"c1"))
    assert writes.next_entry(b"c1", b"c2", reverse=False) == (b"c1", b"new")
    assert writes.next_entry(b"c0", b"c1", reverse=True) is None
    assert writes.next_entry(b"c1\x00", b"d", reverse=False) is None

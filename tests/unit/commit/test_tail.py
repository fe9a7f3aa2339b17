"""Examples of the tail: long tails, misuse, hot documents."""

import pytest

from syncline.commit.record import Commit, DocumentChange
from syncline.commit.tail import Tail
from syncline.index.key_range import KeyRange


def write(ts: int, key: bytes, before_ts: int = 0) -> Commit:
    keys_before = (key,) if before_ts else ()
    before = b"old" if before_ts else None
    change = DocumentChange(key.hex(), 1, before, b"new", before_ts, keys_before, (key,))
    return Commit(ts, ts, ts - 1, (change,), "s", ts, b"{}")


def test_a_conflict_in_a_long_tail_is_the_earliest_one():
    tail = Tail()
    for ts in range(1, 2_001):
        tail.append(write(ts, b"%04d" % (ts % 500), before_ts=max(ts - 500, 0)))
    assert tail.conflict_since(100, [KeyRange(b"0090", b"0092")]) == (590, b"0090")
    assert tail.conflict_since(1_995, [KeyRange(b"0090", b"0092")]) is None
    assert tail.conflict_since(100, [KeyRange(b"", b"\xff")]) == (101, b"0101")


def test_a_hot_document_keeps_every_version_between_floor_and_head():
    tail = Tail()
    tail.append(write(1, b"k"))
    for ts in range(2, 50):
        tail.append(write(ts, b"k", before_ts=ts - 1))
    tail.forget(40)
    assert tail.state_at(b"k", 40) == (40, b"old")
    assert tail.state_at(b"k", 45) == (45, b"new")
    assert [ts for ts, _ in tail.versions(b"k".hex())] == list(range(41, 50))


def test_a_commit_that_is_not_newer_than_the_head_is_a_mistake():
    tail = Tail(floor=5)
    with pytest.raises(AssertionError, match="newer than the head"):
        tail.append(write(5, b"k"))


def test_what_was_forgotten_can_not_be_judged():
    tail = Tail()
    tail.append(write(3, b"k"))
    tail.forget(3)
    with pytest.raises(AssertionError, match="forgotten"):
        tail.conflict_since(2, [KeyRange(b"", b"z")])
    with pytest.raises(AssertionError, match="forgotten"):
        tail.changes_since(2)


def test_an_entry_unknown_to_the_tail_is_a_key_error():
    with pytest.raises(KeyError):
        Tail().state_at(b"k", 1)
    assert Tail().before(b"k", 1) is None
    assert Tail().entries(b"", b"\xff") == []

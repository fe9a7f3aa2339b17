"""Scans: pages and own writes in one order, the read set as far as was looked, small pages."""

from collections.abc import Callable

import pytest

from syncline.index.key_range import KeyRange
from syncline.ports import Page, RangeRead, Row
from syncline.transaction.range_scan import ROWS_PER_READ, ROWS_PER_READ_MAX, RangeScan
from syncline.transaction.write_set import PendingWrite, WriteSet

RANGE = KeyRange(b"k", b"l")


def key(n: int) -> bytes:
    return b"k%04d" % n


def stored_at(*numbers: int, size: int = 1) -> Callable[[RangeRead], Page]:
    """Answers reads from documents under these numbers, and notes what was asked."""
    asked: list[RangeRead] = []

    def answer(read: RangeRead) -> Page:
        asked.append(read)
        keys = [each for n in sorted(numbers) if read.lo <= (each := key(n)) < read.hi]
        if read.reverse:
            keys.reverse()
        rows = [Row(each, 1, b"s" * size) for each in keys[: read.limit]]
        return Page(tuple(rows), done=len(keys) <= read.limit)

    answer.asked = asked  # type: ignore[attr-defined] # what a test looks at afterwards
    return answer


def write(writes: WriteSet, n: int, after: bytes | None, *, was_stored: bool = False) -> None:
    keys = (key(n),)
    before = (b"s", 1, keys) if was_stored else (None, 0, ())
    writes.put(f"d{n}", PendingWrite(1, *before, after, keys if after is not None else ()))


def next_row(scan: RangeScan, answer: Callable[[RangeRead], Page]) -> tuple[bytes, bytes] | None:
    step = scan.next_row()
    pages = None
    try:
        while True:
            request = step.send(pages)
            pages = [answer(read) for read in request.reads]
    except StopIteration as finished:
        return finished.value


def numbers(scan: RangeScan, answer: Callable[[RangeRead], Page]) -> list[int]:
    found = []
    while (row := next_row(scan, answer)) is not None:
        found.append(int(row[0][1:]))
    return found


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("wanted", [None, 1, 2, 5])
def test_own_writes_stand_among_stored_rows_whatever_the_pages(reverse, wanted):
    writes = WriteSet()
    write(writes, 0, b"first")
    write(writes, 3, None, was_stored=True)
    write(writes, 4, b"changed", was_stored=True)
    write(writes, 5, b"between")
    write(writes, 9, b"last")
    answer = stored_at(1, 2, 3, 4, 6)
    scan = RangeScan(RANGE, writes, reverse=reverse, wanted=wanted)
    expected = [0, 1, 2, 4, 5, 6, 9]
    assert numbers(scan, answer) == (expected[::-1] if reverse else expected)
    assert (scan.tracked.lo, scan.tracked.hi) == (RANGE.lo, RANGE.hi)


def test_the_read_set_grows_row_by_row():
    answer = stored_at(1, 2, 3)
    forwards = RangeScan(RANGE, WriteSet(), reverse=False, wanted=None)
    assert forwards.tracked.lo == forwards.tracked.hi
    next_row(forwards, answer)
    assert (forwards.tracked.lo, forwards.tracked.hi) == (RANGE.lo, key(1) + b"\x00")
    backwards = RangeScan(RANGE, WriteSet(), reverse=True, wanted=None)
    next_row(backwards, answer)
    assert (backwards.tracked.lo, backwards.tracked.hi) == (key(3), RANGE.hi)


def test_rows_deleted_by_the_run_are_read_past_and_count_as_looked_at():
    writes = WriteSet()
    for n in (1, 2, 3):
        write(writes, n, None, was_stored=True)
    answer = stored_at(1, 2, 3, 4, 5)
    scan = RangeScan(RANGE, writes, reverse=False, wanted=1)
    assert next_row(scan, answer) == (key(4), b"s")
    assert scan.tracked.hi == key(4) + b"\x00"
    assert [read.limit for read in answer.asked] == [1, 2, 4]  # type: ignore[attr-defined] # set above


def test_writes_made_meanwhile_show_ahead_of_the_scan_only():
    writes = WriteSet()
    answer = stored_at(1, 2, 5)
    scan = RangeScan(RANGE, writes, reverse=False, wanted=None)
    next_row(scan, answer)
    next_row(scan, answer)
    write(writes, 0, b"behind")
    write(writes, 3, b"ahead")
    write(writes, 5, None, was_stored=True)
    assert next_row(scan, answer) == (key(3), b"ahead")
    assert next_row(scan, answer) is None


@pytest.mark.parametrize("key_range", [KeyRange(b"l", b"k"), KeyRange(b"k", b"k")])
@pytest.mark.parametrize("reverse", [False, True])
def test_an_empty_range_asks_for_nothing(key_range, reverse):
    writes = WriteSet()
    write(writes, 1, b"x")
    scan = RangeScan(key_range, writes, reverse=reverse, wanted=None)
    answer = stored_at(1)
    assert next_row(scan, answer) is None
    assert answer.asked == []  # type: ignore[attr-defined] # set above
    assert scan.tracked.lo >= scan.tracked.hi


def test_pages_grow_with_small_documents_and_shrink_with_large_ones():
    answer = stored_at(*range(1500))
    numbers(RangeScan(RANGE, WriteSet(), reverse=False, wanted=None), answer)
    limits = [read.limit for read in answer.asked]  # type: ignore[attr-defined] # set above
    assert limits == [ROWS_PER_READ, 256, 512, ROWS_PER_READ_MAX]
    answer = stored_at(*range(200), size=2**18)
    numbers(RangeScan(RANGE, WriteSet(), reverse=False, wanted=None), answer)
    assert {read.limit for read in answer.asked[1:]} == {3}  # type: ignore[attr-defined] # set above

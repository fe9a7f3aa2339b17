"""Reading a key range row by row: pages of the snapshot with the run's own writes laid over them.

The read set ends at the last key that was looked at, or at the range's end (protocols.md rule 10):
the scan moves the end of its read range along with what it hands out.
"""

from collections import deque
from collections.abc import Sequence

from syncline.index.key_range import KeyRange
from syncline.ports import Page, RangeRead
from syncline.transaction.read_request import ReadRequest
from syncline.transaction.write_set import WriteSet

ROWS_PER_READ = 128
"""Rows asked for at once when the number wanted is unknown; ours: a page of tens of kilobytes."""
ROWS_PER_READ_MAX = 1024


class TrackedRange:
    """A part of the read set that grows while it is being scanned."""

    __slots__ = ("hi", "lo")

    def __init__(self, lo: bytes, hi: bytes) -> None:
        self.lo = lo
        self.hi = hi


class RangeScan:
    """One pass over a range. `next_row` hands out (key, document) until it returns None."""

    __slots__ = ("_buffer", "_done", "_hi", "_lo", "_reverse", "_step", "_tracked", "_writes")

    def __init__(
        self,
        key_range: KeyRange,
        writes: WriteSet,
        *,
        reverse: bool,
        wanted: int | None,
    ) -> None:
        self._lo, self._hi = key_range.lo, key_range.hi
        self._writes = writes
        self._reverse = reverse
        self._step = min(wanted, ROWS_PER_READ_MAX) if wanted else ROWS_PER_READ
        self._buffer: deque[tuple[bytes, bytes]] = deque()
        self._done = self._lo >= self._hi
        self._tracked = (
            TrackedRange(self._hi, self._hi) if reverse else TrackedRange(self._lo, self._lo)
        )

    @property
    def tracked(self) -> TrackedRange:
        """What has been looked at so far."""
        return self._tracked

    async def next_row(self) -> tuple[bytes, bytes] | None:
        """The next live row; None at the end of the range, which then counts as read."""
        while not self._buffer:
            if self._done:
                self._finish()
                return None
            (page,) = await ReadRequest((self._request(),))
            self._take(page)
        row = self._buffer.popleft()
        if self._reverse:
            self._tracked.lo = row[0]
        else:
            self._tracked.hi = row[0] + b"\x00"
        return row

    def _request(self) -> RangeRead:
        read = RangeRead(self._lo, self._hi, self._step, self._reverse)
        self._step = min(self._step * 2, ROWS_PER_READ_MAX)
        return read

    def _finish(self) -> None:
        if self._reverse:
            self._tracked.lo = min(self._tracked.lo, self._lo)
        else:
            self._tracked.hi = max(self._tracked.hi, self._hi)

    def _take(self, page: Page) -> None:
        """Merge a page with the pending writes of the same stretch of keys."""
        lo, hi = self._lo, self._hi
        if not page.done:
            last = page.rows[-1].key
            if self._reverse:
                lo = last
            else:
                hi = last + b"\x00"
        self._buffer.extend(self._merge(page, self._writes.entries(lo, hi)))
        if page.done:
            self._done = True
            # What is left to read is nothing, but what was read reaches to the range's end.
        elif self._reverse:
            self._hi = lo
        else:
            self._lo = hi

    def _merge(
        self, page: Page, pending: Sequence[tuple[bytes, bytes | None]]
    ) -> list[tuple[bytes, bytes]]:
        if not pending:
            return [(row.key, row.document) for row in page.rows]
        rows = {row.key: row.document for row in page.rows}
        for key, document in pending:
            if document is None:
                rows.pop(key, None)
            else:
                rows[key] = document
        return [(key, rows[key]) for key in sorted(rows, reverse=self._reverse)]

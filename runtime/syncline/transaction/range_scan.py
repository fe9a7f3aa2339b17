"""Reading a key range row by row: pages of the snapshot with the run's own writes laid over them.

A row shows the writes made until the moment it is handed out, wherever pages begin and end. The
read set ends at the last key that was looked at, or at the range's end (protocols.md rule 10): the
scan moves the end of its part along with what it hands out.
"""

from collections import deque

from syncline.index.key_range import KeyRange
from syncline.ports import Page, RangeRead, Row
from syncline.transaction.read_request import ReadRequest
from syncline.transaction.read_set import TrackedRange
from syncline.transaction.write_set import WriteSet

ROWS_PER_READ = 128
"""Rows asked for at first when the number wanted is unknown; ours: tens of kilobytes."""
ROWS_PER_READ_MAX = 1024
BYTES_PER_READ = 2**20
"""How much a further page should hold, as far as the rows before tell; ours."""


class RangeScan:
    """One pass over a range. `next_row` hands out (key, document) until it returns None."""

    __slots__ = ("_buffer", "_end", "_hi", "_is_done", "_lo", "_reverse", "_step", "_writes",
                 "tracked")  # fmt: skip

    def __init__(
        self,
        key_range: KeyRange,
        writes: WriteSet,
        *,
        reverse: bool,
        wanted: int | None,
    ) -> None:
        lo, hi = key_range.lo, max(key_range.lo, key_range.hi)
        self._lo, self._hi = lo, hi
        self._writes = writes
        self._reverse = reverse
        self._step = min(wanted, ROWS_PER_READ_MAX) if wanted else ROWS_PER_READ
        self._buffer: deque[Row] = deque()
        self._is_done = lo == hi
        self._end = lo if reverse else hi
        self.tracked = TrackedRange(hi, hi) if reverse else TrackedRange(lo, lo)
        """What has been looked at so far."""

    async def next_row(self) -> tuple[bytes, bytes] | None:
        """The next live row; None at the end of the range, which then counts as read."""
        buffer = self._buffer
        while True:
            while not buffer and not self._is_done:
                (page,) = await ReadRequest((self._request(),))
                self._take(page)
            row = buffer[0] if buffer else None
            touched = self._next_touched(row) if self._writes else None
            if touched is None:
                if row is None:
                    self._reached_end()
                    return None
                buffer.popleft()
                self._looked_at(row.key)
                return row.key, row.document
            key, document = touched
            if row is not None and row.key == key:
                buffer.popleft()
            self._looked_at(key)
            if document is not None:
                return key, document

    def _request(self) -> RangeRead:
        return RangeRead(self._lo, self._hi, self._step, self._reverse)

    def _take(self, page: Page) -> None:
        self._buffer.extend(page.rows)
        if page.done:
            self._is_done = True
            return
        last = page.rows[-1].key
        if self._reverse:
            self._hi = last
        else:
            self._lo = last + b"\x00"
        size = sum([len(row.document) for row in page.rows])
        fitting = BYTES_PER_READ * len(page.rows) // (size + 1)
        self._step = max(1, min(self._step * 2, ROWS_PER_READ_MAX, fitting))

    def _next_touched(self, row: Row | None) -> tuple[bytes, bytes | None] | None:
        """The next entry written by this run, if it comes before `row` or in its place."""
        if self._reverse:
            lo = row.key if row is not None else self._end
            return self._writes.next_entry(lo, self.tracked.lo, reverse=True)
        hi = row.key + b"\x00" if row is not None else self._end
        return self._writes.next_entry(self.tracked.hi, hi, reverse=False)

    def _looked_at(self, key: bytes) -> None:
        if self._reverse:
            self.tracked.lo = key
        else:
            self.tracked.hi = key + b"\x00"

    def _reached_end(self) -> None:
        if self._reverse:
            self.tracked.lo = self._end
        else:
            self.tracked.hi = self._end

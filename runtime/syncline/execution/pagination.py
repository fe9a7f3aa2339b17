"""One page of a query, gapless while data changes (convex-protocol 6.4).

With an end cursor (the argument, or else the journal's) the page is everything in (cursor, end];
otherwise up to numItems documents, and the end reached goes into the journal, so that the next run
of the same subscription covers the same stretch of keys however many documents it then holds.
"""

from collections.abc import Callable
from dataclasses import dataclass

from syncline.errors import DeveloperError
from syncline.execution.calls import ContextCalls
from syncline.index.key_range import KeyRange
from syncline.limits import (
    BYTES_READ_MAX,
    DOCUMENTS_READ_MAX,
    PAGE_ITEMS_MAX,
    PAGE_ROWS_SPLIT_RECOMMENDED,
)
from syncline.query.cursor import Cursor, decode_cursor, encode_cursor, fingerprint
from syncline.registration.types import PaginationResult
from syncline.transaction.range_scan import RangeScan
from syncline.transaction.transaction import Transaction
from syncline.values.value import Value

Document = dict[str, Value]


@dataclass(frozen=True, slots=True)
class _Options:
    items: int
    cursor: str | None
    end_cursor: str | None
    rows_max: int
    bytes_max: int


def _options(options: object) -> _Options:
    if not isinstance(options, dict):
        raise DeveloperError(
            "InvalidPaginationOptions",
            "paginate takes the client's paginationOpts: declare `paginationOpts: "
            "PaginationOptions` and pass it on.",
        )
    items = options.get("numItems")
    if isinstance(items, bool) or not isinstance(items, int | float):
        raise DeveloperError(
            "InvalidPaginationOptions", f"numItems must be a number, not {items!r}."
        )
    if items < 1:
        raise DeveloperError("NoDocumentsForPagination", "numItems must be at least 1.")
    if items > PAGE_ITEMS_MAX:
        raise DeveloperError(
            "PageSizeTooLarge", f"numItems is {int(items)}, the limit is {PAGE_ITEMS_MAX}."
        )
    rows = options.get("maximumRowsRead") or DOCUMENTS_READ_MAX
    size = options.get("maximumBytesRead") or BYTES_READ_MAX
    return _Options(
        int(items),
        options.get("cursor"),
        options.get("endCursor"),
        max(1, min(int(rows), DOCUMENTS_READ_MAX)),
        max(1, min(int(size), BYTES_READ_MAX)),
    )


async def read_page(
    calls: ContextCalls,
    transaction: Transaction,
    scan_range: Callable[[KeyRange, int | None], RangeScan],
    passes: Callable[[bytes], Document | None],
    key_range: KeyRange | None,
    options: object,
    *,
    reverse: bool,
) -> PaginationResult:
    """Read one page and note its end in the journal."""
    wanted = _options(options)
    if calls.has_paginated:
        raise DeveloperError(
            "MultiplePaginatedDatabaseQueries",
            "This query or mutation function ran multiple paginated queries. Only one "
            "`paginate` is supported per function execution; use `take` for the others.",
        )
    calls.has_paginated = True
    # Without a table there is nothing to page through; the cursor is bound to the empty range.
    bounds = key_range or KeyRange(b"", b"")
    query = fingerprint(bounds, reverse=reverse)
    start = decode_cursor(wanted.cursor, query) if wanted.cursor is not None else None
    end_text = wanted.end_cursor if wanted.end_cursor is not None else calls.journal
    end = decode_cursor(end_text, query) if end_text is not None else None
    stretch = _stretch(bounds, start, end, reverse=reverse)
    page = _Page(transaction, wanted, bounded=end is not None)
    if stretch.lo < stretch.hi:
        scan = scan_range(stretch, None if end is not None else wanted.items)
        await page.fill(scan, passes)
    reached = page.reached(end)
    calls.next_journal = encode_cursor(reached, query)
    return page.result(reached, query)


def _stretch(
    bounds: KeyRange, start: Cursor | None, end: Cursor | None, *, reverse: bool
) -> KeyRange:
    """The keys in (start, end] of the range, in the direction of reading."""
    lo, hi = bounds.lo, bounds.hi
    if start is not None:
        if start.key is None:
            return KeyRange(hi, hi)
        lo, hi = (lo, min(hi, start.key)) if reverse else (max(lo, start.key + b"\x00"), hi)
    if end is not None and end.key is not None:
        lo, hi = (max(lo, end.key), hi) if reverse else (lo, min(hi, end.key + b"\x00"))
    return KeyRange(lo, hi)


class _Page:
    """Rows of a page while it is being read."""

    def __init__(self, transaction: Transaction, options: _Options, *, bounded: bool) -> None:
        self._usage = transaction.usage
        self._options = options
        self._bounded = bounded
        self._documents: list[Document] = []
        self._positions: list[bytes] = []
        self._rows = 0
        self._bytes = 0
        self._at_end = True
        self._is_cut = False

    async def fill(self, scan: RangeScan, passes: Callable[[bytes], Document | None]) -> None:
        """Read until the page is full, a read limit is near, or the stretch ends."""
        while True:
            row = await scan.next_row()
            if row is None:
                return
            key, encoded = row
            document = passes(encoded)
            self._rows += 1
            self._bytes += len(encoded)
            self._positions.append(key)
            if document is not None:
                self._documents.append(document)
            if not self._bounded and len(self._documents) >= self._options.items:
                self._at_end = False
                return
            if self._rows >= self._options.rows_max or self._bytes >= self._options.bytes_max:
                self._at_end = False
                self._is_cut = True
                return

    def reached(self, end: Cursor | None) -> Cursor:
        """Where the page ends."""
        if not self._at_end:
            return Cursor(self._positions[-1])
        return end if end is not None else Cursor(None)

    def result(self, reached: Cursor, query: bytes) -> PaginationResult:
        """The page as clients know it."""
        split: str | None = None
        if len(self._positions) > 2:
            middle = self._positions[(len(self._positions) - 1) // 2]
            split = encode_cursor(Cursor(middle), query)
        return {
            "page": self._documents,
            "isDone": reached.key is None,
            "continueCursor": encode_cursor(reached, query),
            "splitCursor": split,
            "pageStatus": self._status(),
        }

    def _status(self) -> str | None:
        if self._is_cut:
            return "SplitRequired"
        if (
            self._rows * 4 > self._options.rows_max * 3
            or self._bytes * 4 > self._options.bytes_max * 3
            or self._rows > PAGE_ROWS_SPLIT_RECOMMENDED
        ):
            return "SplitRecommended"
        return None

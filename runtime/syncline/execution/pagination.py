"""One page of a query, gapless while data changes (convex-protocol 6.4).

With an end cursor (the argument, or else the journal's) the page is everything in (cursor, end];
otherwise up to numItems documents, and the end reached goes into the journal, so that the next run
of the same subscription covers the same stretch of keys however many documents it then holds.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import cast

from syncline.errors import DeveloperError
from syncline.execution.calls import ContextCalls
from syncline.execution.search_scan import SearchScan
from syncline.index.key_range import KeyRange
from syncline.limits import (
    BYTES_READ_MAX,
    DOCUMENTS_READ_MAX,
    PAGE_ITEMS_MAX,
    PAGE_ROWS_SPLIT_RECOMMENDED,
)
from syncline.query.cursor import Cursor, decode_cursor, encode_cursor, fingerprint
from syncline.query.index_range import IndexRange
from syncline.registration.types import PaginationResult
from syncline.transaction.range_scan import RangeScan
from syncline.transaction.usage import Usage
from syncline.values.value import Value

Document = dict[str, Value]


@dataclass(frozen=True, slots=True)
class PageSource:
    """The query that a page is read from."""

    bounds: IndexRange
    index_id: bytes | None
    """None: its table does not exist, so there is nothing to page through."""
    is_reversed: bool
    scan: Callable[[KeyRange, int | None], RangeScan | SearchScan]
    """Begins to read a part of the range; about so many rows are wanted."""
    shown: Callable[[bytes], Awaitable[Document | None]]
    """Counts a row as read; the document unless a row rule hides it."""
    matches: Callable[[Document], bool]
    """Whether no filter drops a document."""


@dataclass(frozen=True, slots=True)
class _Options:
    items: int
    cursor: str | None
    end_cursor: str | None
    rows_max: int
    bytes_max: int


async def read_page(
    source: PageSource, calls: ContextCalls, usage: Usage, options: object
) -> PaginationResult:
    """Read one page and note its end in the journal.

    DeveloperError: options out of range, or a second pagination in one execution. InvalidCursor:
    a cursor (or a journal) of another query.
    """
    wanted = _options(options)
    if calls.has_paginated:
        raise DeveloperError(
            "MultiplePaginatedDatabaseQueries",
            "This query or mutation function ran multiple paginated queries. Only one "
            "`paginate` is supported per function execution; use `take` for the others.",
        )
    calls.has_paginated = True
    query = fingerprint(source.bounds, reverse=source.is_reversed)
    start = decode_cursor(wanted.cursor, query) if wanted.cursor is not None else None
    end_text = wanted.end_cursor if wanted.end_cursor is not None else calls.journal
    end = decode_cursor(end_text, query) if end_text is not None else None
    page = _Page(source, usage, wanted, is_bounded=end is not None)
    await page.fill(start, end)
    reached = page.reached(end)
    calls.next_journal = encode_cursor(reached, query)
    return page.result(reached, query)


def _stretch(
    bounds: KeyRange, prefix: bytes, start: Cursor | None, end: Cursor | None, *, reverse: bool
) -> KeyRange:
    """The keys in (start, end] of the range, in the direction of reading."""
    lo, hi = bounds.lo, bounds.hi
    if start is not None:
        if start.position is None:
            return KeyRange(hi, hi)
        after = prefix + start.position
        lo, hi = (lo, min(hi, after)) if reverse else (max(lo, after + b"\x00"), hi)
    if end is not None and end.position is not None:
        last = prefix + end.position
        lo, hi = (max(lo, last), hi) if reverse else (lo, min(hi, last + b"\x00"))
    return KeyRange(lo, hi)


class _Page:
    """Rows of a page while it is being read."""

    def __init__(
        self, source: PageSource, usage: Usage, options: _Options, *, is_bounded: bool
    ) -> None:
        self._source = source
        self._options = options
        self._is_bounded = is_bounded
        # What the run has left to read: a page is cut before the run would fail.
        self._run_rows_left = DOCUMENTS_READ_MAX - usage.documents_read
        self._run_bytes_left = BYTES_READ_MAX - usage.bytes_read
        # What the client wants read at most. Hidden documents don't count: it could count them.
        self._rows_left = min(options.rows_max, self._run_rows_left)
        self._bytes_left = min(options.bytes_max, self._run_bytes_left)
        self._documents: list[Document] = []
        self._positions: list[bytes] = []
        self._is_at_end = True
        self._is_cut = False

    async def fill(self, start: Cursor | None, end: Cursor | None) -> None:
        """Read until the page is full, a read limit is near, or the stretch ends."""
        source = self._source
        if source.index_id is None:
            return
        bounds = source.bounds.key_range(source.index_id)
        stretch = _stretch(bounds, source.index_id, start, end, reverse=source.is_reversed)
        scan = source.scan(stretch, None if self._is_bounded else self._options.items)
        while (row := await scan.next_row()) is not None:
            key, encoded = row
            self._run_rows_left -= 1
            self._run_bytes_left -= len(encoded)
            if self._positions and min(self._run_rows_left, self._run_bytes_left) < 0:
                self._cut()
                return
            document = await source.shown(encoded)
            if document is None:
                # Its position would tell its key: cursors stand at documents that are shown.
                continue
            self._rows_left -= 1
            self._bytes_left -= len(encoded)
            if self._positions and min(self._rows_left, self._bytes_left) < 0:
                self._cut()
                return
            self._positions.append(key[len(source.index_id) :])
            if source.matches(document):
                self._documents.append(document)
            if not self._is_bounded and len(self._documents) >= self._options.items:
                self._is_at_end = False
                return

    def _cut(self) -> None:
        self._is_cut = True
        self._is_at_end = False

    def reached(self, end: Cursor | None) -> Cursor:
        """Where the page ends."""
        if not self._is_at_end:
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
            "isDone": reached.position is None,
            "continueCursor": encode_cursor(reached, query),
            "splitCursor": split,
            "pageStatus": self._status(),
        }

    def _status(self) -> str | None:
        if self._is_cut:
            return "SplitRequired"
        options = self._options
        if (
            self._rows_left * 4 < options.rows_max
            or self._bytes_left * 4 < options.bytes_max
            or len(self._positions) > PAGE_ROWS_SPLIT_RECOMMENDED
        ):
            return "SplitRecommended"
        return None


def _options(options: object) -> _Options:
    if not isinstance(options, Mapping):
        raise _invalid(
            "paginate takes the client's paginationOpts: declare `paginationOpts: "
            "PaginationOptions` and pass it on."
        )
    given = cast("Mapping[str, object]", options)
    items = _number(given, "numItems", None)
    if items < 1:
        raise DeveloperError("NoDocumentsForPagination", "numItems must be at least 1.")
    if items > PAGE_ITEMS_MAX:
        raise DeveloperError(
            "PageSizeTooLarge", f"numItems is {int(items)}, the limit is {PAGE_ITEMS_MAX}."
        )
    return _Options(
        int(items),
        _cursor(given, "cursor"),
        _cursor(given, "endCursor"),
        int(min(max(1, _number(given, "maximumRowsRead", DOCUMENTS_READ_MAX)), DOCUMENTS_READ_MAX)),
        int(min(max(1, _number(given, "maximumBytesRead", BYTES_READ_MAX)), BYTES_READ_MAX)),
    )


def _number(options: Mapping[str, object], name: str, default: int | None) -> float:
    number = options.get(name)
    if number is None and default is not None:
        return default
    if isinstance(number, bool) or not isinstance(number, int | float) or math.isnan(number):
        raise _invalid(f"{name} must be a number, not {number!r}.")
    return number


def _cursor(options: Mapping[str, object], name: str) -> str | None:
    cursor = options.get(name)
    if cursor is not None and not isinstance(cursor, str):
        raise _invalid(f"{name} must be a string or None, not {cursor!r}.")
    return cursor


def _invalid(problem: str) -> DeveloperError:
    return DeveloperError("InvalidPaginationOptions", problem)

"""`ctx.db.query(table)`: a query that is built step by step and read once (convex-protocol 6.3)."""

from collections.abc import Awaitable, Callable
from typing import Literal, Self

from syncline.errors import DeveloperError
from syncline.execution.calls import ContextCall, ContextCalls
from syncline.execution.pagination import PageSource, read_page
from syncline.execution.row_rules import RowGuard
from syncline.execution.search_scan import SearchScan
from syncline.index.key_range import KeyRange
from syncline.query.index_range import IndexRange
from syncline.query.search_filter import SearchFilter
from syncline.registration.types import PaginationResult
from syncline.schema.catalog import IndexInfo, TableInfo, TextTarget
from syncline.transaction.range_scan import RangeScan
from syncline.transaction.transaction import Transaction, decode_document
from syncline.values.value import Value

Document = dict[str, Value]
Predicate = Callable[[Document], object]
RangeBuilder = Callable[[IndexRange], IndexRange]
SearchBuilder = Callable[[SearchFilter], SearchFilter]

_DEFAULT_INDEX = "by_creation_time"
_IMPLIED_FIELDS = {"by_id": ("_id",), _DEFAULT_INDEX: ("_creationTime",)}


class Query:
    """A query over one table, by creation time unless an index is named. Single-use."""

    __slots__ = (
        "_calls", "_filters", "_guard", "_index", "_is_used", "_order", "_range", "_search",
        "_table", "_transaction",
    )  # fmt: skip

    def __init__(
        self,
        calls: ContextCalls,
        transaction: Transaction,
        table: str,
        guard: RowGuard | None = None,
    ) -> None:
        """`guard`: what decides which of the table's documents the caller sees; None: all."""
        transaction.reads.add_table(table)
        self._guard = guard
        self._calls = calls
        self._transaction = transaction
        self._table = table
        self._index: str | None = None
        self._range: IndexRange | None = None
        self._search: SearchFilter | None = None
        self._order: Literal["asc", "desc"] | None = None
        self._filters: list[Predicate] = []
        self._is_used = False

    # Building

    def with_index(self, name: str, build: RangeBuilder | None = None, /) -> Self:
        """Read through an index, all of it or the range that `build` makes: `lambda q: q.eq(...)`.

        Raises DeveloperError("IndexNotFound") naming the table's indexes.
        """
        self._require_no_index()
        whole = IndexRange(f"{self._table}.{name}", self._index_fields(name))
        built = build(whole) if build is not None else whole
        if not isinstance(built, IndexRange) or built.index != whole.index:  # pyright: ignore[reportUnnecessaryIsInstance] # user input
            raise DeveloperError(
                "InvalidIndexRange",
                f"The range of index {whole.index} must return its own q after the last call, for "
                f"example `lambda q: q.eq(...)`; it returned {type(built).__name__}.",
            )
        self._index, self._range = name, built
        return self

    def with_search_index(self, name: str, build: SearchBuilder, /) -> Self:
        """Find documents by words, best matches first: `lambda q: q.search(field, text).eq(...)`.

        Raises DeveloperError("IndexNotFound") naming the table's search indexes.
        """
        self._require_no_index()
        if self._order is not None:
            raise _ordered_search()
        index = self._index_info(name, is_search=True)
        target = index.target
        assert isinstance(target, TextTarget)
        whole = SearchFilter(f"{self._table}.{name}", target.field, index.fields, target.tokenizer)
        built = build(whole)
        if (
            not isinstance(built, SearchFilter)  # pyright: ignore[reportUnnecessaryIsInstance] # user input
            or built.index != whole.index
            or built.text is None
        ):
            raise DeveloperError(
                "InvalidSearch",
                f"The search on index {whole.index} must call q.search(field, text) and return its "
                "own q after the last call: `lambda q: q.search(...).eq(...)`.",
            )
        self._index, self._search = name, built
        return self

    def order(self, order: Literal["asc", "desc"], /) -> Self:
        """The index's order (the default) or its reverse; at most once."""
        self._require_unused()
        if self._order is not None:
            raise DeveloperError("OrderTwice", "A query can be ordered once only.")
        if self._search is not None:
            raise _ordered_search()
        if order not in ("asc", "desc"):
            raise DeveloperError("InvalidOrder", f'order takes "asc" or "desc", not {order!r}.')
        self._order = order
        return self

    def filter(self, predicate: Predicate, /) -> Self:
        """Keep documents for which `predicate(document)` is true; the others count as read."""
        self._require_unused()
        self._filters.append(predicate)
        return self

    # Reading

    def collect(self) -> ContextCall[list[Document]]:
        """All documents."""
        self._use()
        return self._calls.made("ctx.db.query(...).collect", self._read(None))

    def take(self, n: int, /) -> ContextCall[list[Document]]:
        """The first `n` documents, n >= 0."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:  # pyright: ignore[reportUnnecessaryIsInstance] # user input
            raise DeveloperError("InvalidTake", f"take needs a whole number >= 0, not {n!r}.")
        self._use()
        return self._calls.made("ctx.db.query(...).take", self._read(n))

    def first(self) -> ContextCall[Document | None]:
        """The first document, or None."""
        self._use()
        return self._calls.made("ctx.db.query(...).first", self._first())

    def unique(self) -> ContextCall[Document | None]:
        """The only document, or None; DeveloperError("NotUnique") if there are more."""
        self._use()
        return self._calls.made("ctx.db.query(...).unique", self._unique())

    def paginate(self, options: object, /) -> ContextCall[PaginationResult]:
        """One page, from `paginationOpts` (6.4). One pagination per function execution."""
        self._use()
        return self._calls.made("ctx.db.query(...).paginate", self._paginate(options))

    def __aiter__(self) -> "DocumentIterator":
        self._use()
        return DocumentIterator(self._open(None), self._passes)

    async def _read(self, limit: int | None) -> list[Document]:
        found: list[Document] = []
        scan = self._open(limit) if limit != 0 else None
        if scan is None:
            return found
        while (row := await scan.next_row()) is not None:
            document = await self._passes(row[1])
            if document is not None:
                found.append(document)
                if len(found) == limit:
                    break
        return found

    async def _first(self) -> Document | None:
        found = await self._read(1)
        return found[0] if found else None

    async def _unique(self) -> Document | None:
        found = await self._read(2)
        if len(found) > 1:
            ids = ", ".join(str(document["_id"]) for document in found)
            raise DeveloperError(
                "NotUnique",
                "unique() query returned more than one result from table "
                f"{self._table}:\n [{ids}, ...]",
            )
        return found[0] if found else None

    async def _paginate(self, options: object) -> PaginationResult:
        source = PageSource(
            self._bounds(),
            self._index_id(),
            self._order == "desc",
            lambda part, wanted: self._scan(part, self._rows_for(wanted)),
            self._shown,
            self._matches,
        )
        return await read_page(source, self._calls, self._transaction.usage, options)

    def _open(self, wanted: int | None) -> RangeScan | SearchScan | None:
        """Begin to read; None when the table does not exist (yet)."""
        index_id = self._index_id()
        if index_id is None:
            return None
        return self._scan(self._bounds().key_range(index_id), self._rows_for(wanted))

    def _rows_for(self, wanted: int | None) -> int | None:
        """About how many rows hold so many results; None: unknown, since some are dropped."""
        return None if self._filters or self._guard else wanted

    def _scan(self, key_range: KeyRange, wanted: int | None) -> RangeScan | SearchScan:
        self._transaction.usage.read_range()
        if self._search is not None:
            assert self._index is not None
            table = self._transaction.table(self._table)
            assert table is not None, "a search index was found in it"
            index = table.indexes[self._index]
            return SearchScan(self._transaction, table, index, self._search, key_range, wanted)
        return self._transaction.scan(key_range, reverse=self._order == "desc", wanted=wanted)

    async def _passes(self, encoded: bytes) -> Document | None:
        """The document of a row, if the caller may see it and no filter drops it."""
        document = await self._shown(encoded)
        # Filters are the caller's: they must not see what rules hide.
        return document if document is not None and self._matches(document) else None

    async def _shown(self, encoded: bytes) -> Document | None:
        """Count a row as read; the document unless a rule hides it."""
        self._transaction.usage.read_document(len(encoded))
        document = decode_document(encoded)
        if self._guard is not None and not await self._guard.shows(document):
            return None
        return document

    def _matches(self, document: Document) -> bool:
        return not self._filters or all(predicate(document) for predicate in self._filters)

    def _bounds(self) -> IndexRange:
        if self._search is not None:
            return self._search.results()
        if self._range is not None:
            return self._range
        return IndexRange(f"{self._table}.{_DEFAULT_INDEX}", _IMPLIED_FIELDS[_DEFAULT_INDEX])

    def _index_id(self) -> bytes | None:
        # Looked up when the reading begins: this run may have made the table after the query.
        table = self._transaction.catalog.table(self._table)
        return None if table is None else table.indexes[self._index or _DEFAULT_INDEX].index_id

    def _index_fields(self, name: str) -> tuple[str, ...]:
        if name in _IMPLIED_FIELDS:
            return _IMPLIED_FIELDS[name]
        return (*self._index_info(name, is_search=False).fields, "_creationTime")

    def _index_info(self, name: str, *, is_search: bool) -> IndexInfo:
        table = self._transaction.catalog.table(self._table)
        index = table.indexes.get(name) if table is not None else None
        if index is None or not index.is_queryable or not _serves(index, is_search=is_search):
            raise _index_not_found(self._table, name, table, is_search=is_search)
        return index

    def _require_no_index(self) -> None:
        self._require_unused()
        if self._index is not None:
            raise DeveloperError(
                "SecondIndex", f"The query on {self._table!r} already uses {self._index!r}."
            )

    def _use(self) -> None:
        self._require_unused()
        self._is_used = True

    def _require_unused(self) -> None:
        if self._is_used:
            raise DeveloperError(
                "QueryUsedTwice",
                f"The query on {self._table!r} has been read already; build a new one.",
            )


class DocumentIterator:
    """`async for document in query`: documents are read as they are asked for."""

    __slots__ = ("_passes", "_scan")

    def __init__(
        self,
        scan: RangeScan | SearchScan | None,
        passes: Callable[[bytes], Awaitable[Document | None]],
    ) -> None:
        self._scan = scan
        self._passes = passes

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Document:
        while self._scan is not None and (row := await self._scan.next_row()) is not None:
            document = await self._passes(row[1])
            if document is not None:
                return document
        raise StopAsyncIteration


def _serves(index: IndexInfo, *, is_search: bool) -> bool:
    return isinstance(index.target, TextTarget) if is_search else index.target is None


def _index_not_found(
    table: str, name: str, info: TableInfo | None, *, is_search: bool
) -> DeveloperError:
    indexes = info.all_indexes if info else ()
    known = [
        each.name for each in indexes if each.is_queryable and _serves(each, is_search=is_search)
    ]
    named = info.indexes.get(name) if info else None
    if named is None:
        why = "does not exist"
    elif not _serves(named, is_search=is_search):
        why = "is an index of another kind"
    else:
        why = "is still being built"
    kind, declare = (
        ("Search index", f'.search_index("{name}", search_field=...)')
        if is_search
        else ("Index", f'.index("{name}", [...])')
    )
    return DeveloperError(
        "IndexNotFound",
        f"{kind} {table}.{name} {why}. {kind}es of {table!r}: {known}. Declare it in schema.py: "
        f"define_table(...){declare}.",
    )


def _ordered_search() -> DeveloperError:
    return DeveloperError(
        "OrderedSearch", "A search is ordered by how well documents match; it takes no order(...)."
    )

"""`ctx.db.query(table)`: a query that is built step by step and read once (convex-protocol 6.3)."""

from collections.abc import AsyncIterator, Callable
from typing import Literal, Self

from syncline.errors import DeveloperError
from syncline.execution.calls import ContextCalls
from syncline.index.key_range import KeyRange
from syncline.query.index_range import IndexRange
from syncline.registration.types import PaginationResult
from syncline.schema.catalog import IndexInfo, TableInfo
from syncline.transaction.range_scan import RangeScan
from syncline.transaction.transaction import Transaction, decode_document
from syncline.values.value import Value

Document = dict[str, Value]
Predicate = Callable[[Document], object]
RangeBuilder = Callable[[IndexRange], IndexRange]


class Query:
    """A query over one table, by creation time unless an index is named. Single-use."""

    def __init__(self, calls: ContextCalls, transaction: Transaction, table: str) -> None:
        self._calls = calls
        self._transaction = transaction
        self._table_name = table
        self._table = transaction.table(table)
        self._index: str | None = None
        self._range: RangeBuilder | None = None
        self._order: Literal["asc", "desc"] | None = None
        self._filters: list[Predicate] = []
        self._is_used = False

    # Building

    def with_index(self, name: str, build: RangeBuilder | None = None, /) -> Self:
        """Read through an index, all of it or the range that `build` makes: `lambda q: q.eq(...)`.

        Raises DeveloperError("IndexNotFound") naming the table's indexes.
        """
        self._require_unused()
        if self._index is not None:
            raise DeveloperError(
                "SecondIndex", f"The query on {self._table_name!r} already uses {self._index!r}."
            )
        self._index, self._range = name, build
        self._bounds()
        return self

    def order(self, order: Literal["asc", "desc"], /) -> Self:
        """The index's order (the default) or its reverse; at most once."""
        self._require_unused()
        if self._order is not None:
            raise DeveloperError("OrderTwice", "A query can be ordered once only.")
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

    async def collect(self) -> list[Document]:
        """All documents."""
        return [document async for document in self._documents(None)]

    async def take(self, n: int, /) -> list[Document]:
        """The first `n` documents, n >= 0."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:  # pyright: ignore[reportUnnecessaryIsInstance] # user input
            raise DeveloperError("InvalidTake", f"take needs a whole number >= 0, not {n!r}.")
        found: list[Document] = []
        if n == 0:
            self._use()
            return found
        async for document in self._documents(n):
            found.append(document)
            if len(found) == n:
                break
        return found

    async def first(self) -> Document | None:
        """The first document, or None."""
        found = await self.take(1)
        return found[0] if found else None

    async def unique(self) -> Document | None:
        """The only document, or None; DeveloperError("NotUnique") if there are more."""
        found = await self.take(2)
        if len(found) > 1:
            ids = ", ".join(str(document["_id"]) for document in found)
            raise DeveloperError(
                "NotUnique",
                "unique() query returned more than one result from table "
                f"{self._table_name}:\n [{ids}]",
            )
        return found[0] if found else None

    def __aiter__(self) -> AsyncIterator[Document]:
        return self._documents(None)

    async def paginate(self, options: object, /) -> PaginationResult:
        """One page, from `paginationOpts` (6.4). One pagination per function execution."""
        self._use()
        from syncline.execution.pagination import read_page

        return await read_page(
            self._calls,
            self._transaction,
            self._scan,
            self._passes,
            self.key_range(),
            options,
            reverse=self._order == "desc",
        )

    async def _documents(self, wanted: int | None) -> AsyncIterator[Document]:
        self._use()
        key_range = self.key_range()
        if key_range is None:
            return
        scan = self._scan(key_range, wanted if not self._filters else None)
        while (row := await scan.next_row()) is not None:
            document = self._passes(row[1])
            if document is not None:
                yield document

    def _scan(self, key_range: KeyRange, wanted: int | None) -> RangeScan:
        self._transaction.usage.read_range()
        return self._transaction.scan(key_range, reverse=self._order == "desc", wanted=wanted)

    def _passes(self, encoded: bytes) -> Document | None:
        """Count a row as read; the document if no filter drops it."""
        self._transaction.usage.read_document(len(encoded))
        document = decode_document(encoded)
        for predicate in self._filters:
            if not predicate(document):
                return None
        return document

    def key_range(self) -> KeyRange | None:
        """What the query reads; None when its table does not exist (yet)."""
        bounds = self._bounds()
        if self._table is None or bounds is None:
            return None
        index, builder = bounds
        return builder.key_range(index.index_id)

    def _bounds(self) -> tuple[IndexInfo, IndexRange] | None:
        table = self._table
        if table is None:
            if self._index is not None and self._index not in ("by_id", "by_creation_time"):
                raise _index_not_found(self._table_name, self._index, None)
            return None
        name = self._index or "by_creation_time"
        index = table.indexes.get(name)
        if index is None or not index.is_queryable:
            raise _index_not_found(self._table_name, name, table)
        implied = ("_id",) if name == "by_id" else (*index.fields, "_creationTime")
        empty = IndexRange(f"{self._table_name}.{name}", implied)
        if self._range is None:
            return index, empty
        built = self._range(empty)
        if not isinstance(built, IndexRange):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
            raise DeveloperError(
                "InvalidIndexRange",
                f"The range of index {empty.index} must return q after its last call, for "
                f"example `lambda q: q.eq(...)`; it returned {type(built).__name__}.",
            )
        return index, built

    def _use(self) -> None:
        self._require_unused()
        self._is_used = True

    def _require_unused(self) -> None:
        if self._is_used:
            raise DeveloperError(
                "QueryUsedTwice",
                f"The query on {self._table_name!r} has been read already; build a new one.",
            )


def _index_not_found(table: str, name: str, info: TableInfo | None) -> DeveloperError:
    known = [index.name for index in info.all_indexes if index.is_queryable] if info else []
    being_built = info is not None and name in info.indexes
    why = "is still being built" if being_built else "does not exist"
    return DeveloperError(
        "IndexNotFound",
        f"Index {table}.{name} {why}. Indexes of {table!r}: {known}. Declare it in schema.py: "
        f'define_table(...).index("{name}", [...]).',
    )

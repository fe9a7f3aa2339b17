"""`ctx.vector_search`: the documents whose vectors are nearest, the run's own writes among them."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

from syncline.errors import DeveloperError
from syncline.execution.row_rules import RowGuard
from syncline.limits import SEARCH_RESULTS_MAX, VECTOR_RESULTS_MAX
from syncline.ports import Row, VectorRead
from syncline.query.search_entries import vector_entry
from syncline.query.vector_filter import VectorFilter, no_condition
from syncline.schema.catalog import IndexInfo, TableInfo, VectorTarget
from syncline.search.vectors import UnitVector, nearness, unit_vector
from syncline.transaction.read_request import ReadRequest
from syncline.transaction.transaction import Transaction, decode_document

VectorFilterBuilder = Callable[[VectorFilter], VectorFilter]


class VectorResult(TypedDict):
    """One result: a document's id and its cosine similarity, -1 to 1."""

    _id: str
    _score: float


async def vector_search(
    transaction: Transaction,
    place: tuple[str, str],
    vector: Sequence[float],
    limit: int,
    build: VectorFilterBuilder | None,
    guard: RowGuard | None,
) -> list[VectorResult]:
    """The nearest documents of `place` (table and index), nearest first.

    Where rows are ruled, those among the nearest 1,024 that the caller may see. DeveloperError: no
    such index, a vector of another length, a limit or filter out of range.
    """
    table, index = _found_index(transaction, *place)
    name = ".".join(place)
    wanted = _wanted(name, index, vector)
    _require_limit(name, limit)
    conditions = _conditions(name, index, build)
    transaction.usage.read_range()
    for scope in conditions.scope(index.index_id):
        transaction.reads.add_range(scope)
    written = dict(transaction.written(table))
    asked = SEARCH_RESULTS_MAX if guard is not None else limit + len(written)
    read = VectorRead(index.index_id, wanted.tobytes(), conditions.any_of, asked, guard is not None)
    (page,) = await ReadRequest((read,))
    rows = [row for row in page.rows if nearness(row.key)[1] not in written]
    rows += _own(index, written, wanted, conditions)
    shown: list[VectorResult] = []
    for row in sorted(rows, key=lambda row: row.key):
        if guard is None or await _shows(transaction, guard, row):
            score, document_id = nearness(row.key)
            shown.append({"_id": document_id, "_score": score})
            if len(shown) == limit:
                break
    return shown


def _found_index(transaction: Transaction, table: str, name: str) -> tuple[TableInfo, IndexInfo]:
    info = transaction.table(table)
    indexes = info.all_indexes if info is not None else ()
    known = [
        each for each in indexes if isinstance(each.target, VectorTarget) and each.is_queryable
    ]
    for each in known:
        if info is not None and each.name == name:
            return info, each
    raise DeveloperError(
        "IndexNotFound",
        f"Vector index {table}.{name} does not exist. Vector indexes of {table!r}: "
        f"{[each.name for each in known]}. Declare it in schema.py: define_table(...)."
        f'vector_index("{name}", vector_field=..., dimensions=...).',
    )


def _wanted(name: str, index: IndexInfo, vector: Sequence[float]) -> UnitVector:
    target = index.target
    assert isinstance(target, VectorTarget)
    if not isinstance(vector, Sequence) or isinstance(vector, str | bytes):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
        raise DeveloperError(
            "InvalidVector",
            f"The vector search on index {name} takes a list of numbers, not "
            f"{type(vector).__name__}.",
        )
    wanted = unit_vector(vector, target.dimensions)
    if wanted is None:
        raise DeveloperError(
            "InvalidVector",
            f"The vector search on index {name} takes {target.dimensions} finite numbers, the "
            f"index's dimensions; the vector has {len(vector)} elements.",
        )
    return wanted


def _require_limit(name: str, limit: int) -> None:
    is_number = isinstance(limit, int) and not isinstance(limit, bool)  # pyright: ignore[reportUnnecessaryIsInstance] # user input
    if not is_number or not 1 <= limit <= VECTOR_RESULTS_MAX:
        raise DeveloperError(
            "InvalidVectorLimit",
            f"The vector search on index {name} takes a limit of 1 to {VECTOR_RESULTS_MAX}, "
            f"not {limit!r}.",
        )


def _conditions(name: str, index: IndexInfo, build: VectorFilterBuilder | None) -> VectorFilter:
    whole = VectorFilter(name, index.fields)
    if build is None:
        return whole
    built = build(whole)
    if not isinstance(built, VectorFilter) or built.index != name or not built.any_of:  # pyright: ignore[reportUnnecessaryIsInstance] # user input
        raise no_condition(name)
    return built


def _own(
    index: IndexInfo,
    written: Mapping[str, bytes | None],
    wanted: UnitVector,
    conditions: VectorFilter,
) -> list[Row]:
    """This run's documents that match."""
    rows: list[Row] = []
    for document_id, encoded in written.items():
        entry = vector_entry(index, decode_document(encoded)) if encoded is not None else None
        rank = entry and entry.rank(wanted, conditions.any_of, document_id)
        if rank and encoded is not None:
            rows.append(Row(rank, 0, encoded))
    return rows


async def _shows(transaction: Transaction, guard: RowGuard, row: Row) -> bool:
    transaction.usage.read_document(len(row.document))
    return await guard.shows(decode_document(row.document))

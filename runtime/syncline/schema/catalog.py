"""The deployment's tables at one ts, as a value derived from the rows of `_tables`.

System tables are built in and the same for everyone. A function that touches table "t" has the
range of "t" in the index `_tables.by_name` in its read set, so a change of its row wakes it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType

from syncline.errors import DeveloperError
from syncline.index.index_definition import (
    BY_CREATION_TIME,
    BY_ID,
    FIRST_USER_ORDINAL,
    entry_suffix,
    index_id,
    prefixed_key,
)
from syncline.index.key_encoding import encode_value, values_range
from syncline.index.key_range import KeyRange
from syncline.limits import TABLES_MAX
from syncline.schema.validator_types import Validator
from syncline.schema.validators import validator_from_json
from syncline.values.value import Value

FIRST_USER_TABLE = 10_001


@dataclass(frozen=True, slots=True)
class TextTarget:
    """What a search index searches."""

    field: str
    tokenizer: str


@dataclass(frozen=True, slots=True)
class VectorTarget:
    """What a vector index searches."""

    field: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """One index of a table; `fields` without the implied _creationTime and _id.

    A search or vector index has entries over its filter fields: whatever a search with some filters
    could find lies in one key range, which is its read set (docs/search.md).
    """

    name: str
    ordinal: int
    fields: tuple[str, ...]
    state: str
    """ "ready", "pending" (being built by a push) or "staged"."""
    index_id: bytes
    target: TextTarget | VectorTarget | None = None
    """None: an ordinary index."""

    @property
    def is_queryable(self) -> bool:
        """Whether functions may use it."""
        return self.state == "ready"


@dataclass(frozen=True)
class TableInfo:
    """One table. `all_indexes` holds every index that entries are kept for, in ordinal order."""

    name: str
    number: int
    row: Mapping[str, Value] | None
    all_indexes: tuple[IndexInfo, ...]
    validator: Validator | None = None
    pending_validator: Validator | None = None

    @cached_property
    def indexes(self) -> Mapping[str, IndexInfo]:
        """By name; of two with one name (a push is replacing it) the one that can be queried."""
        found: dict[str, IndexInfo] = {}
        for index in self.all_indexes:
            if index.name not in found or index.is_queryable:
                found[index.name] = index
        return MappingProxyType(found)

    @cached_property
    def _prefixes(self) -> tuple[tuple[bytes, tuple[str, ...]], ...]:
        return tuple((index.index_id, index.fields) for index in self.all_indexes[1:])

    def keys(self, document: Mapping[str, Value], document_id: str) -> tuple[bytes, ...]:
        """The document's entry key in every index, in ordinal order, pending ones included."""
        suffix = entry_suffix(document, document_id)
        by_id = self.all_indexes[0].index_id + encode_value(document_id)
        return (
            by_id,
            *[prefixed_key(prefix, fields, document, suffix) for prefix, fields in self._prefixes],
        )


def _implied(number: int) -> tuple[IndexInfo, IndexInfo]:
    return (
        IndexInfo("by_id", BY_ID, (), "ready", index_id(number, BY_ID)),
        IndexInfo(
            "by_creation_time", BY_CREATION_TIME, (), "ready", index_id(number, BY_CREATION_TIME)
        ),
    )


def _system(name: str, number: int, *by: str) -> TableInfo:
    """`by`: an index each, fields of one with "," between them."""
    indexes = [
        IndexInfo(
            f"by_{fields.replace(',', '_')}",
            FIRST_USER_ORDINAL + at,
            tuple(fields.split(",")),
            "ready",
            index_id(number, FIRST_USER_ORDINAL + at),
        )
        for at, fields in enumerate(by)
    ]
    return TableInfo(name, number, None, (*_implied(number), *indexes))


TABLES = _system("_tables", 512, "name", "number")
MODULES = _system("_modules", 513, "path")
DEPLOYMENT = _system("_deployment", 514)
ENVIRONMENT_VARIABLES = _system("_environment_variables", 515, "name")
STORAGE = _system("_storage", 516)
FILES = _system("_files", 523, "storageId", "key")
CRON_JOBS = _system("_cron_jobs", 520, "next")
FILES_PENDING = _system("_files_pending", 522, "expires")
SCHEDULED_JOBS = _system("_scheduled_jobs", 524, "kind,due", "job")
SYSTEM_TABLES: tuple[TableInfo, ...] = (
    TABLES,
    MODULES,
    DEPLOYMENT,
    ENVIRONMENT_VARIABLES,
    STORAGE,
    _system("_scheduled_functions", 517),
    _system("_exports", 518),
    _system("_snapshot_imports", 519),
    CRON_JOBS,
    FILES_PENDING,
    FILES,
    SCHEDULED_JOBS,
)


_RANGES_KEPT = 4096
"""Every call reads its module's row, and those of the tables that it names: the same ones."""


def _equal_range(table: TableInfo, index: str, value: str) -> KeyRange:
    return values_range(table.indexes[index].index_id + encode_value(value))


@lru_cache(maxsize=_RANGES_KEPT)
def name_range(name: str) -> KeyRange:
    """The range of `_tables.by_name` that holds the row of a table."""
    return _equal_range(TABLES, "by_name", name)


@lru_cache(maxsize=_RANGES_KEPT)
def module_range(path: str) -> KeyRange:
    """The range of `_modules.by_path` that holds the row of a module ("dir/mod")."""
    return _equal_range(MODULES, "by_path", path)


def environment_range(name: str) -> KeyRange:
    """The range of `_environment_variables.by_name` that holds a variable's row."""
    return _equal_range(ENVIRONMENT_VARIABLES, "by_name", name)


def too_many_tables(count: int) -> DeveloperError:
    """The error for a deployment that would have `count` tables (convex-protocol 6.8)."""
    return DeveloperError(
        "TooManyTables",
        f"The deployment would have {count} tables (limit: {TABLES_MAX}). Keep documents of one "
        "kind in one table, told apart by a field.",
    )


def table_from_row(row: Mapping[str, Value]) -> TableInfo:
    """A table from its `_tables` row."""
    number = row["number"]
    assert isinstance(number, int)
    indexes: list[IndexInfo] = []
    rows = row["indexes"]
    assert isinstance(rows, list)
    for each in rows:
        assert isinstance(each, dict)
        ordinal, fields = each["ordinal"], each["fields"]
        assert isinstance(ordinal, int)
        assert isinstance(fields, list)
        names = tuple(str(field) for field in fields)
        indexes.append(
            IndexInfo(
                str(each["name"]),
                ordinal,
                names,
                str(each["state"]),
                index_id(number, ordinal),
                _target(each),
            )
        )
    indexes.sort(key=lambda index: index.ordinal)
    return TableInfo(
        str(row["name"]),
        number,
        row,
        (*_implied(number), *indexes),
        _validator(row["validator"]),
        _validator(row["pendingValidator"]),
    )


def _target(row: Mapping[str, Value]) -> TextTarget | VectorTarget | None:
    match row:
        case {"search": {"field": str(field), "tokenizer": str(tokenizer)}}:
            return TextTarget(field, tokenizer)
        case {"vector": {"field": str(field), "dimensions": int(dimensions)}}:
            return VectorTarget(field, dimensions)
        case _:
            return None


def _validator(data: Value) -> Validator | None:
    return None if data is None else validator_from_json(data)


class Catalog:
    """All tables at one ts; immutable. `version` is the ts of the newest commit that changed it."""

    __slots__ = ("_by_id", "_by_name", "_by_number", "version")

    def __init__(self, by_id: Mapping[str, TableInfo], version: int) -> None:
        self.version = version
        self._by_id = by_id
        self._by_name = {table.name: table for table in (*SYSTEM_TABLES, *by_id.values())}
        self._by_number = {table.number: table for table in self._by_name.values()}

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Value]], version: int) -> "Catalog":
        """From all rows of `_tables`."""
        return cls({str(row["_id"]): table_from_row(row) for row in rows}, version)

    def with_rows(
        self, changed: Mapping[str, Mapping[str, Value] | None], version: int
    ) -> "Catalog":
        """After a commit that changed these rows (by document id; None: deleted)."""
        by_id = dict(self._by_id)
        for document_id, row in changed.items():
            if row is None:
                by_id.pop(document_id, None)
            else:
                by_id[document_id] = table_from_row(row)
        return Catalog(by_id, version)

    def rows(self) -> list[Mapping[str, Value]]:
        """The rows that this catalog comes from."""
        return [table.row for table in self._by_id.values() if table.row is not None]

    def table(self, name: str) -> TableInfo | None:
        """The table of that name, system tables included."""
        return self._by_name.get(name)

    def table_by_number(self, number: int) -> TableInfo | None:
        """The table of that number, system tables included."""
        return self._by_number.get(number)

    def name_of(self, number: int) -> str | None:
        """A table's name by number: what v.id(...) checks against."""
        table = self._by_number.get(number)
        return table.name if table else None

    def user_tables(self) -> list[TableInfo]:
        """Tables of the user, by name."""
        return sorted(self._by_id.values(), key=lambda table: table.name)

"""define_schema and define_table: the declared shape of a deployment's data (convex-protocol 6.5).

Definitions are immutable; `.index(...)` and its kin return a new table definition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, cast

from syncline.errors import DeveloperError
from syncline.index.index_definition import (
    IndexDefinition,
    is_identifier,
    require_field_path,
    require_index_name,
)
from syncline.limits import (
    FILTER_FIELDS_MAX,
    IDENTIFIER_CHARACTERS_MAX,
    INDEXES_PER_TABLE_MAX,
    SEARCH_INDEXES_PER_TABLE_MAX,
    TABLES_MAX,
    VALUE_NESTING_MAX,
    VECTOR_DIMENSIONS_MAX,
    VECTOR_DIMENSIONS_MIN,
    VECTOR_INDEXES_PER_TABLE_MAX,
)
from syncline.schema.validator_types import (
    AnyValidator,
    Json,
    ObjectValidator,
    OptionalValidator,
    RecordValidator,
    UnionValidator,
    Validator,
)
from syncline.schema.validators import v, validator_from_json
from syncline.search.tokenizers import DEFAULT_TOKENIZER, TOKENIZERS
from syncline.values.size import nesting

if TYPE_CHECKING:
    from syncline.values.value import Value

_VALIDATOR_NESTING_MAX = VALUE_NESTING_MAX - 8
"""Levels of a validator's JSON: it is stored inside documents, so these levels are values' too."""


@dataclass(frozen=True, slots=True)
class SearchIndexDefinition:
    """A declared full-text search index."""

    name: str
    search_field: str
    filter_fields: tuple[str, ...] = ()
    tokenizer: str = DEFAULT_TOKENIZER


@dataclass(frozen=True, slots=True)
class VectorIndexDefinition:
    """A declared vector index."""

    name: str
    vector_field: str
    dimensions: int
    filter_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """One table: the documents' shape (without system fields) and its indexes."""

    validator: Validator
    indexes: tuple[IndexDefinition, ...] = ()
    search_indexes: tuple[SearchIndexDefinition, ...] = ()
    vector_indexes: tuple[VectorIndexDefinition, ...] = ()

    def index(self, name: str, fields: Sequence[str], *, staged: bool = False) -> Self:
        """Add an index over `fields`, in order; _creationTime and _id are appended to it."""
        if isinstance(fields, str):
            raise DeveloperError(
                "InvalidIndexField", f"Index {name!r}: give the fields as a list: [{fields!r}]."
            )
        added = IndexDefinition(name, tuple(fields), staged)
        self._require_new_name(name)
        for other in self.indexes:
            if other.fields == added.fields:
                raise DeveloperError(
                    "IndexNotUnique",
                    f"Indexes {other.name!r} and {name!r} have the same fields; keep one.",
                )
        if len(self.indexes) >= INDEXES_PER_TABLE_MAX:
            raise _too_many("indexes", INDEXES_PER_TABLE_MAX)
        return replace(self, indexes=(*self.indexes, added))

    def search_index(
        self,
        name: str,
        *,
        search_field: str,
        filter_fields: Sequence[str] = (),
        tokenizer: str = DEFAULT_TOKENIZER,
    ) -> Self:
        """Add a full-text search index; `tokenizer` is "words", "folded" or "trigrams"."""
        require_index_name(name)
        self._require_new_name(name)
        _require_fields(name, search_field, filter_fields)
        if len(self.search_indexes) >= SEARCH_INDEXES_PER_TABLE_MAX:
            raise _too_many("search indexes", SEARCH_INDEXES_PER_TABLE_MAX)
        if tokenizer not in TOKENIZERS:
            raise DeveloperError(
                "UnknownTokenizer",
                f"Search index {name!r}: there is no tokenizer {tokenizer!r}; there are "
                f"{', '.join(sorted(TOKENIZERS))}.",
            )
        added = SearchIndexDefinition(name, search_field, tuple(filter_fields), tokenizer)
        return replace(self, search_indexes=(*self.search_indexes, added))

    def vector_index(
        self, name: str, *, vector_field: str, dimensions: int, filter_fields: Sequence[str] = ()
    ) -> Self:
        """Add a vector index; dimensions 2 to 4096."""
        require_index_name(name)
        self._require_new_name(name)
        _require_fields(name, vector_field, filter_fields)
        if not VECTOR_DIMENSIONS_MIN <= dimensions <= VECTOR_DIMENSIONS_MAX:
            raise DeveloperError(
                "InvalidVectorDimensions",
                f"Vector index {name!r}: dimensions is {dimensions}, "
                f"allowed are {VECTOR_DIMENSIONS_MIN} to {VECTOR_DIMENSIONS_MAX}.",
            )
        if len(self.vector_indexes) >= VECTOR_INDEXES_PER_TABLE_MAX:
            raise _too_many("vector indexes", VECTOR_INDEXES_PER_TABLE_MAX)
        added = VectorIndexDefinition(name, vector_field, dimensions, tuple(filter_fields))
        return replace(self, vector_indexes=(*self.vector_indexes, added))

    def _require_new_name(self, name: str) -> None:
        taken = {
            other.name for other in (*self.indexes, *self.search_indexes, *self.vector_indexes)
        }
        if name in taken:
            raise DeveloperError("IndexNameNotUnique", f"The table has two indexes named {name!r}.")

    def to_json(self) -> Json:
        """Pure data; `schema_from_json` reads it."""
        return {
            "documentType": self.validator.to_json(),
            "indexes": [
                {"name": index.name, "fields": list(index.fields), "staged": index.staged}
                for index in self.indexes
            ],
            "searchIndexes": [
                {
                    "name": index.name,
                    "searchField": index.search_field,
                    "filterFields": list(index.filter_fields),
                    "tokenizer": index.tokenizer,
                }
                for index in self.search_indexes
            ],
            "vectorIndexes": [
                {
                    "name": index.name,
                    "vectorField": index.vector_field,
                    "dimensions": index.dimensions,
                    "filterFields": list(index.filter_fields),
                }
                for index in self.vector_indexes
            ],
        }


def _too_many(what: str, limit: int) -> DeveloperError:
    return DeveloperError("TooManyIndexes", f"A table can have at most {limit} {what}.")


def _require_fields(name: str, indexed: str, filters: Sequence[str]) -> None:
    require_field_path(name, indexed)
    if isinstance(filters, str):
        raise DeveloperError(
            "InvalidIndexField",
            f"Index {name!r}: give the filter fields as a list: [{filters!r}].",
        )
    for field in filters:
        require_field_path(name, field)
    if len(set(filters)) < len(filters):
        raise DeveloperError("FilterFieldsNotUnique", f"Index {name!r} names a filter field twice.")
    if len(filters) > FILTER_FIELDS_MAX:
        raise DeveloperError(
            "TooManyFilterFields",
            f"Index {name!r} has {len(filters)} filter fields (limit: {FILTER_FIELDS_MAX}).",
        )


@dataclass(frozen=True, slots=True)
class Schema:
    """All declared tables. With `schema_validation` false the shapes are not enforced."""

    tables: Mapping[str, TableDefinition]
    schema_validation: bool = True
    strict_table_name_types: bool = True

    def to_json(self) -> Json:
        """Pure data; `schema_from_json` reads it."""
        return {
            "tables": {name: table.to_json() for name, table in self.tables.items()},
            "schemaValidation": self.schema_validation,
            "strictTableNameTypes": self.strict_table_name_types,
        }


def define_table(document: Validator | Mapping[str, Validator]) -> TableDefinition:
    """A table of documents with this shape: a dict of fields, v.object or a v.union of objects."""
    validator = document if isinstance(document, Validator) else v.object(document)
    _require_document_shape(validator)
    if nesting(cast("Value", validator.to_json())) > _VALIDATOR_NESTING_MAX:
        raise DeveloperError(
            "InvalidTableValidator",
            "The table's validator is nested too deeply; use v.any() for the inner parts.",
        )
    return TableDefinition(validator)


def _require_document_shape(validator: Validator) -> None:
    match validator:
        case AnyValidator():
            return
        case UnionValidator(members=members):
            for member in members:
                _require_document_shape(member)
        case ObjectValidator(fields=fields):
            for name in fields:
                _require_document_field(name)
        case _:
            raise DeveloperError(
                "InvalidTableValidator",
                "A table's documents are objects: use a dict of fields, v.object({...}), "
                f"a v.union of objects or v.any(), not {validator}.",
            )


def _require_document_field(name: str) -> None:
    if name.startswith("_"):
        raise DeveloperError(
            "ReservedField",
            f"Field {name!r}: names starting with an underscore are reserved; _id and "
            "_creationTime are part of every document without being declared.",
        )
    if not is_identifier(name):
        raise DeveloperError(
            "InvalidFieldName",
            f"Field {name!r}: a document's fields are named with letters, digits and underscores, "
            f"at most {IDENTIFIER_CHARACTERS_MAX}.",
        )


def define_schema(
    tables: Mapping[str, TableDefinition],
    *,
    schema_validation: bool = True,
    strict_table_name_types: bool = True,
) -> Schema:
    """The deployment's schema. A push validates existing documents against it."""
    if len(tables) > TABLES_MAX:
        raise DeveloperError(
            "TooManyTables", f"The schema has {len(tables)} tables (limit: {TABLES_MAX})."
        )
    for name, table in tables.items():
        _require_table_name(name)
        if not isinstance(table, TableDefinition):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
            raise DeveloperError(
                "InvalidTable", f"Table {name!r} must be made with define_table({{...}})."
            )
        _require_indexed_fields(name, table)
    return Schema(dict(tables), schema_validation, strict_table_name_types)


def _require_table_name(name: object) -> None:
    if not isinstance(name, str) or not is_identifier(name) or name.startswith("_"):
        raise DeveloperError(
            "InvalidTableName",
            f"{name!r} can't name a table: use letters, digits and underscores (at most "
            f"{IDENTIFIER_CHARACTERS_MAX}), not starting with an underscore.",
        )


def _require_indexed_fields(name: str, table: TableDefinition) -> None:
    """An index over a field that no document can have is a slip of the pen."""
    indexed = [
        *[(index.name, index.fields) for index in table.indexes],
        *[(each.name, (each.search_field, *each.filter_fields)) for each in table.search_indexes],
        *[(each.name, (each.vector_field, *each.filter_fields)) for each in table.vector_indexes],
    ]
    for index, fields in indexed:
        for field in fields:
            if not _can_have(table.validator, field.split(".")):
                raise DeveloperError(
                    "IndexedFieldNotInSchema",
                    f"Table {name!r}: index {index!r} names the field {field!r}, which the "
                    "table's documents can't have. Correct the name or declare the field.",
                )


def _can_have(validator: Validator, path: Sequence[str]) -> bool:
    if not path:
        return True
    match validator:
        case AnyValidator():
            return True
        case OptionalValidator(inner=inner):
            return _can_have(inner, path)
        case UnionValidator(members=members):
            return any(_can_have(member, path) for member in members)
        case ObjectValidator(fields=fields):
            return path[0] in fields and _can_have(fields[path[0]], path[1:])
        case RecordValidator(values=values):
            return _can_have(values, path[1:])
        case _:
            return False


def schema_from_json(data: object) -> Schema:
    """A schema from its JSON form. DeveloperError("InvalidSchema") if malformed."""
    match cast("Json", data):
        case {
            "tables": dict(tables),
            "schemaValidation": bool(validation),
            "strictTableNameTypes": bool(strict),
        }:
            parsed = {name: _table_from_json(table) for name, table in tables.items()}
            return define_schema(
                parsed, schema_validation=validation, strict_table_name_types=strict
            )
        case _:
            raise _malformed("a schema", data)


def _table_from_json(data: Json) -> TableDefinition:
    match data:
        case {
            "documentType": document,
            "indexes": list(indexes),
            "searchIndexes": list(searches),
            "vectorIndexes": list(vectors),
        }:
            table = define_table(validator_from_json(document))
            for each in indexes:
                table = _index_from_json(table, each)
            for each in searches:
                table = _search_index_from_json(table, each)
            for each in vectors:
                table = _vector_index_from_json(table, each)
            return table
        case _:
            raise _malformed("a table", data)


def _index_from_json(table: TableDefinition, data: Json) -> TableDefinition:
    match data:
        case {"name": str(name), "fields": list(fields), "staged": bool(staged)}:
            return table.index(name, [str(field) for field in fields], staged=staged)
        case _:
            raise _malformed("an index", data)


def _search_index_from_json(table: TableDefinition, data: Json) -> TableDefinition:
    match data:
        case {"name": str(name), "searchField": str(field), "filterFields": list(filters)}:
            # Schemas of before there was a choice name no tokenizer.
            tokenizer = str(data.get("tokenizer", DEFAULT_TOKENIZER))
            return table.search_index(
                name,
                search_field=field,
                filter_fields=[str(each) for each in filters],
                tokenizer=tokenizer,
            )
        case _:
            raise _malformed("a search index", data)


def _vector_index_from_json(table: TableDefinition, data: Json) -> TableDefinition:
    match data:
        case {
            "name": str(name),
            "vectorField": str(field),
            "dimensions": int() | float() as dimensions,
            "filterFields": list(filters),
        }:
            return table.vector_index(
                name,
                vector_field=field,
                dimensions=int(dimensions),
                filter_fields=[str(each) for each in filters],
            )
        case _:
            raise _malformed("a vector index", data)


def _malformed(what: str, data: object) -> DeveloperError:
    return DeveloperError("InvalidSchema", f"Not the JSON form of {what}: {repr(data)[:200]}.")

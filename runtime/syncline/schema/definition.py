"""define_schema and define_table: the declared shape of a deployment's data (convex-protocol 6.5).

Definitions are immutable; `.index(...)` and its kin return a new table definition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from syncline.errors import DeveloperError
from syncline.index.index_definition import IndexDefinition, is_identifier, require_index_name
from syncline.limits import (
    FILTER_FIELDS_MAX,
    IDENTIFIER_CHARACTERS_MAX,
    INDEXES_PER_TABLE_MAX,
    SEARCH_INDEXES_PER_TABLE_MAX,
    TABLES_MAX,
    VECTOR_DIMENSIONS_MAX,
    VECTOR_DIMENSIONS_MIN,
    VECTOR_INDEXES_PER_TABLE_MAX,
)
from syncline.schema.validator_types import (
    AnyValidator,
    Json,
    ObjectValidator,
    UnionValidator,
    Validator,
)
from syncline.schema.validators import v, validator_from_json


@dataclass(frozen=True, slots=True)
class SearchIndexDefinition:
    """A declared full-text search index."""

    name: str
    search_field: str
    filter_fields: tuple[str, ...] = ()


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
        self, name: str, *, search_field: str, filter_fields: Sequence[str] = ()
    ) -> Self:
        """Add a full-text search index."""
        require_index_name(name)
        self._require_new_name(name)
        _require_filter_fields(name, filter_fields)
        if len(self.search_indexes) >= SEARCH_INDEXES_PER_TABLE_MAX:
            raise _too_many("search indexes", SEARCH_INDEXES_PER_TABLE_MAX)
        added = SearchIndexDefinition(name, search_field, tuple(filter_fields))
        return replace(self, search_indexes=(*self.search_indexes, added))

    def vector_index(
        self, name: str, *, vector_field: str, dimensions: int, filter_fields: Sequence[str] = ()
    ) -> Self:
        """Add a vector index; dimensions 2 to 4096."""
        require_index_name(name)
        self._require_new_name(name)
        _require_filter_fields(name, filter_fields)
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
        """Pure data; `_table_from_json` reads it."""
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


def _require_filter_fields(name: str, fields: Sequence[str]) -> None:
    if len(fields) > FILTER_FIELDS_MAX:
        raise DeveloperError(
            "TooManyFilterFields",
            f"Index {name!r} has {len(fields)} filter fields (limit: {FILTER_FIELDS_MAX}).",
        )


@dataclass(frozen=True, slots=True)
class Schema:
    """All declared tables. With `schema_validation` false the shapes are not enforced."""

    tables: Mapping[str, TableDefinition]
    schema_validation: bool = True
    strict_table_name_types: bool = field(default=True)

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
    for member in validator.members if isinstance(validator, UnionValidator) else (validator,):
        if isinstance(member, AnyValidator):
            continue
        if not isinstance(member, ObjectValidator):
            raise DeveloperError(
                "InvalidTableValidator",
                "A table's documents are objects: use a dict of fields, v.object({...}), "
                f"a v.union of objects or v.any(), not {member}.",
            )
        for name in member.fields:
            _require_document_field(name)
    return TableDefinition(validator)


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
        if not is_identifier(name) or name.startswith("_"):
            raise DeveloperError(
                "InvalidTableName",
                f"{name!r} can't name a table: use letters, digits and underscores (at most "
                f"{IDENTIFIER_CHARACTERS_MAX}), not starting with an underscore.",
            )
        if not isinstance(table, TableDefinition):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
            raise DeveloperError(
                "InvalidTable", f"Table {name!r} must be made with define_table({{...}})."
            )
    return Schema(dict(tables), schema_validation, strict_table_name_types)


def schema_from_json(data: object) -> Schema:
    """A schema from its JSON form. DeveloperError("InvalidSchema") if malformed."""
    match data:
        case {"tables": dict(tables), "schemaValidation": bool(validation)}:
            strict = data.get("strictTableNameTypes", True)
            parsed = {str(name): _table_from_json(table) for name, table in tables.items()}
            return Schema(parsed, validation, bool(strict))
        case _:
            raise DeveloperError("InvalidSchema", f"Not a schema's JSON form: {data!r}")


def _table_from_json(data: object) -> TableDefinition:
    match data:
        case {
            "documentType": document,
            "indexes": list(indexes),
            "searchIndexes": list(search),
            "vectorIndexes": list(vector),
        }:
            table = TableDefinition(validator_from_json(document))
            for each in indexes:
                table = table.index(each["name"], each["fields"], staged=each["staged"])
            for each in search:
                table = table.search_index(
                    each["name"],
                    search_field=each["searchField"],
                    filter_fields=each["filterFields"],
                )
            for each in vector:
                table = table.vector_index(
                    each["name"],
                    vector_field=each["vectorField"],
                    dimensions=each["dimensions"],
                    filter_fields=each["filterFields"],
                )
            return table
        case _:
            raise DeveloperError("InvalidSchema", f"Not a table's JSON form: {data!r}")

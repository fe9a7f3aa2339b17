"""The rows of `_tables` through a push: marked as pending, then switched or taken back.

Pure functions from a row's fields to its new fields (protocols.md rule 21). An index is pending for
exactly one push, the one that gave it its ordinal, so a push never takes another's work for its
own: neither what an interrupted one left behind nor what one in another process does meanwhile.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from syncline.errors import DeveloperError
from syncline.index.index_definition import FIRST_USER_ORDINAL, index_id
from syncline.schema.definition import Schema, TableDefinition
from syncline.schema.validator_types import Validator
from syncline.values import wire_json
from syncline.values.value import Value

Fields = dict[str, Value]


@dataclass(frozen=True, slots=True)
class WantedTable:
    """What the schema says of a table; without a validator its documents may be anything."""

    indexes: dict[str, Fields]
    """What the row says of an index besides its name, ordinal and state, by index name."""
    validator: Validator | None
    validator_json: Value


@dataclass(frozen=True, slots=True)
class Marked:
    """A row with pending marks, and what they are."""

    fields: Fields
    ordinals: frozenset[int]
    """Of the indexes that are to be built."""
    added: tuple[str, ...]
    """Their names."""
    is_validated: bool
    """Whether existing documents have to be checked against the validator."""


NOTHING_WANTED = WantedTable({}, None, None)


def wanted_tables(schema: Schema | None) -> dict[str, WantedTable]:
    """By name; nothing without a schema."""
    if schema is None:
        return {}
    wanted: dict[str, WantedTable] = {}
    for name, table in schema.tables.items():
        indexes = _wanted_indexes(table)
        if schema.schema_validation:
            json = wire_json.from_json(table.validator.to_json())
            wanted[name] = WantedTable(indexes, table.validator, json)
        else:
            wanted[name] = WantedTable(indexes, None, None)
    return wanted


def _wanted_indexes(table: TableDefinition) -> dict[str, Fields]:
    """Search and vector indexes have entries over their filter fields, and name what they search.

    Their own field is no part of the entries: every document of the table has one, and a search
    reads all of those that its filters leave.
    """
    wanted: dict[str, Fields] = {
        each.name: {"fields": list[Value](each.fields)} for each in table.indexes
    }
    for each in table.search_indexes:
        target: Fields = {"field": each.search_field, "tokenizer": each.tokenizer}
        wanted[each.name] = {"fields": list[Value](each.filter_fields), "search": target}
    for each in table.vector_indexes:
        target = {"field": each.vector_field, "dimensions": each.dimensions}
        wanted[each.name] = {"fields": list[Value](each.filter_fields), "vector": target}
    return wanted


def _declared(index: Fields) -> Fields:
    return {name: index[name] for name in index if name not in ("name", "ordinal", "state")}


def new_table(name: str, number: int) -> Fields:
    """The row of a table that nobody has used yet."""
    return {
        "name": name,
        "number": number,
        "nextOrdinal": FIRST_USER_ORDINAL,
        "indexes": [],
        "validator": None,
        "pendingValidator": None,
    }


def marked(fields: Fields, wanted: WantedTable) -> Marked:
    """The row with what is new in the schema as pending.

    Marks of an earlier push are removed: nobody knows how far it came, so indexes are built anew
    and documents checked again.
    """
    indexes = [each for each in indexes_of(fields) if each["state"] != "pending"]
    existing = {str(each["name"]): _declared(each) for each in indexes}
    first = ordinal = integer(fields["nextOrdinal"])
    added: list[str] = []
    for name, declared in wanted.indexes.items():
        if existing.get(name) != declared:
            indexes.append({"name": name, "ordinal": ordinal, "state": "pending", **declared})
            added.append(name)
            ordinal += 1
    is_validated = wanted.validator is not None and wanted.validator_json != fields["validator"]
    row: Fields = {
        **fields,
        "indexes": list[Value](indexes),
        "nextOrdinal": ordinal,
        "pendingValidator": wanted.validator_json if is_validated else None,
    }
    return Marked(row, frozenset(range(first, ordinal)), tuple(added), is_validated)


def switched(
    fields: Fields, wanted: WantedTable, marks: Marked | None
) -> tuple[Fields, tuple[str, ...]]:
    """The row as the schema wants it, and the names of the indexes that go.

    Raises DeveloperError("PushOvertaken") if something is missing that this push (by its `marks`)
    did not build or check itself: another push has changed the row meanwhile.
    """
    built = marks.ordinals if marks is not None else frozenset[int]()
    kept: list[Value] = []
    removed: list[str] = []
    for each in indexes_of(fields):
        is_usable = each["state"] != "pending" or each["ordinal"] in built
        if is_usable and wanted.indexes.get(str(each["name"])) == _declared(each):
            kept.append({**each, "state": "ready"})
        elif each["state"] != "pending":
            removed.append(str(each["name"]))
    is_checked = marks is not None and marks.is_validated
    if len(kept) < len(wanted.indexes) or not (
        wanted.validator is None
        or wanted.validator_json == fields["validator"]
        or (is_checked and wanted.validator_json == fields["pendingValidator"])
    ):
        raise overtaken(str(fields["name"]))
    row: Fields = {
        **fields,
        "indexes": kept,
        "validator": wanted.validator_json,
        "pendingValidator": None,
    }
    return row, tuple(removed)


def overtaken(name: str) -> DeveloperError:
    """Why a push gives up: somebody else has pushed at the same time."""
    return DeveloperError(
        "PushOvertaken",
        f'Another push has changed table "{name}" while this one was under way, and nothing of '
        "this one is deployed. Push again if yours is the one that shall be.",
    )


def taken_back(fields: Fields, marks: Marked) -> Fields:
    """The row without these marks; those of another push stay."""
    indexes: list[Value] = [
        {**each}
        for each in indexes_of(fields)
        if each["state"] != "pending" or each["ordinal"] not in marks.ordinals
    ]
    pending = fields["pendingValidator"]
    if marks.is_validated and pending == marks.fields["pendingValidator"]:
        pending = None
    return {**fields, "indexes": indexes, "pendingValidator": pending}


def indexes_of(fields: Mapping[str, Value]) -> list[dict[str, Value]]:
    """The user indexes of a row."""
    indexes = fields["indexes"]
    assert isinstance(indexes, list)
    return [index for index in indexes if isinstance(index, dict)]


def dropped_ordinals(fields: Mapping[str, Value]) -> Collection[int]:
    """Ordinals that were an index once and are none any more; they are never used again."""
    present = {integer(each["ordinal"]) for each in indexes_of(fields)}
    return set(range(FIRST_USER_ORDINAL, integer(fields["nextOrdinal"]))) - present


def dropped_indexes(document: bytes) -> list[bytes]:
    """The ids of indexes that a table's encoded row says are gone."""
    fields = wire_json.decode(document)
    assert isinstance(fields, dict), "a document is an object"
    number = integer(fields["number"])
    return [index_id(number, ordinal) for ordinal in dropped_ordinals(fields)]


def integer(value: Value) -> int:
    """A number of a row."""
    assert isinstance(value, int)
    return value

"""The catalog: tables by name and number, and a document's keys in all indexes of its table."""

import pytest

from syncline.index.index_definition import index_id
from syncline.index.key_encoding import decode_values, encode_value
from syncline.schema.catalog import (
    SYSTEM_TABLES,
    Catalog,
    environment_range,
    module_range,
    name_range,
)
from syncline.schema.validators import v


def index(name, ordinal, fields, state="ready"):
    return {"name": name, "ordinal": ordinal, "fields": fields, "state": state}


MESSAGES = {
    "_id": "row-1",
    "_creationTime": 1.0,
    "name": "messages",
    "number": 10001,
    "nextOrdinal": 5,
    "indexes": [
        index("by_channel", 4, ["channel", "author"], "pending"),
        index("by_channel", 2, ["channel"]),
        index("by_body", 3, ["body"], "staged"),
    ],
    "validator": v.object({"body": v.string()}).to_json(),
    "pendingValidator": None,
}
USERS = {
    **MESSAGES,
    "_id": "row-2",
    "name": "users",
    "number": 10002,
    "indexes": [],
    "validator": None,
    "pendingValidator": v.any().to_json(),
}
CATALOG = Catalog.from_rows([MESSAGES, USERS], 7)


def test_tables_are_found_by_name_and_by_number():
    messages = CATALOG.table("messages")
    assert messages is not None
    assert messages is CATALOG.table_by_number(10001)
    assert (messages.name, messages.number, messages.row) == ("messages", 10001, MESSAGES)
    assert CATALOG.name_of(10002) == "users"
    assert CATALOG.table("nobody") is CATALOG.table_by_number(1) is CATALOG.name_of(1) is None
    assert CATALOG.version == 7
    assert CATALOG.rows() == [MESSAGES, USERS]
    assert [table.name for table in CATALOG.user_tables()] == ["messages", "users"]


def test_shapes_come_from_the_rows():
    messages, users = CATALOG.table("messages"), CATALOG.table("users")
    assert messages is not None
    assert users is not None
    assert messages.validator == v.object({"body": v.string()})
    assert (messages.pending_validator, users.validator) == (None, None)
    assert users.pending_validator == v.any()


def test_indexes_are_in_order_and_the_ready_one_of_a_name_is_found():
    messages = CATALOG.table("messages")
    assert messages is not None
    assert [(i.name, i.ordinal, i.is_queryable) for i in messages.all_indexes] == [
        ("by_id", 0, True),
        ("by_creation_time", 1, True),
        ("by_channel", 2, True),
        ("by_body", 3, False),
        ("by_channel", 4, False),
    ]
    assert messages.indexes["by_channel"].ordinal == 2
    assert messages.indexes["by_channel"].index_id == index_id(10001, 2)
    assert list(messages.indexes)[:2] == ["by_id", "by_creation_time"]


def test_a_document_has_a_key_in_every_index():
    messages = CATALOG.table("messages")
    assert messages is not None
    document = {"_id": "d", "_creationTime": 2.5, "channel": "c", "author": "a", "body": "b"}
    keys = messages.keys(document, "d")
    assert keys[0] == index_id(10001, 0) + encode_value("d")
    assert [key[:6] for key in keys] == [index_id(10001, n) for n in range(5)]
    assert [decode_values(key[6:]) for key in keys[1:]] == [
        [2.5, "d"],
        ["c", 2.5, "d"],
        ["b", 2.5, "d"],
        ["c", "a", 2.5, "d"],
    ]


def test_changed_rows_make_a_new_catalog_and_leave_the_old_one():
    renamed = {**USERS, "name": "people"}
    after = CATALOG.with_rows({"row-2": renamed, "row-1": None}, 9)
    assert (after.table("users"), after.table("messages")) == (None, None)
    assert after.name_of(10002) == "people"
    assert (after.version, CATALOG.version) == (9, 7)
    assert CATALOG.table("users") is not None
    assert CATALOG.with_rows({"never-there": None}, 9).rows() == CATALOG.rows()


def test_system_tables_are_in_every_catalog():
    empty = Catalog.from_rows([], 0)
    assert [(table.name, table.number) for table in SYSTEM_TABLES] == [
        ("_tables", 512),
        ("_modules", 513),
        ("_deployment", 514),
        ("_environment_variables", 515),
        ("_storage", 516),
        ("_scheduled_functions", 517),
        ("_exports", 518),
        ("_snapshot_imports", 519),
        ("_cron_jobs", 520),
        ("_files_pending", 522),
        ("_files", 523),
        ("_scheduled_jobs", 524),
    ]
    for table in SYSTEM_TABLES:
        assert empty.table(table.name) is table
        assert empty.name_of(table.number) == table.name
    assert empty.rows() == []


@pytest.mark.parametrize(
    ("make", "table", "field"),
    [
        (name_range, "_tables", "name"),
        (module_range, "_modules", "path"),
        (environment_range, "_environment_variables", "name"),
    ],
)
def test_the_range_of_a_name_holds_its_row_and_no_others(make, table, field):
    info = Catalog.from_rows([], 0).table(table)
    assert info is not None
    for name in ("a", "a\x00", "a\x00b", "ab", ""):
        row = {"_id": "d", "_creationTime": 1.0, field: name}
        assert (info.keys(row, "d")[2] in make("a")) == (name == "a")


def test_the_range_of_numbers_is_the_third_index_of_tables():
    info = Catalog.from_rows([], 0).table("_tables")
    assert info is not None
    assert info.indexes["by_number"].ordinal == 3

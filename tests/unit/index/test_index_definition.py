"""Index definitions and the keys that documents have in them."""

import pytest

from syncline.errors import DeveloperError
from syncline.index.index_definition import (
    IndexDefinition,
    by_id_key,
    entry_key,
    field_value,
    index_id,
    is_identifier,
)
from syncline.index.key_encoding import MISSING, decode_values, encode_value


@pytest.mark.parametrize(
    ("name", "fields", "code"),
    [
        ("by_id", ("a",), "InvalidIndexName"),
        ("by_creation_time", ("a",), "InvalidIndexName"),
        ("_mine", ("a",), "InvalidIndexName"),
        ("a b", ("a",), "InvalidIndexName"),
        ("", ("a",), "InvalidIndexName"),
        ("9a", ("a",), "InvalidIndexName"),
        ("x" * 65, ("a",), "InvalidIndexName"),
        ("é", ("a",), "InvalidIndexName"),
        ("i", (), "EmptyIndex"),
        ("i", tuple(f"f{n}" for n in range(17)), "TooManyIndexFields"),
        ("i", ("a", "b", "a"), "IndexFieldsNotUnique"),
        ("i", ("a", "_id"), "IndexFieldsContainId"),
        ("i", ("_creationTime",), "IndexFieldsContainCreationTime"),
        ("i", ("_mine",), "InvalidIndexField"),
        ("i", ("a..b",), "InvalidIndexField"),
        ("i", ("",), "InvalidIndexField"),
        ("i", ("a-b",), "InvalidIndexField"),
    ],
)
def test_bad_definitions_are_refused(name, fields, code):
    with pytest.raises(DeveloperError) as caught:
        IndexDefinition(name, fields)
    assert caught.value.code == code


def test_the_limits_themselves_are_allowed():
    definition = IndexDefinition("x" * 64, tuple(f"f{n}.g" for n in range(16)))
    assert not definition.staged


@pytest.mark.parametrize(
    ("name", "good"),
    [("a", True), ("_a", True), ("a_1", True), ("_", False), ("__", False), ("", False),
     ("1a", False), ("a-b", False), ("é", False), ("a" * 64, True), ("a" * 65, False)],
)  # fmt: skip
def test_identifiers(name, good):
    assert is_identifier(name) is good


def test_fields_are_found_by_dotted_paths():
    document = {"a": {"b": {"c": 1}}, "n": None, "x": [1]}
    assert field_value(document, "a.b.c") == 1
    assert field_value(document, "a.b") == {"c": 1}
    assert field_value(document, "n") is None
    for path in ("z", "a.z", "a.b.c.d", "n.a", "x.a", "z.z"):
        assert field_value(document, path) is MISSING


def test_an_index_id_is_table_number_and_ordinal():
    assert index_id(10001, 2) == bytes.fromhex("00002711 0002")


def test_an_entry_key_ends_with_creation_time_and_id():
    document = {"_id": "d", "_creationTime": 1.5, "author": {"name": "ada"}}
    prefix = index_id(10001, 2)
    key = entry_key(prefix, ("author.name", "missing"), document, "d")
    assert key[:6] == prefix
    assert decode_values(key[6:]) == ["ada", MISSING, 1.5, "d"]
    assert entry_key(prefix, (), document, "d") == prefix + encode_value(1.5) + encode_value("d")
    assert by_id_key(10001, "d") == index_id(10001, 0) + encode_value("d")

"""Schema definitions: every rule of convex-protocol 6.5, and the JSON form."""

import pytest

from syncline.errors import DeveloperError
from syncline.schema.definition import Schema, define_schema, define_table, schema_from_json
from syncline.schema.validators import v

FIELDS = {f"f{n}": v.number() for n in range(40)}
WIDE = define_table({
    **FIELDS, "author": v.object({"name": v.string()}), "vector": v.array(v.number()),
    "text": v.string(), "extra": v.optional(v.any()), "by": v.record(v.string(), v.number()),
})  # fmt: skip


def deep(levels: int):
    validator = v.any()
    for _ in range(levels):
        validator = v.array(validator)
    return validator


def with_indexes(count: int):
    table = WIDE
    for n in range(count):
        table = table.index(f"i{n}", [f"f{n}"])
    return table


def with_search(count: int):
    table = WIDE
    for n in range(count):
        table = table.search_index(f"s{n}", search_field="text")
    return table


def with_vectors(count: int):
    table = WIDE
    for n in range(count):
        table = table.vector_index(f"v{n}", vector_field="vector", dimensions=3)
    return table


def test_a_table_is_built_step_by_step_and_is_immutable():
    one = WIDE.index("by_author", ["author.name", "f1"])
    two = one.index("by_f1", ["f1"], staged=True)
    assert [index.name for index in one.indexes] == ["by_author"]
    assert [(i.name, i.fields, i.staged) for i in two.indexes] == [
        ("by_author", ("author.name", "f1"), False),
        ("by_f1", ("f1",), True),
    ]
    assert WIDE.indexes == ()


def test_the_greatest_numbers_of_indexes_are_allowed():
    assert len(with_indexes(32).indexes) == 32
    assert len(with_search(4).search_indexes) == 4
    assert len(with_vectors(4).vector_indexes) == 4


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: WIDE.index("by_id", ["f1"]), "InvalidIndexName"),
        (lambda: WIDE.search_index("_s", search_field="text"), "InvalidIndexName"),
        (lambda: WIDE.index("i", "f1"), "InvalidIndexField"),
        (lambda: WIDE.index("i", []), "EmptyIndex"),
        (lambda: WIDE.index("i", ["_id"]), "IndexFieldsContainId"),
        (lambda: WIDE.index("i", ["_creationTime"]), "IndexFieldsContainCreationTime"),
        (lambda: WIDE.index("i", ["f1"]).index("j", ["f1"]), "IndexNotUnique"),
        (lambda: WIDE.index("i", ["f1"]).index("i", ["f2"]), "IndexNameNotUnique"),
        (lambda: with_search(1).index("s0", ["f1"]), "IndexNameNotUnique"),
        (
            lambda: with_search(1).vector_index("s0", vector_field="vector", dimensions=2),
            "IndexNameNotUnique",
        ),
        (lambda: with_indexes(33), "TooManyIndexes"),
        (lambda: with_search(5), "TooManyIndexes"),
        (lambda: with_vectors(5), "TooManyIndexes"),
        (lambda: WIDE.search_index("s", search_field="a b"), "InvalidIndexField"),
        (
            lambda: WIDE.search_index("s", search_field="text", filter_fields="f1"),
            "InvalidIndexField",
        ),
        (
            lambda: WIDE.search_index("s", search_field="text", filter_fields=["_id"]),
            "IndexFieldsContainId",
        ),
        (
            lambda: WIDE.search_index("s", search_field="text", filter_fields=["f1", "f1"]),
            "FilterFieldsNotUnique",
        ),
        (
            lambda: WIDE.search_index("s", search_field="text", filter_fields=list(FIELDS)[:17]),
            "TooManyFilterFields",
        ),
        (
            lambda: WIDE.vector_index("v", vector_field="vector", dimensions=1),
            "InvalidVectorDimensions",
        ),
        (
            lambda: WIDE.vector_index("v", vector_field="vector", dimensions=4097),
            "InvalidVectorDimensions",
        ),
        (lambda: define_table(v.string()), "InvalidTableValidator"),
        (lambda: define_table(v.union(v.object({}), v.null())), "InvalidTableValidator"),
        (lambda: define_table({"a": deep(60)}), "InvalidTableValidator"),
        (lambda: define_table({"_mine": v.any()}), "ReservedField"),
        (lambda: define_table(v.union(v.object({"_id": v.any()}))), "ReservedField"),
        (lambda: define_table({"a-b": v.any()}), "InvalidFieldName"),
        (lambda: define_table({"a" * 65: v.any()}), "InvalidFieldName"),
        (lambda: define_schema({"_t": WIDE}), "InvalidTableName"),
        (lambda: define_schema({"a-b": WIDE}), "InvalidTableName"),
        (lambda: define_schema({"t" * 65: WIDE}), "InvalidTableName"),
        (lambda: define_schema({1: WIDE}), "InvalidTableName"),
        (lambda: define_schema({"t": v.object({})}), "InvalidTable"),
        (lambda: define_schema({f"t{n}": WIDE for n in range(10_001)}), "TooManyTables"),
        (lambda: define_schema({"t": WIDE.index("i", ["f99"])}), "IndexedFieldNotInSchema"),
        (lambda: define_schema({"t": WIDE.index("i", ["author.age"])}), "IndexedFieldNotInSchema"),
        (lambda: define_schema({"t": WIDE.index("i", ["f1.x"])}), "IndexedFieldNotInSchema"),
        (
            lambda: define_schema({"t": WIDE.search_index("s", search_field="nope")}),
            "IndexedFieldNotInSchema",
        ),
        (
            lambda: define_schema({"t": WIDE.vector_index("x", vector_field="nope", dimensions=2)}),
            "IndexedFieldNotInSchema",
        ),
    ],
)
def test_what_the_rules_forbid_is_refused(make, code):
    with pytest.raises(DeveloperError) as caught:
        make()
    assert caught.value.code == code


@pytest.mark.parametrize("path", ["f1", "author", "author.name", "extra.a.b", "by.someone", "text"])
def test_indexed_fields_may_lie_inside_objects_records_and_anything(path):
    define_schema({"t": WIDE.index("i", [path])})


def test_tables_may_be_unions_of_objects_or_anything():
    either = v.union(v.object({"a": v.null()}), v.union(v.object({"b": v.null()})))
    define_schema({"t": define_table(either).index("i", ["a", "b"])})
    define_schema({"t": define_table(v.any()).index("i", ["x.y"])})


def test_the_json_form_gives_the_schema_back():
    schema = define_schema(
        {
            "wide": WIDE.index("i", ["f1", "author.name"])
            .index("j", ["f2"], staged=True)
            .search_index("s", search_field="text", filter_fields=["f1"])
            .vector_index("v", vector_field="vector", dimensions=384, filter_fields=["f2"]),
            "small": define_table(v.any()),
        },
        schema_validation=False,
        strict_table_name_types=False,
    )
    assert schema_from_json(schema.to_json()) == schema
    assert schema_from_json(Schema({}).to_json()) == Schema({})


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"tables": [], "schemaValidation": True, "strictTableNameTypes": True},
        {"tables": {"t": {}}, "schemaValidation": True, "strictTableNameTypes": True},
        *[
            {
                "tables": {
                    "t": {
                        "documentType": {"type": "any"},
                        "indexes": [],
                        "searchIndexes": [],
                        "vectorIndexes": [],
                        kind: [{"name": "x"}],
                    }
                },
                "schemaValidation": True,
                "strictTableNameTypes": True,
            }
            for kind in ("indexes", "searchIndexes", "vectorIndexes")
        ],
    ],
)
def test_other_json_is_refused(data):
    with pytest.raises(DeveloperError) as caught:
        schema_from_json(data)
    assert caught.value.code == "InvalidSchema"

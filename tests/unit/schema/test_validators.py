"""Validators: what they take, and the exact texts when they don't (convex-protocol 6.2)."""

import math

import pytest

from syncline.errors import DeveloperError
from syncline.schema.validator_types import NumberValidator
from syncline.schema.validators import v, validator_from_json
from syncline.values import wire_json
from syncline.values.document_id import encode_id
from syncline.values.value import Int64

USER = encode_id(10001, bytes(16))
POST = encode_id(10002, bytes(16))
STORED = encode_id(516, bytes(16))
UNKNOWN = encode_id(10003, bytes(16))
NAMES = {10001: "users", 10002: "posts", 516: "_storage"}.get


def failure(validator, value):
    found = validator.check(value, NAMES)
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("validator", "good", "bad"),
    [
        (v.string(), ["", "a"], [1, None, b"", True]),
        (v.number(), [1, 1.5, -0.0, math.nan], [Int64(1), True, "1", None]),
        (NumberValidator(whole=True), [1, -(2**53)], [1.5, math.inf, True, Int64(1)]),
        (v.int64(), [Int64(1)], [1, 1.5, True]),
        (v.boolean(), [True, False], [0, 1, None]),
        (v.bytes(), [b""], ["", None]),
        (v.null(), [None], [False, 0, "", []]),
        (v.any(), [None, {"a": [1]}], []),
        (v.id("users"), [USER], [POST, UNKNOWN, STORED, "x", 1, None]),
        (v.id("_storage"), [STORED], [USER]),
        (v.array(v.number()), [[], [1, 2]], [[1, "a"], {}, None]),
        (v.record(v.string(), v.number()), [{}, {"a": 1}], [{"a": "b"}, []]),
        (v.record(v.id("users"), v.any()), [{USER: 1}], [{"a": 1}]),
        (v.object({"a": v.number()}), [{"a": 1}], [{}, {"a": "1"}, {"a": 1, "b": 1}, [], None]),
        (v.object({"a": v.optional(v.number())}), [{}, {"a": 1}], [{"a": None}, {"b": 1}]),
        (v.union(v.string(), v.null()), ["a", None], [1]),
        (v.union(), [], [None]),
        (v.literal("a"), ["a"], ["b", None]),
        (v.literal(1), [1, 1.0], [True, Int64(1), 2]),
        (v.literal(True), [True], [1, False]),
        (v.literal(Int64(1)), [Int64(1)], [1]),
        (v.literal(0), [0], [-0.0, False]),
    ],
)
def test_validators_take_what_they_say(validator, good, bad):
    assert [value for value in good if failure(validator, value) is not None] == []
    assert [value for value in bad if failure(validator, value) is None] == []


TASK = v.object({"title": v.string(), "done": v.optional(v.boolean())})


@pytest.mark.parametrize(
    ("validator", "value", "text"),
    [
        (
            TASK,
            {"done": True},
            (
                "Object is missing the required field `title`. Consider wrapping the field "
                "validator in `v.optional(...)` if this is expected.\n\nObject: {done: true}\n"
                "Validator: v.object({done: v.optional(v.boolean()), title: v.string()})"
            ),
        ),
        (
            v.object({"tasks": v.array(TASK)}),
            {"tasks": [{"title": "a"}, {}]},
            (
                "Object is missing the required field `title`. Consider wrapping the field "
                "validator in `v.optional(...)` if this is expected.\nPath: .tasks[1]\nObject: {}\n"
                "Validator: v.object({done: v.optional(v.boolean()), title: v.string()})"
            ),
        ),
        (
            TASK,
            {"title": "x", "z": 1, "b": Int64(2)},
            (
                "Object contains extra field `b` that is not in the validator.\n\n"
                'Object: {b: 2n, title: "x", z: 1.0}\n'
                "Validator: v.object({done: v.optional(v.boolean()), title: v.string()})"
            ),
        ),
        (
            v.string(),
            1,
            "Value does not match validator.\n\nValue: 1.0\nValidator: v.string()",
        ),
        (
            v.object({"a": v.array(v.object({"b": v.int64()}))}),
            {"a": [{"b": 1}]},
            "Value does not match validator.\nPath: .a[0].b\nValue: 1.0\nValidator: v.int64()",
        ),
        (
            v.object({"a": v.union(v.literal("x"), v.array(v.null()))}),
            {"a": ["y"]},
            (
                'Value does not match validator.\nPath: .a\nValue: ["y"]\n'
                'Validator: v.union(v.literal("x"), v.array(v.null()))'
            ),
        ),
        (v.literal(1), "a", '`"a"` does not match literal validator `v.literal(1.0)`.'),
        (
            v.array(v.literal("x")),
            ["x", True],
            '`true` does not match literal validator `v.literal("x")`.Path: [1]',
        ),
        (
            v.object({"who": v.id("users")}),
            {"who": POST},
            (
                f'Found ID "{POST}" from table `posts`, which does not match the table name in '
                'validator `v.id("users")`.Path: .who'
            ),
        ),
        (
            v.id("users"),
            STORED,
            (
                f'Found ID "{STORED}" from a system table, which does not match the table name in '
                'validator `v.id("users")`.'
            ),
        ),
        (
            v.id("users"),
            "nonsense",
            'Value does not match validator.\n\nValue: "nonsense"\nValidator: v.id("users")',
        ),
        (
            v.record(v.literal("a"), v.number()),
            {"b": 1},
            '`"b"` does not match literal validator `v.literal("a")`.Path: .keys()',
        ),
        (
            v.record(v.string(), v.bytes()),
            {"b": b"", "a": None},
            "Value does not match validator.\nPath: .values()\nValue: null\nValidator: v.bytes()",
        ),
        (
            NumberValidator(whole=True),
            1.5,
            "Value does not match validator.\n\nValue: 1.5\nValidator: v.float64()",
        ),
    ],
)
def test_the_exact_texts(validator, value, text):
    assert failure(validator, value) == text


def test_fields_are_checked_in_name_order_and_extra_ones_last():
    validator = v.object({"b": v.string(), "a": v.string()})
    assert ".a" in failure(validator, {"b": 1, "a": 1, "c": 1})
    assert ".b" in failure(validator, {"b": 1, "a": "", "c": 1})
    assert "field `a`" in failure(validator, {"b": 1})
    assert "extra field `c`" in failure(validator, {"b": "", "a": "", "d": 1, "c": 1})


def test_record_entries_are_checked_in_name_order():
    validator = v.record(v.string(), v.null())
    assert "Value: 1.0" in failure(validator, {"b": 2, "a": 1})


def test_the_path_is_known_apart_from_the_text():
    found = v.object({"a": v.array(v.null())}).check({"a": [None, 1]}, NAMES)
    assert found is not None
    assert found.path == ".a[1]"


def test_a_huge_value_is_shown_in_part():
    text = failure(v.null(), "x" * 100_000)
    assert text.endswith("xxx...\nValidator: v.null()")
    assert len(text) < 20_000


EVERY_KIND = v.object({
    "a": v.array(v.null()),
    "b": v.optional(v.boolean()),
    "c": v.record(v.id("users"), v.bytes()),
    "d": v.union(v.literal("x"), v.literal(1), v.literal(True), v.literal(Int64(7))),
    "e": v.any(),
    "f": v.union(v.number(), v.int64(), v.string()),
})  # fmt: skip


def test_the_rendering():
    assert str(EVERY_KIND) == (
        "v.object({a: v.array(v.null()), b: v.optional(v.boolean()), "
        'c: v.record(v.id("users"), v.bytes()), '
        'd: v.union(v.literal("x"), v.literal(1.0), v.literal(true), v.literal(7n)), '
        "e: v.any(), f: v.union(v.float64(), v.int64(), v.string())})"
    )


def test_the_json_form():
    assert EVERY_KIND.to_json() == {
        "type": "object",
        "value": {
            "a": {"fieldType": {"type": "array", "value": {"type": "null"}}, "optional": False},
            "b": {"fieldType": {"type": "boolean"}, "optional": True},
            "c": {
                "fieldType": {
                    "type": "record",
                    "keys": {"type": "id", "tableName": "users"},
                    "values": {"fieldType": {"type": "bytes"}, "optional": False},
                },
                "optional": False,
            },
            "d": {
                "fieldType": {
                    "type": "union",
                    "value": [
                        {"type": "literal", "value": "x"},
                        {"type": "literal", "value": 1.0},
                        {"type": "literal", "value": True},
                        {"type": "literal", "value": {"$integer": "BwAAAAAAAAA="}},
                    ],
                },
                "optional": False,
            },
            "e": {"fieldType": {"type": "any"}, "optional": False},
            "f": {
                "fieldType": {
                    "type": "union",
                    "value": [{"type": "number"}, {"type": "bigint"}, {"type": "string"}],
                },
                "optional": False,
            },
        },
    }


def test_the_json_form_is_read_back_also_from_inside_a_document():
    data = EVERY_KIND.to_json()
    assert validator_from_json(data) == EVERY_KIND
    assert EVERY_KIND.to_json() == data
    stored = wire_json.decode(wire_json.encode({"validator": data}))
    assert validator_from_json(stored["validator"]) == EVERY_KIND


def test_literals_are_equal_by_type_too():
    assert v.literal(1) == v.literal(1.0)
    assert hash(v.literal(1)) == hash(v.literal(1.0))
    assert v.literal(1) != v.literal(True)
    assert v.literal(0) != v.literal(-0.0)
    assert v.array(v.literal(1)) != v.array(v.literal(True))
    assert len({v.object({"a": v.string()}), v.object({"a": v.string()})}) == 1


@pytest.mark.parametrize(
    "data",
    [
        None,
        "string",
        {},
        {"type": "commitTs"},
        {"type": "array"},
        {"type": "id"},
        {"type": "id", "tableName": 1},
        {"type": "object", "value": []},
        {"type": "object", "value": {"a": {"type": "string"}}},
        {"type": "object", "value": {"a": {"fieldType": {"type": "string"}, "optional": 1}}},
        {"type": "union", "value": {}},
        {"type": "union", "value": [None]},
        {"type": "record", "keys": {"type": "string"}, "values": {"type": "string"}},
        {"type": "literal", "value": None},
        {"type": "literal", "value": [1]},
    ],
)
def test_other_json_is_refused(data):
    with pytest.raises(DeveloperError) as caught:
        validator_from_json(data)
    assert caught.value.code == "InvalidValidator"


def test_endlessly_nested_json_is_refused():
    data: object = {"type": "null"}
    for _ in range(5000):
        data = {"type": "array", "value": data}
    with pytest.raises(DeveloperError, match="nested too deeply"):
        validator_from_json(data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: v.array(str), "v.array needs a validator such as v.string(), got type"),
        (lambda: v.array(v.optional(v.string())), "only a field of v.object can be absent"),
        (lambda: v.union(v.optional(v.string())), "only a field of v.object can be absent"),
        (lambda: v.optional(v.optional(v.string())), "v.optional can't contain v.optional"),
        (lambda: v.record(v.string(), "number"), "v.record needs a validator"),
        (lambda: v.object({"a": "string"}), "v.object, field 'a' needs a validator"),
        (lambda: v.object({"$a": v.any()}), "'$a' starts with '$'"),
        (lambda: v.object({1: v.any()}), "the field name 1 is not a string"),
        (lambda: v.literal(None), "for None write v.null()"),
        (lambda: v.literal([1]), "v.literal takes a string, number, boolean or Int64"),
        (lambda: v.literal(2**60), "outside ±2^53"),
        (lambda: v.id(""), "v.id needs a table name"),
    ],
)
def test_validators_that_mean_nothing_are_refused(make, message):
    with pytest.raises(DeveloperError) as caught:
        make()
    assert message in caught.value.message

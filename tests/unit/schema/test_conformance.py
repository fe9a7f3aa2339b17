"""What every stored document must be, and what its table asks for."""

import pytest

from syncline.schema.conformance import document_failure, structure_failure
from syncline.schema.validators import v

SYSTEM = {"_id": "j5", "_creationTime": 1.5}


def nested(levels: int):
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"_mine": 1}, "Field `_mine` starts with an underscore"),
        ({"a-b": 1}, "Field `a-b` is not a valid name"),
        ({"": 1}, "Field `` is not a valid name"),
        ({"a" * 65: 1}, "is not a valid name"),
        ({"a": nested(16)}, "nested too deeply (limit: 16 levels)"),
        ({"a": "x" * 2**20}, "The document is too large"),
        ({f"f{n}": 1 for n in range(1023)}, "The document has 1025 fields"),
    ],
)
def test_no_document_may_be_such(fields, message):
    assert message in (structure_failure({**SYSTEM, **fields}) or "")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"a": nested(15)},
        {"a" * 64: 1},
        {"a": {"_x": 1, "a-b": 2, "": 3}},
        {f"f{n}": 1 for n in range(1022)},
        {"a": "x" * (2**20 - 50)},
    ],
)
def test_the_limits_themselves_are_allowed(fields):
    assert structure_failure({**SYSTEM, **fields}) is None


def test_system_fields_are_left_out_of_the_tables_shape():
    shape = v.object({"a": v.string()})
    assert document_failure({**SYSTEM, "a": "x"}, shape, lambda _: None) is None
    failure = document_failure({**SYSTEM, "a": 1}, shape, lambda _: None)
    assert failure == (
        "Value does not match validator.\nPath: .a\nValue: 1.0\nValidator: v.string()"
    )
    assert document_failure({"a": 1}, None, lambda _: None) is None

"""Every figure that clients' users know (limits.py, source C) is allowed, and one more is refused.

A limit is in the table below, or in TESTED_BY, with the test that meets it through a whole run.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from syncline import limits
from syncline.drivers.environment import check_total, check_variable
from syncline.errors import SynclineError
from syncline.execution.arguments import decode_arguments, encode_result
from syncline.function_path import parse
from syncline.index.index_definition import IndexDefinition
from syncline.ports import Page
from syncline.query.search_filter import SearchFilter
from syncline.query.vector_filter import VectorFilter
from syncline.schema.catalog import Catalog, table_from_row
from syncline.schema.conformance import structure_failure
from syncline.schema.definition import TableDefinition, define_table
from syncline.schema.validators import v
from syncline.search.tokenizers import TOKENIZERS
from syncline.transaction.transaction import Transaction
from syncline.transaction.usage import Usage
from syncline.values.size import size
from syncline.values.value import Value, normalize

TESTS = Path(__file__).parent.parent
TABLE = define_table({"a": v.any(), "b": v.any()})
SEARCH = SearchFilter("t.by_text", "text", tuple(f"f{n}" for n in range(16)), "words")


def nested(levels: int) -> Value:
    value: Value = 1
    for _ in range(levels):
        value = [value]
    return value


def store(fields: dict[str, Value]) -> None:
    failure = structure_failure(fields)
    if failure is not None:
        raise SynclineError("InvalidDocument", failure)


def store_bytes(count: int) -> None:
    store({"a": "x" * (count - size({"a": ""}))})


def fields(count: int) -> tuple[str, ...]:
    return tuple(f"f{n}" for n in range(count))


def indexes(count: int) -> TableDefinition:
    table = TABLE
    for n in range(count):
        table = table.index(f"by_{n}", [f"a.f{n}"])
    return table


def search_indexes(count: int) -> TableDefinition:
    table = TABLE
    for n in range(count):
        table = table.search_index(f"s{n}", search_field="a")
    return table


def vector_indexes(count: int) -> TableDefinition:
    table = TABLE
    for n in range(count):
        table = table.vector_index(f"v{n}", vector_field="a", dimensions=3)
    return table


def conditions(count: int) -> VectorFilter:
    q = VectorFilter("t.near", ("f",))
    return q.or_(*(q.eq("f", n) for n in range(count)))


def search_filters(count: int) -> SearchFilter:
    search = SEARCH
    for n in range(count):
        search = search.eq(f"f{n}", n)
    return search


def repeated(count: int, each: Callable[[], None]) -> None:
    for _ in range(count):
        each()


def insert_into_a_new_table(count: int) -> None:
    """The last of `count` tables comes into being by an insert."""
    row: dict[str, Any] = {"indexes": [], "validator": None, "pendingValidator": None}
    made = {
        str(n): table_from_row({**row, "name": f"t{n}", "number": 10_001 + n})
        for n in range(count - 1)
    }
    transaction = Transaction(Catalog(made, 1), now_ns=0, seed=0)
    insertion = transaction.insert("one_more", {})
    request = insertion.send(None)
    assert request is not None, "it looks for the greatest number first"
    with pytest.raises(StopIteration):
        insertion.send([Page((), done=True)])


LIMITS: dict[str, tuple[Callable[[int], object], str]] = {
    "VALUE_NESTING_MAX": (lambda n: normalize(nested(n)), "nested deeper than 64 levels"),
    "ARRAY_ELEMENTS_MAX": (lambda n: normalize([0] * n), "an array of 8193 elements"),
    "OBJECT_FIELDS_MAX": (
        lambda n: normalize({str(each): each for each in range(n)}),
        "an object of 1025 fields",
    ),
    "FIELD_NAME_CHARACTERS_MAX": (lambda n: normalize({"x" * n: 1}), "1024"),
    "IDENTIFIER_CHARACTERS_MAX": (lambda n: store({"x" * n: 1}), "at most 64"),
    "DOCUMENT_BYTES_MAX": (store_bytes, "1048577 bytes, limit: 1048576 bytes"),
    "DOCUMENT_NESTING_MAX": (lambda n: store({"a": nested(n - 1)}), "limit: 16 levels"),
    "ARGUMENTS_BYTES_MAX": (
        lambda n: decode_arguments("m:f", b'{"a":"%s"}' % (b"x" * (n - 8))),
        "Arguments for m.js:f are too large",
    ),
    "RESULT_BYTES_MAX": (
        lambda n: encode_result("m:f", "x" * (n - 2)),
        "Return value of m.js:f is too large",
    ),
    "FUNCTION_PATH_CHARACTERS_MAX": (
        lambda n: parse("a/" * ((n - 3) // 2) + "b" * (n - 2 - (n - 3) // 2 * 2) + ":f"),
        "is not a function path",
    ),
    "DOCUMENTS_READ_MAX": (
        lambda n: repeated(n, partial(Usage().read_document, 0)),
        "Too many documents read in a single function execution (limit: 32000)",
    ),
    "DOCUMENTS_WRITTEN_MAX": (
        lambda n: repeated(n, partial(Usage().write_document, 0)),
        "Too many documents written in a single function execution (limit: 16000)",
    ),
    "READ_RANGES_MAX": (
        lambda n: repeated(n, Usage().read_range),
        "Too many reads in a single function execution (limit: 4096)",
    ),
    "BYTES_READ_MAX": (lambda n: Usage().read_document(n), "Too many bytes read"),
    "BYTES_WRITTEN_MAX": (lambda n: Usage().write_document(n), "Too many bytes written"),
    "TABLES_MAX": (insert_into_a_new_table, "would have 10001 tables (limit: 10000)"),
    "INDEXES_PER_TABLE_MAX": (indexes, "at most 32 indexes"),
    "INDEX_FIELDS_MAX": (lambda n: IndexDefinition("by", fields(n)), "17 fields (limit: 16)"),
    "SEARCH_INDEXES_PER_TABLE_MAX": (search_indexes, "at most 4 search indexes"),
    "VECTOR_INDEXES_PER_TABLE_MAX": (vector_indexes, "at most 4 vector indexes"),
    "FILTER_FIELDS_MAX": (
        lambda n: TABLE.search_index("s", search_field="a", filter_fields=fields(n)),
        "16",
    ),
    "VECTOR_DIMENSIONS_MAX": (
        lambda n: TABLE.vector_index("v", vector_field="a", dimensions=n),
        "allowed are 2 to 4096",
    ),
    "SEARCH_TERMS_MAX": (
        lambda n: SEARCH.search("text", " ".join(fields(n))).terms(),
        "17 different terms (limit: 16)",
    ),
    "SEARCH_FILTERS_MAX": (search_filters, "more than 8 filters"),
    "VECTOR_FILTERS_MAX": (conditions, "65 conditions (limit: 64)"),
    "VARIABLE_NAME_CHARACTERS_MAX": (lambda n: check_variable("x" * n, "1"), "257 characters"),
    "VARIABLE_VALUE_BYTES_MAX": (
        lambda n: check_variable("KEY", "é" * (n // 2) + "x" * (n % 2)),
        "The value of KEY has 8193 bytes (limit: 8192)",
    ),
    "VARIABLES_BYTES_MAX": (
        lambda n: check_total({"A": "x" * (n - 8192), "B": "x" * 8192}),
        "524289 bytes (limit: 524288)",
    ),
}

TESTED_BY = {
    "VARIABLES_MAX": (
        "unit/drivers/test_environment.py::test_as_many_variables_as_allowed_and_one_more"
    ),
    "VECTOR_DIMENSIONS_MIN": (
        "unit/schema/test_definition.py::test_what_the_rules_forbid_is_refused"
    ),
    "FUNCTION_SECONDS_MAX": (
        "integration/test_executor_pool.py::test_a_call_past_its_limit_fails_while_others_are_served"
    ),
    "ACTION_SECONDS_MAX": (
        "integration/test_action_pool.py::"
        "test_an_action_past_its_time_limit_is_cancelled_and_may_clean_up"
    ),
    "LOG_LINES_MAX": (
        "determinism/test_log_lines.py::test_too_many_lines_end_with_one_that_says_so"
    ),
    "SCHEDULED_PER_CALL_MAX": (
        "unit/drivers/test_scheduler.py::test_limits_hold_at_n_and_not_at_n_plus_one"
    ),
    "SEARCH_RESULTS_MAX": (
        "unit/drivers/test_text_search.py::test_1024_results_are_read_and_one_more_is_an_error"
    ),
    "VECTOR_RESULTS_DEFAULT": (
        "unit/drivers/test_vector_search.py::test_ten_are_found_unless_told_otherwise"
    ),
    "VECTOR_RESULTS_MAX": (
        "unit/drivers/test_vector_search.py::test_64_conditions_and_256_results_are_allowed"
    ),
    "SEARCH_TERM_BYTES_MAX": (
        "unit/test_limit_boundaries.py::test_a_term_is_cut_at_32_bytes_and_at_a_character"
    ),
}
"""Limits that take a whole engine, or time, to be met."""

REFUSE_NOTHING = {"TAIL_SECONDS", "SCHEDULED_MUTATIONS_MAX", "SCHEDULED_ACTIONS_MAX"}
"""How long snapshots are kept at least, and how many jobs run at a time while others wait."""


@pytest.mark.parametrize("name", LIMITS)
def test_the_limit_itself_is_allowed_and_one_more_is_refused(name: str):
    use, message = LIMITS[name]
    limit: int = getattr(limits, name)
    use(limit)
    with pytest.raises(SynclineError, match=re.escape(message)):
        use(limit + 1)


def test_a_term_is_cut_at_32_bytes_and_at_a_character():
    words = TOKENIZERS["words"].of_document
    assert words("x" * 32) == ["x" * 32]
    assert words("x" * 33) == ["x" * 32]
    assert words("x" + "é" * 16) == ["x" + "é" * 15]


def test_every_figure_of_the_protocols_table_has_a_test():
    source = Path(limits.__file__).read_text(encoding="utf-8")
    figures = re.findall(r'^([A-Z_]+) = .*\n"""[^"]*\[C\] (?:6\.8|2\.2)', source, re.MULTILINE)
    assert len(figures) > 25
    assert set(figures) - {*LIMITS, *TESTED_BY, *REFUSE_NOTHING} == set()
    for test in TESTED_BY.values():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8"), test

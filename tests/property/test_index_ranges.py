"""The range builder against a naive comparison of values, in the order of convex-protocol 2.3."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from syncline.index.index_definition import entry_key, index_id
from syncline.index.key_encoding import MISSING
from syncline.query.index_range import IndexRange
from tests.property.value_strategies import HARD_TEXT, INT64S, NUMBERS, compare

INDEX = index_id(10_001, 2)
FIELDS = ("a", "b")
ID = "j57000820c20a1g7104gm2rc1m70ynr8"

# Few values that lie close together, nested ones too, so that documents and bounds meet.
SMALL = st.one_of(
    st.sampled_from(
        [None, False, True, 0, 1, -1, 1.5, "", "a", "a\x00", "a\x00b", "b", b"", b"\0"]
    ),
    st.sampled_from([[], [None], [1], [1, 1], {}, {"": 1}, {"a": 1}, {"a": 1, "b": 1}]),
    NUMBERS,
    INT64S,
    HARD_TEXT,
)
INDEXED = st.one_of(st.just(MISSING), SMALL)
DOCUMENTS = st.fixed_dictionaries({"a": INDEXED, "b": INDEXED})
LOWER = st.one_of(st.none(), st.tuples(st.sampled_from(["gt", "gte"]), INDEXED))
UPPER = st.one_of(st.none(), st.tuples(st.sampled_from(["lt", "lte"]), INDEXED))

HOLDS = {
    "gt": lambda order: order > 0,
    "gte": lambda order: order >= 0,
    "lt": lambda order: order < 0,
    "lte": lambda order: order <= 0,
}


def _key(document: dict[str, Any]) -> bytes:
    stored = {name: value for name, value in document.items() if value is not MISSING}
    return entry_key(INDEX, FIELDS, {**stored, "_creationTime": 1.0}, ID)


@given(DOCUMENTS, st.lists(INDEXED, max_size=2), LOWER, UPPER, st.booleans())
def test_a_range_holds_what_naive_comparison_holds(document, equal, lower, upper, upper_first):
    q = IndexRange("t.by_a_b", (*FIELDS, "_creationTime"))
    expected = True
    for field, value in zip(FIELDS, equal, strict=False):
        q = q.eq(field, value)
        expected = expected and compare(document[field], value) == 0
    bounded = (*FIELDS, "_creationTime")[len(equal)]
    actual = document.get(bounded, 1.0)
    bounds = [each for each in (lower, upper) if each is not None]
    for method, value in reversed(bounds) if upper_first else bounds:
        q = getattr(q, method)(bounded, value)
        expected = expected and HOLDS[method](compare(actual, value))
    assert (_key(document) in q.key_range(INDEX)) == expected


@given(DOCUMENTS)
def test_equality_on_every_field_finds_exactly_the_document(document):
    q = IndexRange("t.by_a_b", (*FIELDS, "_creationTime"))
    q = q.eq("a", document["a"]).eq("b", document["b"]).eq("_creationTime", 1.0)
    assert _key(document) in q.key_range(INDEX)
    assert _key({**document, "_creationTime": 1.0}) in q.key_range(INDEX)


@given(DOCUMENTS)
def test_another_index_is_never_in_the_range(document):
    other = index_id(10_001, 3)
    whole = IndexRange("t.by_a_b", (*FIELDS, "_creationTime"))
    assert _key(document) in whole.key_range(INDEX)
    assert _key(document) not in whole.key_range(other)

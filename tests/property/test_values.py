"""Encodings of values give back what they took, and refuse the rest with a clear error."""

import json
import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.errors import CallerError
from syncline.values import wire_json
from syncline.values.document_id import ALPHABET, decode_id, encode_id
from syncline.values.render import inspect, render
from syncline.values.size import size
from syncline.values.value import Int64, normalize, normalize_number, same
from tests.property.value_strategies import FLOATS, INT64S, VALUES, compare, float_rank

TABLE_NUMBERS = st.one_of(
    st.integers(1, 2**32 - 1), st.sampled_from([1, 127, 128, 16383, 16384, 2**32 - 1])
)
INTERNAL_IDS = st.binary(min_size=16, max_size=16)
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=6),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["$integer", "$float", "$bytes", "$set"]), inner, max_size=2
        ),
    ),
    max_leaves=10,
)


@given(VALUES)
def test_a_value_survives_the_wire(value):
    assert same(wire_json.decode(wire_json.encode(value)), value)


@given(VALUES)
def test_the_wire_form_is_canonical(value):
    encoded = wire_json.encode(value)
    assert wire_json.encode(wire_json.decode(encoded)) == encoded
    parsed = json.loads(encoded)
    compact = json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert orjson.dumps(orjson.loads(compact), option=orjson.OPT_SORT_KEYS) == encoded
    assert not any(type(number) is int for number in _numbers(parsed))


def _numbers(parsed):
    if isinstance(parsed, dict):
        return [n for item in parsed.values() for n in _numbers(item)]
    if isinstance(parsed, list):
        return [n for item in parsed for n in _numbers(item)]
    return [parsed] if isinstance(parsed, int | float) and not isinstance(parsed, bool) else []


@given(VALUES)
def test_every_format_and_rendering_takes_every_value(value):
    for name in ("json", "convex_clean_json", "convex_json", "convex_encoded_json", "export_json"):
        json.loads(wire_json.encode_format(value, name))
    assert render(value)
    assert inspect(value)
    assert size(value) >= 1


def _decoded_or_refused(data):
    """The value, or the error's code."""
    try:
        return wire_json.decode(data), None
    except CallerError as error:
        return None, error.code


@given(JSON)
def test_any_json_is_decoded_or_refused(parsed):
    value, code = _decoded_or_refused(json.dumps(parsed))
    assert code in {None, "InvalidJson", "InvalidValue"}
    assert same(normalize(value), value)


@given(st.binary(max_size=30))
def test_any_bytes_are_decoded_or_refused(data):
    _, code = _decoded_or_refused(data)
    assert code in {None, "InvalidJson", "InvalidValue"}


@given(VALUES)
def test_normalizing_a_value_changes_nothing(value):
    normal = normalize(value)
    assert same(normal, value)
    assert type(normal) is type(value)


@given(FLOATS)
def test_a_number_is_an_int_exactly_when_it_is_whole_and_safe(number):
    normal = normalize_number(number)
    whole = math.isfinite(number) and number == math.floor(number) and abs(number) <= 2**53
    assert isinstance(normal, int) == (whole and str(number) != "-0.0")
    assert float_rank(normal) == float_rank(number)


@given(VALUES, VALUES)
def test_same_agrees_with_the_documented_order(a, b):
    assert same(a, b) == (compare(a, b) == 0)
    assert same(a, a)


@given(INT64S, INT64S)
def test_int64_orders_and_computes_as_ints_do(a, b):
    assert (a < b) == (a.value < b.value)
    assert (a == b) == (a.value == b.value)
    total = a.value + b.value
    if -(2**63) <= total < 2**63:
        assert a + b == Int64(total)
        assert a + b.value == a.value + b
    else:
        with pytest.raises(ValueError, match="Int64 holds"):
            _ = a + b


@given(TABLE_NUMBERS, INTERNAL_IDS)
def test_an_id_gives_back_its_parts(table, internal):
    text = encode_id(table, internal)
    assert decode_id(text) == (table, internal)
    assert 31 <= len(text) <= 37


@given(TABLE_NUMBERS, INTERNAL_IDS, st.data())
def test_a_changed_id_is_refused_or_another_ids_canonical_text(table, internal, data):
    text = encode_id(table, internal)
    at = data.draw(st.integers(0, len(text)))
    edit = data.draw(st.sampled_from(["replace", "insert", "delete"]))
    character = data.draw(st.sampled_from(ALPHABET + "ABilou _-\u0660"))
    middle = "" if edit == "delete" else character
    changed = text[:at] + middle + text[at + (edit != "insert") :]
    decoded = decode_id(changed)
    assert decoded is None or encode_id(*decoded) == changed
    if changed != text and len(changed) == len(text):
        assert decoded is None or decoded != (table, internal)


@given(st.text(ALPHABET, min_size=31, max_size=37))
def test_only_canonical_texts_are_ids(text):
    decoded = decode_id(text)
    assert decoded is None or encode_id(*decoded) == text

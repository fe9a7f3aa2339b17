"""Index keys sort as the values do and give them back; ranges are what brute force says."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from syncline.errors import CorruptionError
from syncline.index.key_encoding import (
    MISSING,
    decode_values,
    encode_value,
    encode_values,
    prefix_successor,
    values_range,
)
from syncline.index.key_range import KeyRange, merge
from syncline.index.key_spans import value_ends
from syncline.values.value import same
from tests.property.value_strategies import VALUES, compare, compare_all

INDEXED = st.one_of(st.just(MISSING), VALUES)
ROWS = st.lists(INDEXED, min_size=1, max_size=3)
BOUNDS = st.lists(st.sampled_from([0, 1, 254, 255]), max_size=3).map(bytes)
RANGES = st.builds(KeyRange, BOUNDS, BOUNDS)


@given(INDEXED, INDEXED)
def test_keys_sort_as_values_do(a, b):
    key_a, key_b = encode_value(a), encode_value(b)
    assert ((key_a > key_b) - (key_a < key_b)) == compare(a, b)


@given(ROWS, ROWS)
def test_keys_of_rows_sort_as_the_rows_do(a, b):
    # Rows of one index have the same number of values; shorter ones here are padded as such.
    a = a + [MISSING] * (3 - len(a))
    b = b + [MISSING] * (3 - len(b))
    key_a, key_b = encode_values(a), encode_values(b)
    assert ((key_a > key_b) - (key_a < key_b)) == compare_all(a, b)


@given(ROWS)
def test_keys_give_back_their_values(row):
    data = encode_values(row)
    decoded = decode_values(data)
    assert len(decoded) == len(row)
    for got, value in zip(decoded, row, strict=True):
        assert got is value is MISSING or same(got, value)
    assert encode_values(decode_values(data, 1)) == encode_value(row[0])


@given(ROWS)
def test_every_value_ends_where_the_span_scanner_says(row):
    ends = [len(encode_values(row[: at + 1])) for at in range(len(row))]
    assert value_ends(encode_values(row), 0) == ends


@given(ROWS, INDEXED)
def test_no_key_begins_with_the_byte_that_closes_ranges(row, after):
    assert encode_values(row)[:1] != b"\xff"
    assert encode_values([*row, after]) in values_range(encode_values(row))


@given(INDEXED, INDEXED, INDEXED)
def test_the_range_of_a_value_holds_its_rows_and_no_others(value, other, rest):
    wanted = values_range(encode_value(value))
    assert (encode_values([other, rest]) in wanted) == (compare(value, other) == 0)


@given(st.binary(max_size=20))
def test_any_bytes_are_values_or_refused(data):
    try:
        values = decode_values(data)
    except CorruptionError:
        values = []
    encode_values(values)


@given(ROWS, st.data())
def test_a_cut_key_is_refused_or_is_the_whole_key_of_something_else(row, data):
    # Cut behind an escaped NUL, "a<NUL>b" is "a": the bytes alone can't tell.
    whole = encode_values(row)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        values = decode_values(cut, len(row))
    except CorruptionError:
        return
    assert encode_values(values) == cut


@given(BOUNDS, BOUNDS)
def test_the_successor_bounds_exactly_what_begins_with_the_prefix(prefix, key):
    successor = prefix_successor(prefix)
    assert (prefix <= key and (successor is None or key < successor)) == key.startswith(prefix)


@given(st.lists(RANGES, max_size=6), BOUNDS)
def test_merged_ranges_hold_the_same_keys(ranges, key):
    merged = merge(ranges)
    assert any(key in each for each in merged) == any(key in each for each in ranges)
    assert all(each.lo < each.hi for each in merged)
    assert all(a.hi < b.lo for a, b in pairwise(merged))
    assert merge(reversed(ranges)) == merge(merged) == merged


@given(RANGES, RANGES)
def test_overlap_is_a_key_in_both(a, b):
    keys = {a.lo, b.lo, a.hi, b.hi}
    assert a.overlaps(b) == any(key in a and key in b for key in keys) == b.overlaps(a)

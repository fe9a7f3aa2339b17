"""Where ranges and keys look for each other in the interest table."""

from hypothesis import example, given
from hypothesis import strategies as st

from syncline.aws.interest_table import (
    BOUND_BYTES_MAX,
    CELLS_MAX,
    PARTITION_BYTES,
    SORT_KEY_BYTES,
    bounds_of,
    keys_of_range,
    list_partition,
    list_parts,
    listed_keys,
    places_of_key,
    query_name,
)
from syncline.index.index_definition import index_id
from syncline.index.key_encoding import encode_value, prefix_successor, values_range
from syncline.index.key_range import KeyRange

TABLES = (10_001, 10_002, 10_900)
VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from(["", "a", "a\x00", "ab", 1.7e12, 1.7e12 + 1, "l" * 3000]),
    st.binary(max_size=6),
)
KEYS = st.builds(
    lambda table, ordinal, values: index_id(table, ordinal) + b"".join(map(encode_value, values)),
    st.sampled_from(TABLES),
    st.sampled_from([0, 1, 2]),
    st.lists(VALUES, max_size=3),
)
BOUNDS = KEYS | st.binary(max_size=12) | KEYS.map(lambda key: prefix_successor(key) or b"\xff")


def meet(key_range: KeyRange, key: bytes) -> bool:
    """Whether a key is sent to where an item of the range lies, and its bounds let it in."""
    items = keys_of_range(key_range, b"q")
    lo, hi = bounds_of(key_range)
    is_read = any(
        partition == place and sort_key <= last
        for partition, sort_key in items
        for place, last in places_of_key(key)
    )
    return is_read and lo <= key and (hi is None or key < hi)


@given(KEYS, BOUNDS, BOUNDS)
@example(index_id(10_001, 2), index_id(10_001, 2), b"\xff" * 5000)
@example(b"\x05", b"\x05", b"\x05\x00")
def test_a_key_finds_exactly_the_ranges_that_hold_it(key, one, other):
    between = KeyRange(min(one, other), max(one, other))
    for key_range in (between, KeyRange(min(one, key), max(one, key)), KeyRange.point(key)):
        if key_range.lo < key_range.hi:
            if max(len(key_range.lo), len(key_range.hi)) <= BOUND_BYTES_MAX:
                assert meet(key_range, key) == (key in key_range)
            elif key in key_range:
                assert meet(key_range, key)


@given(KEYS, BOUNDS, BOUNDS)
def test_keys_fit_dynamodb_and_a_range_takes_few_items(key, one, other):
    if one != other:
        items = keys_of_range(KeyRange(min(one, other), max(one, other)), b"q")
        assert len(set(items)) == len(items) <= CELLS_MAX
        assert {(len(each), len(sort_key)) for each, sort_key in items} == {
            (PARTITION_BYTES, SORT_KEY_BYTES)
        }
    assert {len(last) for _, last in places_of_key(key)} == {SORT_KEY_BYTES}


def test_a_bound_that_is_cut_lets_more_keys_in_and_none_out():
    lo, hi = bounds_of(KeyRange(b"a" * 5000, b"b" * 5000))
    assert lo == b"a" * BOUND_BYTES_MAX
    assert hi == b"b" * (BOUND_BYTES_MAX - 1) + b"c"
    assert bounds_of(KeyRange(b"", b"\xff" * 5000)) == (b"", None)
    assert bounds_of(KeyRange(b"a", b"b")) == (b"a", b"b")


def test_ranges_without_an_equal_value_are_split_by_cells():
    def begins(text: str) -> bytes:
        return index_id(10_001, 2) + b"\x10" + text.encode()

    def partitions(lo: bytes, hi: bytes) -> set[bytes]:
        return {partition for partition, _ in keys_of_range(KeyRange(lo, hi), b"q")}

    def asked(key: bytes) -> set[bytes]:
        return {partition for partition, _ in places_of_key(key)}

    narrow = partitions(begins("abc"), begins("abd"))
    wide = partitions(begins("a"), begins("x"))
    assert narrow & asked(begins("abcd"))
    assert not narrow & asked(begins("xyz"))
    assert wide & asked(begins("abcd"))
    assert wide & asked(begins("xyz"))


def test_an_equal_value_of_any_length_has_one_partition():
    def of(value: str) -> set[bytes]:
        equal = values_range(index_id(10_001, 2) + encode_value(value))
        return {partition for partition, _ in keys_of_range(equal, b"q")}

    assert len({*of("l" * 3000), *of("l" * 3001), *of("l")}) == 3
    assert of("l" * 3000) <= {
        place for place, _ in places_of_key(index_id(10_001, 2) + encode_value("l" * 3000))
    }


@given(st.integers(0, 200), st.integers(100, 700))
def test_a_list_is_cut_into_parts_that_name_all_keys(count, bytes_max):
    keys = [
        (bytes([number]) * PARTITION_BYTES, bytes([number]) * SORT_KEY_BYTES)
        for number in range(count)
    ]
    parts = list_parts(keys, bytes_max)
    assert all(len(part) <= bytes_max for part in parts)
    assert [key for part in parts for key in listed_keys(part)] == keys


def test_each_query_has_a_list_of_its_own():
    queries = [("c", 0), ("c", 1), ("c", 2**64 - 1), ("d", 1), ("c1", 1)]
    assert len({list_partition(query_name(*query)) for query in queries}) == len(queries)

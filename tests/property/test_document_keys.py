"""Stored keys of the documents table keep the order of keys, group by group (rule 12)."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.aws.document_keys import (
    KEY_BYTES_MAX,
    count_of_whole_groups,
    document_id_of,
    document_owner,
    is_part,
    key_owner,
    part_key,
    partition_key,
    parts_partition,
    stored_bounds,
    stored_key,
    stored_key_owner,
)
from syncline.errors import CorruptionError
from syncline.index.index_definition import index_id
from syncline.index.key_encoding import encode_value, encode_values
from tests.property.value_strategies import HARD_TEXT, VALUES

INDEX = index_id(10_001, 2)
STEMS = st.sampled_from([b"", b"a", b"b" * 893, b"b" * 894, b"b" * 895, b"b" * 1500, b"\xff" * 900])
KEYS = st.builds(lambda stem, end: INDEX + stem + end, STEMS, st.binary(max_size=4))


@given(KEYS, KEYS)
def test_stored_keys_fit_are_distinct_and_keep_the_order_of_keys_that_differ_early(left, right):
    assert len(stored_key(left)) <= 1024
    assert (stored_key(left) == stored_key(right)) == (left == right)
    if left[:KEY_BYTES_MAX] < right[:KEY_BYTES_MAX]:
        assert stored_key(left) < stored_key(right)
    if len(left) <= KEY_BYTES_MAX:
        assert stored_key(left) == left
        if left < right:
            assert left < stored_key(right)


@given(KEYS, KEYS, st.lists(KEYS, max_size=20))
def test_stored_bounds_enclose_whole_groups_and_little_else(lo, hi, keys):
    if lo > hi:
        lo, hi = hi, lo
    first, last = stored_bounds(lo, hi)
    assert max(len(first), len(last)) <= 1024
    inside = {key for key in keys if first <= stored_key(key) <= last}
    assert {key for key in keys if lo <= key < hi} <= inside
    groups = {key[:KEY_BYTES_MAX] for key in keys if lo <= key < hi and len(key) > KEY_BYTES_MAX}
    assert {key for key in keys if len(key) > KEY_BYTES_MAX and key[:KEY_BYTES_MAX] in groups} <= (
        inside
    )
    for key in inside:
        is_neighbour = key[:KEY_BYTES_MAX] in (lo[:KEY_BYTES_MAX], hi[:KEY_BYTES_MAX])
        assert lo <= key < hi or is_neighbour or key == hi


def _group_of(stored: bytes) -> tuple[bool, bytes]:
    is_long = len(stored) > KEY_BYTES_MAX
    return is_long, stored[:KEY_BYTES_MAX] if is_long else stored


@given(st.lists(KEYS, unique=True, max_size=30), st.booleans())
def test_what_is_cut_off_is_the_last_group_of_long_keys_if_it_is_last(keys, reverse):
    stored = sorted(map(stored_key, keys), reverse=reverse)
    count = count_of_whole_groups(stored)
    groups = [list(group) for _, group in groupby(stored, _group_of)]
    if groups and len(groups[-1][0]) > KEY_BYTES_MAX:
        assert stored[count:] == groups[-1]
    else:
        assert count == len(stored)


@given(st.lists(VALUES, max_size=3), HARD_TEXT)
def test_the_document_id_is_found_at_the_end_of_a_key(indexed, document_id):
    key = INDEX + encode_values(indexed) + encode_value(document_id)
    assert document_id_of(key) == document_id


@pytest.mark.parametrize("key", [b"", INDEX, INDEX + b"\x03", INDEX + b"\x10a"])
def test_a_key_without_a_document_id_is_damaged(key):
    with pytest.raises(CorruptionError):
        document_id_of(key)


def test_bytes_of_partitions_and_parts_are_as_documented():
    key = INDEX + encode_value("k" * 2000)
    assert partition_key(7, key) == bytes.fromhex("0000000700002711000200")
    assert parts_partition(7, document_owner("id1")) == b"\x00\x00\x00\x07partdid1"
    assert is_part(parts_partition(7, b"kx"))
    assert not is_part(partition_key(7, key))
    assert part_key(258, 3) == bytes.fromhex("000000000000010200000003")
    assert key_owner(key) == stored_key_owner(stored_key(key))
    assert stored_key(key)[:900] == key[:900]
    assert len(stored_key(key)) == 932

"""Values are found in a key where the encoder put them."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from syncline.index.key_encoding import MISSING, encode_value, prefix_successor
from syncline.index.key_range import KeyRange
from syncline.index.key_spans import cut_ends, value_ends
from syncline.subscription.interest import bucket_of, buckets_of_key
from syncline.values.value import Int64

INDEX = b"\x00\x00\x27\x11\x00\xff"
NAMES = st.sampled_from(["", "a", "b\x7f", "zz"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1).map(Int64)
    | st.floats()
    | st.text(alphabet="\x00aé\U0001f600", max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
INDEXED = st.lists(VALUES | st.just(MISSING), max_size=4)


@given(INDEXED)
def test_values_end_where_the_encoder_ended_them(values):
    codes = [encode_value(value) for value in values]
    expected = list(accumulate((len(code) for code in codes), initial=len(INDEX)))[1:]
    assert value_ends(INDEX + b"".join(codes)) == expected


@given(INDEXED, st.data())
def test_a_cut_key_has_the_whole_values_before_the_cut(values, data):
    key = INDEX + b"".join(encode_value(value) for value in values)
    ends = value_ends(key)
    at = data.draw(st.integers(len(INDEX), len(key)))
    whole = [end for end in ends if end <= at]
    found = value_ends(key[:at])
    assert found[: len(whole)] == whole
    # A content cut behind an escaped NUL's first byte looks whole; nothing else does.
    assert len(found) - len(whole) <= (key[at : at + 1] == b"\xff")


@given(st.binary(max_size=60))
def test_any_bytes_have_ends_in_order(key):
    ends = value_ends(key, 0)
    assert ends == sorted(set(ends))
    assert all(0 < end <= len(key) for end in ends)


@given(VALUES, VALUES)
def test_every_shorter_value_that_a_value_begins_with_is_a_cut(one, other):
    shorter, longer = encode_value(one), encode_value(other)
    if longer.startswith(shorter) and shorter != longer:
        assert len(shorter) in cut_ends(longer, 0, len(longer))


@given(INDEXED, INDEXED)
def test_what_equals_some_values_lies_in_the_bucket_of_an_equality_on_them(values, rest):
    prefix = INDEX + b"".join(encode_value(value) for value in values)
    hi = prefix_successor(prefix)
    assert hi is not None
    assert bucket_of(KeyRange(prefix, hi)) == prefix
    key = prefix + b"".join(encode_value(value) for value in rest)
    assert prefix in buckets_of_key(key)


def test_depth_exhausts_no_stack():
    deep = b"\x12" * 100_000 + b"\x00" * 100_000
    assert value_ends(deep, 0) == [len(deep)]
    assert value_ends(deep[:-1], 0) == []

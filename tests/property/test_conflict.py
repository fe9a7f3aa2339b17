"""The conflict rule against its definition."""

from hypothesis import given
from hypothesis import strategies as st

from syncline.commit.conflict import MergedRanges, first_conflict
from syncline.index.key_range import KeyRange

KEYS = st.binary(max_size=3).map(lambda raw: bytes(byte % 4 for byte in raw))


@st.composite
def key_ranges(draw: st.DrawFn) -> KeyRange:
    lo, hi = sorted((draw(KEYS), draw(KEYS)))
    return KeyRange(lo, hi)


@given(st.lists(key_ranges(), max_size=8), st.frozensets(KEYS, max_size=8))
def test_the_least_write_key_inside_any_read_range_is_the_conflict(ranges, keys):
    inside = [key for key in keys if any(each.lo <= key < each.hi for each in ranges)]
    assert first_conflict(ranges, keys) == min(inside, default=None)


@given(st.lists(key_ranges(), max_size=8))
def test_merged_ranges_are_sorted_and_apart(ranges):
    merged = MergedRanges(ranges)
    bounds = [bound for pair in zip(merged.starts, merged.ends, strict=True) for bound in pair]
    assert bounds == sorted(set(bounds))


def test_the_lower_bound_is_inside_and_the_upper_bound_outside():
    ranges = [KeyRange(b"b", b"d")]
    assert first_conflict(ranges, [b"b"]) == b"b"
    assert first_conflict(ranges, [b"c\xff"]) == b"c\xff"
    assert first_conflict(ranges, [b"d", b"a"]) is None

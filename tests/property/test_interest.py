"""The interest index finds exactly the queries whose ranges hold a written key."""

import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from syncline.index.key_range import KeyRange
from syncline.subscription.interest import InterestIndex, bucket_of, buckets_of_key
from syncline.subscription.intervals import IntervalSet

INDEXES = [struct.pack(">IH", 10001, ordinal) for ordinal in range(3)]


def escaped(content: bytes) -> bytes:
    return content.replace(b"\x00", b"\x00\xff") + b"\x00"


def array(values: list[bytes]) -> bytes:
    return b"\x12" + b"".join(values) + b"\x00"


def mapping(fields: dict[str, bytes]) -> bytes:
    names = [(escaped(name.encode()) if name else b"\x00\xff\x00", name) for name in sorted(fields)]
    return b"\x15" + b"".join(code + fields[name] for code, name in names) + b"\x00"


SIMPLE = st.one_of(
    st.sampled_from([b"\x01", b"\x03", b"\x08", b"\x0e", b"\x0f", b"\x09\xff", b"\x07\x80"]),
    st.sampled_from([b"\x0d" + b"\xff" * 8, b"\x0d" + b"\x00\xff" * 4]),
    st.text(alphabet="\x00a\u00ff", max_size=3).map(lambda t: b"\x10" + escaped(t.encode())),
    st.binary(max_size=3).map(lambda content: b"\x11" + escaped(content)),
)
VALUES = st.recursive(
    SIMPLE,
    lambda inner: (
        st.lists(inner, max_size=2).map(array)
        | st.dictionaries(st.sampled_from(["", "a", "b"]), inner, max_size=2).map(mapping)
    ),
    max_leaves=4,
)
KEYS = st.builds(
    lambda index, values: index + b"".join(values),
    st.sampled_from(INDEXES),
    st.lists(VALUES, min_size=1, max_size=3),
)


def successor(prefix: bytes) -> bytes:
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,))


def _sorted_range(one: bytes, other: bytes) -> KeyRange:
    return KeyRange(min(one, other), max(one, other))


RANGES = st.one_of(
    KEYS.map(KeyRange.point),
    KEYS.map(lambda key: KeyRange(key, successor(key))),
    KEYS.map(lambda key: KeyRange(key, key + b"\xff")),
    st.sampled_from(INDEXES).map(lambda index: KeyRange(index, successor(index))),
    st.builds(_sorted_range, KEYS, KEYS),
    st.builds(_sorted_range, KEYS, KEYS.map(successor)),
    st.builds(lambda key, size: KeyRange(key[:size], successor(key)), KEYS, st.integers(0, 12)),
)


@given(RANGES, KEYS)
def test_a_key_in_a_range_has_the_bucket_of_the_range(key_range: KeyRange, key: bytes):
    if key in key_range:
        assert bucket_of(key_range) in buckets_of_key(key)


@given(KEYS)
def test_every_leading_run_of_values_is_the_bucket_of_its_equality_range(key: bytes):
    for prefix in buckets_of_key(key)[1:]:
        assert bucket_of(KeyRange(prefix, successor(prefix))) == prefix


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_any_bytes_are_taken_as_bounds_and_keys(lo: bytes, hi: bytes, key: bytes):
    index = InterestIndex()
    index.register("q", [KeyRange(lo, hi)])
    assert index.match([key]) <= ({"q"} if lo <= key < hi else set())


class Interests(RuleBasedStateMachine):
    """Random registrations against a plain list of ranges."""

    queries: Bundle[Any] = Bundle("queries")

    def __init__(self) -> None:
        super().__init__()
        self.index = InterestIndex()
        self.model: dict[int, list[KeyRange]] = {}

    @rule(target=queries, ranges=st.lists(RANGES, max_size=6))
    def register(self, ranges):
        query = len(self.model)
        self.model[query] = ranges
        self.index.register(query, ranges)
        return query

    @rule(query=queries, ranges=st.lists(RANGES, max_size=6))
    def register_again(self, query, ranges):
        self.model[query] = ranges
        self.index.register(query, ranges)

    @rule(query=consumes(queries))
    def unregister(self, query):
        self.model[query] = []
        self.index.unregister(query)

    @rule(prefix=KEYS, tails=st.lists(st.binary(max_size=3), min_size=20, max_size=40))
    def register_many_in_one_bucket(self, prefix, tails):
        for tail in tails:
            self.register(ranges=[KeyRange(prefix + tail, successor(prefix))])

    @rule(keys=st.lists(KEYS, max_size=4))
    def match(self, keys):
        expected = {
            query
            for query, ranges in self.model.items()
            if any(key in each for key in keys for each in ranges)
        }
        assert self.index.match(keys) == expected

    @invariant()
    def no_bucket_is_empty(self):
        assert all(bucket.queries for bucket in self.index._buckets.values())


TestInterests = Interests.TestCase
TestInterests.settings = settings(max_examples=30, stateful_step_count=30)


@given(
    st.lists(st.tuples(st.binary(max_size=2), st.binary(max_size=2)), min_size=200, max_size=400),
    st.data(),
)
def test_an_interval_set_answers_like_a_scan(bounds, data):
    distinct = list(dict.fromkeys(bounds))
    intervals = IntervalSet()
    for each in distinct:
        intervals.add(each)
    gone = set(data.draw(st.lists(st.sampled_from(distinct), max_size=200)))
    for each in sorted(gone):
        intervals.remove(each)
    for key in data.draw(st.lists(st.binary(max_size=3), max_size=5)):
        expected = {each for each in distinct if each not in gone and each[0] <= key < each[1]}
        found = intervals.holding(key)
        assert set(found) == expected
        assert len(found) == len(expected)

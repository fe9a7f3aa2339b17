"""Who is interested in a write: queries by the key ranges that they read (protocols.md rule 18).

A range lies in the bucket of its equality prefix: the longest run of whole values that every key in
the range begins with. A written key belongs to one bucket per number of leading values, so the
work for a write depends on its own keys and on who really matches, never on how many
subscriptions exist. Ranges without an equal value share their index's bucket (the index id alone),
ranges over several indexes the bucket of the empty prefix. Inside a bucket, ranges are searched by
their bounds: bytes decide, the bucket only narrows.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Final, TypeAlias

from syncline.index.key_range import KeyRange
from syncline.index.key_spans import ESCAPED_NUL, INDEX_ID_BYTES, cut_ends, value_ends
from syncline.subscription.intervals import Bounds, IntervalSet

BucketKey: TypeAlias = bytes
"""Index id and the encodings of the equal values: both the index and the number of equal values
can be read from it. Empty for ranges that reach over several indexes."""

EVERYWHERE: Final[BucketKey] = b""

_SCANNED_MAX: Final = 16
"""Up to so many ranges of a bucket are looked at one by one."""


def bucket_of(key_range: KeyRange) -> BucketKey:
    """The bucket of a range: its longest whole equality prefix."""
    lo, hi = key_range.lo, key_range.hi
    if len(lo) < INDEX_ID_BYTES or not _is_within(hi, lo[:INDEX_ID_BYTES]):
        return EVERYWHERE
    bucket = lo[:INDEX_ID_BYTES]
    for end in value_ends(lo):
        prefix = lo[:end]
        if not _is_within(hi, prefix):
            break
        bucket = prefix
    return bucket


def _is_within(hi: bytes, prefix: bytes) -> bool:
    """Whether every key below `hi`, and not below `prefix`, begins with `prefix`."""
    if hi.startswith(prefix):
        return True
    incremented = prefix.rstrip(b"\xff")
    if not incremented:
        return False
    return hi <= incremented[:-1] + bytes((incremented[-1] + 1,))


def buckets_of_key(key: bytes) -> tuple[BucketKey, ...]:
    """Every bucket that can have a range which holds `key`."""
    buckets = [EVERYWHERE, key[:INDEX_ID_BYTES]]
    ends = value_ends(key)
    buckets += [key[:end] for end in ends]
    if ESCAPED_NUL in key:
        start = INDEX_ID_BYTES
        for end in ends:
            buckets += [key[:cut] for cut in cut_ends(key, start, end)]
            start = end
    return tuple(buckets)


class _Bucket:
    """The ranges of one equality prefix, each with the queries that have it."""

    __slots__ = ("intervals", "queries")

    def __init__(self) -> None:
        self.queries: dict[Bounds, set[Hashable]] = {}
        self.intervals: IntervalSet | None = None

    def add(self, bounds: Bounds, query: Hashable) -> None:
        there = self.queries.get(bounds)
        if there is not None:
            there.add(query)
            return
        self.queries[bounds] = {query}
        if self.intervals is not None:
            self.intervals.add(bounds)
        elif len(self.queries) > _SCANNED_MAX:
            self.intervals = IntervalSet()
            for known in self.queries:
                self.intervals.add(known)

    def remove(self, bounds: Bounds, query: Hashable) -> None:
        there = self.queries[bounds]
        there.discard(query)
        if not there:
            del self.queries[bounds]
            if self.intervals is not None:
                self.intervals.remove(bounds)

    def collect(self, key: bytes, found: set[Hashable]) -> None:
        if self.intervals is not None:
            for bounds in self.intervals.holding(key):
                found |= self.queries[bounds]
            return
        for (lo, hi), queries in self.queries.items():
            if lo <= key < hi:
                found |= queries


class InterestIndex:
    """Queries and the ranges that they read, in memory."""

    __slots__ = ("_buckets", "_ranges")

    def __init__(self) -> None:
        self._buckets: dict[BucketKey, _Bucket] = {}
        self._ranges: dict[Hashable, dict[Bounds, BucketKey]] = {}

    def register(self, query: Hashable, ranges: Sequence[KeyRange]) -> None:
        """Make `ranges` the interest of `query`; the new ones count before the old ones go."""
        old = self._ranges.get(query)
        new: dict[Bounds, BucketKey] = {}
        for key_range in ranges:
            bounds = (key_range.lo, key_range.hi)
            known = old.get(bounds) if old is not None else None
            if known is not None:
                new[bounds] = known
            elif bounds not in new and bounds[0] < bounds[1]:
                new[bounds] = self._add(key_range, bounds, query)
        if old is not None:
            for bounds, bucket in old.items():
                if bounds not in new:
                    self._remove(bucket, bounds, query)
        self._ranges[query] = new

    def _add(self, key_range: KeyRange, bounds: Bounds, query: Hashable) -> BucketKey:
        name = bucket_of(key_range)
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket()
        bucket.add(bounds, query)
        return name

    def unregister(self, query: Hashable) -> None:
        """Forget the query; nothing happens if it isn't registered."""
        for bounds, bucket in self._ranges.pop(query, {}).items():
            self._remove(bucket, bounds, query)

    def _remove(self, name: BucketKey, bounds: Bounds, query: Hashable) -> None:
        bucket = self._buckets[name]
        bucket.remove(bounds, query)
        if not bucket.queries:
            del self._buckets[name]

    def match(self, write_keys: Iterable[bytes]) -> set[Hashable]:
        """Every query that has one of the keys in its ranges, exactly."""
        found: set[Hashable] = set()
        buckets = self._buckets
        for key in write_keys:
            for name in buckets_of_key(key):
                bucket = buckets.get(name)
                if bucket is not None:
                    bucket.collect(key, found)
        return found

    def __len__(self) -> int:
        """How many queries are registered."""
        return len(self._ranges)

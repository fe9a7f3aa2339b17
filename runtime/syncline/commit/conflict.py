"""The conflict rule: a write key inside a read range.

A run that read the half-open ranges [lo, hi) at its snapshot is overtaken exactly when a later
commit wrote a key with lo <= key < hi, compared as bytes (architecture.md, "Words").
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from syncline.index.key_range import KeyRange, merge


class MergedRanges:
    """Ranges made disjoint and sorted, so that one bisection tells whether a key lies in one."""

    __slots__ = ("ends", "starts")

    def __init__(self, ranges: Sequence[KeyRange]) -> None:
        self.starts: list[bytes] = []
        self.ends: list[bytes] = []
        for each in merge(ranges):
            self.starts.append(each.lo)
            self.ends.append(each.hi)

    def __contains__(self, key: bytes) -> bool:
        at = bisect_right(self.starts, key)
        return at > 0 and key < self.ends[at - 1]

    def least_of(self, keys: Iterable[bytes]) -> bytes | None:
        """The least of `keys` that lies in a range; None if none does."""
        return min((key for key in keys if key in self), default=None)


def first_conflict(read_ranges: Sequence[KeyRange], write_keys: Iterable[bytes]) -> bytes | None:
    """The least write key that lies in a read range; None means that the run still holds."""
    return MergedRanges(read_ranges).least_of(write_keys)

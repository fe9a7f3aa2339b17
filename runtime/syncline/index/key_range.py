"""Half-open intervals of index keys, compared as bytes."""

from collections.abc import Iterable

import msgspec


class KeyRange(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """All keys k with lo <= k < hi; none if lo >= hi."""

    lo: bytes
    hi: bytes

    def __contains__(self, key: bytes) -> bool:
        return self.lo <= key < self.hi

    def overlaps(self, other: "KeyRange") -> bool:
        """Whether some key lies in both."""
        return max(self.lo, other.lo) < min(self.hi, other.hi)

    @classmethod
    def point(cls, key: bytes) -> "KeyRange":
        """Exactly one key."""
        return cls(key, key + b"\x00")


def merge(ranges: Iterable[KeyRange]) -> tuple[KeyRange, ...]:
    """The same keys as sorted, disjoint, coalesced ranges; empty ranges vanish."""
    bounds = sorted([(each.lo, each.hi) for each in ranges if each.lo < each.hi])
    if not bounds:
        return ()
    merged: list[KeyRange] = []
    lo, hi = bounds[0]
    for next_lo, next_hi in bounds:
        if next_lo > hi:
            merged.append(KeyRange(lo, hi))
            lo, hi = next_lo, next_hi
        elif next_hi > hi:
            hi = next_hi
    merged.append(KeyRange(lo, hi))
    return tuple(merged)

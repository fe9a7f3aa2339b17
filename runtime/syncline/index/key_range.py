"""Half-open intervals of index keys, compared as bytes."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyRange:
    """All keys k with lo <= k < hi."""

    lo: bytes
    hi: bytes

    def __contains__(self, key: bytes) -> bool:
        return self.lo <= key < self.hi

    def overlaps(self, other: "KeyRange") -> bool:
        """Whether some key lies in both."""
        return self.lo < other.hi and other.lo < self.hi and self.lo < self.hi

    @classmethod
    def point(cls, key: bytes) -> "KeyRange":
        """Exactly one key."""
        return cls(key, key + b"\x00")


def merge(ranges: Iterable[KeyRange]) -> tuple[KeyRange, ...]:
    """The same keys as sorted, disjoint, coalesced ranges; empty ranges vanish."""
    merged: list[KeyRange] = []
    for each in sorted(ranges, key=lambda r: (r.lo, r.hi)):
        if each.lo >= each.hi:
            continue
        if merged and each.lo <= merged[-1].hi:
            if each.hi > merged[-1].hi:
                merged[-1] = KeyRange(merged[-1].lo, each.hi)
        else:
            merged.append(each)
    return tuple(merged)

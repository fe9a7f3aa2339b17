"""What a run has read: the key ranges that its outcome depends on (architecture.md, "Words").

Table metadata is data: a run that asked for a table by name or by number depends on the row in
`_tables`, also when there was none. A range that is being scanned grows row by row.
"""

from syncline.index.key_encoding import encode_value, values_range
from syncline.index.key_range import KeyRange, merge
from syncline.schema.catalog import TABLES, name_range

_BY_NUMBER = TABLES.indexes["by_number"].index_id


class TrackedRange:
    """A part of the read set that grows while it is being scanned."""

    __slots__ = ("hi", "lo")

    def __init__(self, lo: bytes, hi: bytes) -> None:
        self.lo = lo
        self.hi = hi


class ReadSet:
    """Collected while a function runs, merged once at its end."""

    __slots__ = ("_names", "_numbers", "_points", "_ranges", "_tracked")

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._numbers: set[int] = set()
        self._points: set[bytes] = set()
        self._ranges: list[KeyRange] = []
        self._tracked: list[TrackedRange] = []

    def add_table(self, name: str) -> None:
        """A table was asked for by name. System tables are built in: they depend on nothing."""
        if not name.startswith("_"):
            self._names.add(name)

    def add_unknown_number(self, number: int) -> None:
        """An id of a table that does not exist was looked at."""
        self._numbers.add(number)

    def add_key(self, key: bytes) -> None:
        """One key was read, whether it was there or not."""
        self._points.add(key)

    def add_range(self, key_range: KeyRange) -> None:
        """A whole range was read."""
        self._ranges.append(key_range)

    def track(self, tracked: TrackedRange) -> None:
        """A range that is read from now on; what it covers counts at the end."""
        self._tracked.append(tracked)

    def merged(self) -> tuple[KeyRange, ...]:
        """Everything read, as sorted and disjoint ranges."""
        return merge(
            [
                *self._ranges,
                *[name_range(name) for name in self._names],
                *[values_range(_BY_NUMBER + encode_value(number)) for number in self._numbers],
                *[KeyRange.point(key) for key in self._points],
                *[KeyRange(tracked.lo, tracked.hi) for tracked in self._tracked],
            ]
        )

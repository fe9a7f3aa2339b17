"""A changing set of key ranges that can be asked which of them hold a key.

Ranges lie sorted by their lower end in runs of at most 128, each run with its greatest upper end:
asking looks into those runs only that can hold the key, so disjoint ranges cost one run and the
others one comparison a run.
"""

from bisect import bisect_left, bisect_right
from typing import Final, TypeAlias

Bounds: TypeAlias = tuple[bytes, bytes]
"""A half-open range: lo <= key < hi."""

_RUN_MAX: Final = 128


class IntervalSet:
    """Distinct half-open ranges of bytes."""

    __slots__ = ("_firsts", "_reaches", "_runs")

    def __init__(self) -> None:
        self._runs: list[list[Bounds]] = []
        self._firsts: list[Bounds] = []
        self._reaches: list[bytes] = []

    def add(self, bounds: Bounds) -> None:
        """Add a range that is not in the set."""
        if not self._runs:
            self._runs.append([bounds])
            self._firsts.append(bounds)
            self._reaches.append(bounds[1])
            return
        number = max(bisect_right(self._firsts, bounds) - 1, 0)
        run = self._runs[number]
        run.insert(bisect_left(run, bounds), bounds)
        if len(run) <= _RUN_MAX:
            self._firsts[number] = run[0]
            self._reaches[number] = max(self._reaches[number], bounds[1])
            return
        half = len(run) // 2
        self._replace(number, [run[:half], run[half:]])

    def remove(self, bounds: Bounds) -> None:
        """Remove a range that is in the set."""
        number = bisect_right(self._firsts, bounds) - 1
        run = self._runs[number]
        at = bisect_left(run, bounds)
        assert run[at] == bounds, "the range was never added"
        del run[at]
        self._replace(number, [run] if run else [])

    def _replace(self, number: int, runs: list[list[Bounds]]) -> None:
        self._runs[number : number + 1] = runs
        self._firsts[number : number + 1] = [run[0] for run in runs]
        self._reaches[number : number + 1] = [max(hi for _, hi in run) for run in runs]

    def holding(self, key: bytes) -> list[Bounds]:
        """Every range that holds `key`."""
        # No range begins with a lower end above the key's successor, so runs after it can't count.
        count = bisect_right(self._firsts, (key + b"\x00",))
        found: list[Bounds] = []
        for number, reach in enumerate(self._reaches[:count]):
            if reach > key:
                found += [bounds for bounds in self._runs[number] if bounds[0] <= key < bounds[1]]
        return found

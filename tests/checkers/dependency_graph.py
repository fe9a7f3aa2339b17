"""A graph of transactions, and the shortest cycles of each forbidden kind in it (Adya, Elle).

An edge says that its first transaction comes before its second in every serial explanation:

    ww  its append comes directly after the other's in a list
    wr  it read a list that ends with the other's append
    rw  it read a list before the other's append to it
    rt  it was answered before the other was begun (real time)

A cycle is named after the worst edges that it needs: G0 (only ww), G1c (ww and wr), G-single
(exactly one rw), G2 (more rw); with "-realtime" behind if it needs rt edges as well.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Final

Edge = tuple[int, int]
_Edges = dict[str, dict[int, dict[int, str]]]

_CLASSES: Final = (
    # (name, an edge that must be in the cycle, what else may be)
    ("G0", "ww", ("ww",)),
    ("G1c", "wr", ("ww", "wr")),
    ("G-single", "rw", ("ww", "wr")),
    ("G2", "rw", ("ww", "wr", "rw")),
)


class DependencyGraph:
    """Edges with their kinds and reasons."""

    def __init__(self) -> None:
        self._next: _Edges = {}

    def add(self, kind: str, before: int, after: int, reason: str) -> None:
        """Add an edge; from a transaction to itself there is none."""
        if before != after:
            self._next.setdefault(kind, {}).setdefault(before, {}).setdefault(after, reason)

    def _edges(self, kind: str) -> Iterator[Edge]:
        for before, afters in self._next.get(kind, {}).items():
            for after in afters:
                yield before, after

    def _path(self, start: int, end: int, kinds: Iterable[str]) -> list[tuple[int, str]] | None:
        """The shortest path as (transaction, kind of the edge that leaves it), without the end."""
        came_from: dict[int, tuple[int, str]] = {}
        todo = deque([start])
        while todo:
            at = todo.popleft()
            if at == end and came_from:
                break
            for kind in kinds:
                for after in self._next.get(kind, {}).get(at, ()):
                    if after not in came_from and after != start:
                        came_from[after] = (at, kind)
                        todo.append(after)
        if end not in came_from:
            return None
        path: list[tuple[int, str]] = []
        at = end
        while at != start:
            at, kind = came_from[at]
            path.append((at, kind))
        return path[::-1]

    def cycles(self, *, realtime: bool) -> Iterator[tuple[str, list[tuple[int, str]]]]:
        """At most one cycle of each kind: its name, its transactions, each with its edge."""
        named: set[str] = set()
        core = _core(self._next, ("ww", "wr", "rw", "rt") if realtime else ("ww", "wr", "rw"))
        for extra in ((), ("rt",)) if realtime else ((),):
            for name, needed, others in _CLASSES:
                for before, after in self._edges(needed):
                    if before not in core or after not in core:
                        continue
                    if (back := self._path(after, before, (*others, *extra))) is None:
                        continue
                    cycle = [(before, needed), *back]
                    found = _name(kind for _, kind in cycle)
                    if found.startswith(name) and found not in named:
                        named.add(found)
                        yield found, cycle

    def describe(self, cycle: list[tuple[int, str]]) -> str:
        """The cycle in words, each edge with its reason."""
        ends = [*(number for number, _ in cycle[1:]), cycle[0][0]]
        return "; ".join(
            f"T{before} -{kind}-> T{after}: {self._next[kind][before][after]}"
            for (before, kind), after in zip(cycle, ends, strict=True)
        )


def _name(kinds: Iterable[str]) -> str:
    found = list(kinds)
    name = {0: "G1c" if "wr" in found else "G0", 1: "G-single"}.get(found.count("rw"), "G2")
    return f"{name}-realtime" if "rt" in found else name


def _core(edges: _Edges, kinds: Iterable[str]) -> set[int]:
    """What is left when transactions without predecessors or successors are taken away again and
    again: those on cycles, and between two cycles."""
    after: defaultdict[int, set[int]] = defaultdict(set)
    before: defaultdict[int, set[int]] = defaultdict(set)
    for kind in kinds:
        for source, targets in edges.get(kind, {}).items():
            after[source].update(targets)
            for target in targets:
                before[target].add(source)
    left = {*after, *before}
    loose = [each for each in left if not after[each] or not before[each]]
    while loose:
        each = loose.pop()
        if each not in left:
            continue
        left.remove(each)
        for ways, back in ((after, before), (before, after)):
            for other in ways[each]:
                back[other].discard(each)
                if not back[other]:
                    loose.append(other)
    return left

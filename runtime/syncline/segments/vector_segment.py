"""Finds the nearest vectors among many: exactly while that is quick, by a graph (HNSW) above.

Vectors lie in the rows of a matrix. A search computes the nearness to every row, or to those with
the filters' values, which numpy does for millions of numbers in milliseconds; beyond that usearch's
graph names candidates, and rows that the graph does not hold yet are compared all. Whatever names
them, candidates are judged by the exact score of search/vectors.py.
"""

import sys
from array import array
from collections.abc import Collection, Iterable, Sequence
from importlib.util import find_spec
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from syncline.limits import VECTOR_EXACT_NUMBERS_MAX
from syncline.search.vectors import UnitVector, VectorEntry, nearness_key, similarity

_Rows: TypeAlias = "npt.NDArray[np.int64]"
_Numbers: TypeAlias = "npt.NDArray[np.float32]"

FORMAT: Final = "vector-1"
"""What a dumped segment can be read by."""

GRAPH_STEP: Final = 64
"""Vectors added to the graph at once; ours: 10 ms."""

_HAS_GRAPHS: Final = find_spec("usearch") is not None
"""Lambdas do without (cdk/syncline_cdk/requirements.py): all searches are exact there."""

_FIRST_ROWS: Final = 64
_SPARE: Final = 4
"""How many times more candidates the graph is asked for than are wanted: better recall."""
_LEAST_CANDIDATES: Final = 512
"""As many always: vectors without any structure need them, and the others cost 1 ms more."""
_ROUNDING: Final = 2.0**-23


class _Dumped(msgspec.Struct, array_like=True):
    ids: list[str]
    entries: list[tuple[float, tuple[bytes, ...]]]
    matrix: bytes


class VectorSegment:
    """Documents by id."""

    def __init__(self, dimensions: int, exact_max: int = VECTOR_EXACT_NUMBERS_MAX) -> None:
        """`exact_max`: numbers in all that a search compares one by one."""
        self._dimensions = dimensions
        self._exact_rows = exact_max // dimensions
        self._matrix: _Numbers = np.zeros((_FIRST_ROWS, dimensions), np.float32)
        self._ids: list[str | None] = []
        self._entries: list[tuple[float, tuple[bytes, ...]]] = []
        """Creation time and filter values by row."""
        self._rows: dict[str, int] = {}
        self._free: list[int] = []
        self._by_value: dict[tuple[int, bytes], set[int]] = {}
        self._graph: Any = None
        self._outside: set[int] = set()
        """Rows that the graph does not hold."""

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, document_id: str, entry: VectorEntry) -> None:
        """Add a document that is not there."""
        row = self._free.pop() if self._free else self._new_row()
        self._matrix[row] = np.frombuffer(entry.vector, np.float32)
        self._ids[row] = document_id
        self._entries[row] = (entry.creation_time, entry.filters)
        self._rows[document_id] = row
        for value in enumerate(entry.filters):
            self._by_value.setdefault(value, set()).add(row)
        self._outside.add(row)

    def _new_row(self) -> int:
        row = len(self._ids)
        if row == len(self._matrix):
            self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
        self._ids.append(None)
        self._entries.append((0.0, ()))
        return row

    def remove(self, document_id: str) -> None:
        """Take a document out, if it is there."""
        row = self._rows.pop(document_id, None)
        if row is None:
            return
        for value in enumerate(self._entries[row][1]):
            rows = self._by_value[value]
            rows.discard(row)
            if not rows:
                del self._by_value[value]
        self._ids[row] = None
        self._free.append(row)
        if row in self._outside:
            self._outside.discard(row)
        elif self._graph is not None:
            self._graph.remove(row)

    def publish(self) -> None:
        """Searches see at once what was put and removed."""

    def dump(self) -> bytes:
        """All documents, and the vectors as they lie in memory; not the graph."""
        rows = sorted(self._rows.values())
        return msgspec.msgpack.encode(
            _Dumped(
                [self._ids[row] or "" for row in rows],
                [self._entries[row] for row in rows],
                self._matrix[rows].astype("<f4").tobytes(),
            )
        )

    def load(self, content: bytes) -> None:
        """Put what `dump` gave into an empty segment."""
        dumped = msgspec.msgpack.decode(content, type=_Dumped)
        size = 4 * self._dimensions
        for at, (document_id, entry) in enumerate(zip(dumped.ids, dumped.entries, strict=True)):
            vector = array("f", dumped.matrix[at * size : (at + 1) * size])
            if sys.byteorder == "big":
                vector.byteswap()
            self.put(document_id, VectorEntry(entry[0], vector, entry[1]))

    def grow(self) -> bool:
        """Add some vectors to the graph, if there are enough to need one; False: nothing to do."""
        if len(self._rows) <= self._exact_rows or not self._outside or not _HAS_GRAPHS:
            return False
        if self._graph is None:
            from usearch.index import Index

            self._graph = Index(ndim=self._dimensions, metric="ip", dtype="f16", expansion_add=64)
        rows = np.fromiter(sorted(self._outside)[:GRAPH_STEP], np.int64)
        self._graph.add(rows.astype(np.uint64), self._matrix[rows], threads=1)
        self._outside.difference_update(rows.tolist())
        return True

    def nearest(
        self,
        wanted: UnitVector,
        filters: Sequence[tuple[int, bytes]],
        *,
        limit: int,
        hidden: Collection[str],
    ) -> list[tuple[bytes, str]]:
        """At most `limit` documents as (rank, id), nearest first, without the `hidden` ones."""
        numbers = np.frombuffer(wanted, np.float32)
        needed = limit + len(hidden)
        rows = self._candidates(numbers, filters, needed)
        if len(rows) > needed:
            rows = self._near(rows, numbers, needed)
        ranked: list[tuple[bytes, str]] = []
        for row in map(int, rows):
            document_id = self._ids[row]
            if document_id is not None and document_id not in hidden:
                score = similarity(array("f", self._matrix[row].tobytes()), wanted)
                rank = nearness_key(score, self._entries[row][0], document_id)
                ranked.append((rank, document_id))
        ranked.sort()
        return ranked[:limit]

    def _near(self, rows: _Rows, numbers: _Numbers, needed: int) -> _Rows:
        """Those of the rows that may be among the nearest `needed`, rounding considered."""
        scores = (
            self._matrix[rows] @ numbers
            if len(rows) < len(self._ids)
            else (self._matrix[: len(self._ids)] @ numbers)[rows]
        )
        least = np.partition(scores, len(rows) - needed)[len(rows) - needed]
        return rows[scores >= least - self._dimensions * _ROUNDING]

    def _candidates(
        self, numbers: _Numbers, filters: Sequence[tuple[int, bytes]], needed: int
    ) -> _Rows:
        """Rows among which the nearest are: all that fit the filters, or what the graph names."""
        fitting: set[int] | None = None
        if filters:
            fitting = set[int]().union(*[self._by_value.get(value, ()) for value in filters])
        count = len(self._rows) if fitting is None else len(fitting)
        if self._graph is None or count <= max(self._exact_rows, needed):
            return self._all() if fitting is None else _array(fitting, count)
        asked = max(needed * _SPARE, _LEAST_CANDIDATES)
        while asked < len(self._graph):
            named = {int(key) for key in self._graph.search(numbers, asked).keys}
            found = named | self._outside
            if fitting is not None:
                found &= fitting
            if len(found) >= needed:
                return _array(found, len(found))
            # The filters have left too few of them.
            asked *= _SPARE
        return self._all() if fitting is None else _array(fitting, count)

    def _all(self) -> _Rows:
        if not self._free:
            return np.arange(len(self._ids))
        return _array(self._rows.values(), len(self._rows))


def _array(rows: Iterable[int], count: int) -> _Rows:
    return np.fromiter(rows, np.int64, count)

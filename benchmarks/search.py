"""Search beside its exact or plain counterpart: `python -m benchmarks.search [--quick]`.

Vectors: the recall of the graph against exact comparison, on clusters as embeddings make them, and
what both take. Texts: what a search among many documents takes. One process, no server.
"""

import random
import sys
import time

import numpy as np

from syncline.limits import VECTOR_EXACT_NUMBERS_MAX
from syncline.search.entries import TextEntry
from syncline.search.scoring import levels
from syncline.search.vectors import VectorEntry, unit_vector
from syncline.segments.text_segment import TextSegment
from syncline.segments.vector_segment import VectorSegment

SEARCHES = 100
SPREADS = (0.3, 1.0, 4.0)
"""How far vectors lie from their cluster's centre, beside the centres' own spread of 1; 4 is hardly
any cluster, which no embedding makes and graphs find hardest."""


def vectors(count: int, dimensions: int, spread: float) -> np.ndarray:
    """Vectors around centres; the last ones are searched for."""
    chance = np.random.default_rng(11)
    centres = chance.standard_normal((max(count // 100, 1), dimensions))
    chosen = centres[chance.integers(0, len(centres), count)]
    return chosen + spread * chance.standard_normal((count, dimensions))


def recall(count: int, dimensions: int, spread: float) -> None:
    """The graph's recall, and what it and exact comparison take."""
    exact = VectorSegment(dimensions, exact_max=count * dimensions * 2)
    graph = VectorSegment(dimensions, exact_max=0)
    everything = vectors(count + SEARCHES, dimensions, spread)
    for at, vector in enumerate(everything[:count]):
        unit = unit_vector(vector.tolist(), dimensions)
        assert unit is not None
        for segment in (exact, graph):
            segment.put(str(at), VectorEntry(float(at), unit, ()))
    began = time.perf_counter()
    while graph.grow():
        pass
    growth = (time.perf_counter() - began) / count
    hits = 0
    seconds = [0.0, 0.0]
    for vector in everything[count:]:
        wanted = unit_vector(vector.tolist(), dimensions)
        assert wanted is not None
        found = []
        for at, segment in enumerate((exact, graph)):
            began = time.perf_counter()
            found.append(set(segment.nearest(wanted, (), limit=10, hidden=())))
            seconds[at] += time.perf_counter() - began
        hits += len(found[0] & found[1])
    print(
        f"vectors {count:>7} x {dimensions:<5} spread {spread}: recall@10 "
        f"{hits / (10 * SEARCHES):.4f}, exact {seconds[0] / SEARCHES * 1e3:6.2f} ms, "
        f"graph {seconds[1] / SEARCHES * 1e3:5.2f} ms, {growth * 1e6:4.0f} us to add one"
    )


def texts(count: int) -> None:
    """What searches take among texts of twenty words, common ones much more common."""
    chance = random.Random(5)
    words = [
        "".join(chance.choices("abcdefghijklmnop", k=chance.randint(2, 9))) for _ in range(9000)
    ]
    segment = TextSegment()
    began = time.perf_counter()
    for at in range(count):
        chosen = [words[min(int(chance.paretovariate(0.6)), 8999)] for _ in range(20)]
        segment.put(f"{at:032}", TextEntry(float(at), levels(chosen), ()))
    segment.publish()
    building = (time.perf_counter() - began) / count
    for name, terms in (
        ("a common word", (words[1],)),
        ("a rare word", (words[8000],)),
        ("a beginning", (words[1][:1],)),
        ("three words", (words[1], words[30], words[400])),
    ):
        began = time.perf_counter()
        for _ in range(20):
            found = segment.best(terms, (), after=b"", limit=10, hidden=())
        spent = (time.perf_counter() - began) / 20
        print(f"texts {count:>7}, {name:14}: {spent * 1e3:6.2f} ms, {len(found)} of them shown")
    print(f"texts {count:>7}, {building * 1e6:.0f} us to add one")


def main() -> None:
    """All of it, or with --quick a little."""
    quick = "--quick" in sys.argv
    for count, dimensions in ((5_000, 64),) if quick else ((50_000, 384), (20_000, 1536)):
        for spread in SPREADS[1:2] if quick else SPREADS:
            recall(count, dimensions, spread)
    texts(5_000 if quick else 100_000)
    print(f"exact up to {VECTOR_EXACT_NUMBERS_MAX:,} numbers")


if __name__ == "__main__":
    main()

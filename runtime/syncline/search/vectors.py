"""Vectors and how near they are: cosine similarity, computed the same wherever it is computed.

A vector is stored as the unit vector in its direction, in numbers of 32 bits. The similarity of two
is the exact sum of the products, rounded once: no order of adding up changes it, so every process
gives the same score, and a rebuilt index the same order.
"""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import Final, TypeAlias

from syncline.index.key_encoding import decode_values, encode_value

UnitVector: TypeAlias = "array[float]"
"""Numbers of 32 bits whose squares add up to 1, or zeros."""

_COMPLEMENT: Final = bytes(range(255, -1, -1))
_NUMBER_BYTES: Final = 9


def unit_vector(numbers: Sequence[object], dimensions: int) -> "UnitVector | None":
    """The unit vector in this direction; None: not so many finite numbers."""
    if len(numbers) != dimensions:
        return None
    found = [
        float(each)
        for each in numbers
        if isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each)
    ]
    if len(found) < dimensions:
        return None
    # By the greatest first: the squares of large numbers would be infinite, those of small ones 0.
    greatest = max(map(abs, found))
    if greatest == 0.0:
        return array("f", found)
    scaled = [each / greatest for each in found]
    length = math.sqrt(math.fsum(map(mul, scaled, scaled)))
    return array("f", [each / length for each in scaled])


def similarity(one: UnitVector, other: UnitVector) -> float:
    """The cosine of the angle between two vectors, -1 to 1; 0 with a vector of zeros."""
    return max(-1.0, min(1.0, math.fsum(map(mul, one, other))))


def nearness_key(score: float, creation_time: float, document_id: str) -> bytes:
    """Bytes that sort as results do: nearest first, then newer documents, then by id."""
    descending = encode_value(score) + encode_value(creation_time)
    return descending.translate(_COMPLEMENT) + document_id.encode()


def nearness(key: bytes) -> tuple[float, str]:
    """The score and the id that a key was made of."""
    (score,) = decode_values(key[:_NUMBER_BYTES].translate(_COMPLEMENT))
    assert isinstance(score, int | float)
    return float(score), key[2 * _NUMBER_BYTES :].decode()


@dataclass(frozen=True, slots=True)
class VectorEntry:
    """A document in a vector index."""

    creation_time: float
    vector: UnitVector
    filters: tuple[bytes, ...]
    """Encoded values of the filter fields, in the index's order."""

    def rank(
        self, wanted: UnitVector, filters: Sequence[tuple[int, bytes]], document_id: str
    ) -> bytes | None:
        """Where the document ranks among a search's results; None: the filters exclude it."""
        if filters and not any(self.filters[place] == value for place, value in filters):
            return None
        score = similarity(self.vector, wanted)
        return nearness_key(score, self.creation_time, document_id)

"""What search indexes hold of a document, and whether a search finds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from syncline.search.scoring import rank_key, score


@dataclass(frozen=True, slots=True)
class TextEntry:
    """A document in a text search index."""

    creation_time: float
    levels: Mapping[str, int]
    """By term (search/scoring.py)."""
    filters: tuple[bytes, ...]
    """Encoded values of the filter fields, in the index's order."""

    def rank(
        self, terms: Sequence[str], filters: Sequence[tuple[int, bytes]], document_id: str
    ) -> bytes | None:
        """Where the document ranks among a search's results; None: it is none of them."""
        if not has_values(self.filters, filters):
            return None
        points = score(self.levels, terms)
        return rank_key(points, self.creation_time, document_id) if points else None


def has_values(found: Sequence[bytes], wanted: Sequence[tuple[int, bytes]]) -> bool:
    """Whether a document's filter fields have these values, given by place."""
    return all(found[place] == value for place, value in wanted)

"""How well a text matches a query: whole numbers that depend on the text and the query alone.

Not on how often a word occurs in other documents, nor on how an index happens to be cut into
segments: so a rebuilt index gives the same order, every process gives the same order, and the score
of an unchanged document never changes (docs/search.md, "Order").

A term's level in a text is 1 to 15: more for more occurrences, less for a longer text, saturating
as BM25 does (k1 = 1.2, b = 0.75) around a fixed length of 100 terms. A query's score is the sum
over its terms of twice the level; the last term also counts as the beginning of terms, and then
with the highest level among them, once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from syncline.index.key_encoding import encode_value

LEVEL_MAX: Final = 15
WHOLE_TERM_WEIGHT: Final = 2
BEGINNING_WEIGHT: Final = 1

_SATURATION: Final = 1.2
_LENGTH_SHARE: Final = 0.75
_USUAL_LENGTH: Final = 100
_SCORE_TOP: Final = 0x7FFF
_COMPLEMENT: Final = bytes(range(255, -1, -1))


def level(occurrences: int, length: int) -> int:
    """The level of a term that occurs so often among so many terms; 1 to LEVEL_MAX."""
    norm = 1 - _LENGTH_SHARE + _LENGTH_SHARE * length / _USUAL_LENGTH
    saturated = occurrences / (occurrences + _SATURATION * norm)
    return 1 + int(saturated * LEVEL_MAX * 0.999)


def levels(terms: Sequence[str]) -> dict[str, int]:
    """The level of each distinct term of a text."""
    length = len(terms)
    return {term: level(count, length) for term, count in Counter(terms).items()}


def score(text: Mapping[str, int], terms: Sequence[str]) -> int:
    """The score of a text, given as its levels, for distinct terms (>= 1); 0: no match.

    The last term also matches as the beginning of a longer one.
    """
    last = terms[-1]
    best = WHOLE_TERM_WEIGHT * text.get(last, 0)
    for term, found in text.items():
        if BEGINNING_WEIGHT * found > best and term.startswith(last):
            best = BEGINNING_WEIGHT * found
    return best + WHOLE_TERM_WEIGHT * sum([text.get(term, 0) for term in terms[:-1]])


def rank_key(points: int, creation_time: float, document_id: str) -> bytes:
    """Bytes that sort as results do: higher scores first, then newer documents, then by id."""
    newest_first = encode_value(creation_time).translate(_COMPLEMENT)
    return (_SCORE_TOP - points).to_bytes(2, "big") + newest_first + document_id.encode()


_BEFORE_ID: Final = 2 + 9
"""Bytes of a rank before the id: the score, and the creation time as a key's value."""


def ranked_id(rank: bytes) -> str:
    """The id of the document that has this rank."""
    return rank[_BEFORE_ID:].decode()

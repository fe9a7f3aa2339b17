"""Tokenizers: how a text becomes terms, chosen per search index (docs/search.md, "Tokenizers").

A tokenizer is two functions, because a query is typed and a document is complete: what a user has
typed so far must match as the beginning of a term. Texts are normalised first (NFKC, case folded),
so that "Ｔｏｋｙｏ", "TOKYO" and "tokyo" are one. A term is cut at 32 bytes (convex-protocol.md
6.8), in documents and queries alike.

Chinese, Japanese and Korean are written without spaces, or in words that carry their endings with
them, so runs of these scripts become overlapping pairs: 東京都 is 東京, 京都 and, in documents, the
last character alone, so that every character begins some term. A query of one character finds all
texts that contain it, a longer one ranks those highest that contain most of its pairs.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from syncline.limits import SEARCH_TERM_BYTES_MAX

_CJK: Final = (
    "\u1100-\u11ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3040-\u30fa\u30fc-\u318f"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_MARKS: Final = (
    # Combining marks are parts of words, but no word characters to the regular expressions.
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u0900-\u0963\u0971-\u09e3\u09fe"
    "\u0a01-\u0a65\u0a70-\u0ae3\u0afa-\u0b65\u0b82-\u0be5\u0c00-\u0c65\u0c81-\u0ce5\u0d00-\u0d65"
    "\u0d81-\u0df3\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u0f71-\u0f84"
    "\u0f8d-\u0fbc\u102b-\u103e\u1056-\u1059\u17b4-\u17d3\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0"
)
_ASCII_WORDS: Final = re.compile(r"[a-z0-9]+")
_WORDS: Final = re.compile(rf"[{_CJK}]+|(?:[^\W_{_CJK}]|[{_MARKS}])+")
_IS_CJK: Final = re.compile(rf"[{_CJK}]")
_NGRAM: Final = 3


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """Terms in the order of the text, with repetitions."""

    of_document: Callable[[str], list[str]]
    of_query: Callable[[str], list[str]]


def normalised(text: str) -> str:
    """The form in which texts are compared: NFKC and case folded."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _without_accents(text: str) -> str:
    if text.isascii():
        return text
    parts = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join([c for c in parts if not _is_accent(c)]))


def _is_accent(character: str) -> bool:
    """Whether a mark goes; those of other scripts than Latin, Greek, Cyrillic carry the vowels."""
    return "\u0300" <= character <= "\u036f"


def _words(text: str, *, is_query: bool) -> list[str]:
    if text.isascii():
        return [_cut(word) for word in _ASCII_WORDS.findall(text)]
    terms: list[str] = []
    for word in _WORDS.findall(text):
        if _IS_CJK.match(word):
            terms += _pairs(word, is_query=is_query)
        else:
            terms.append(_cut(word))
    return terms


def _pairs(run: str, *, is_query: bool) -> list[str]:
    pairs = [run[at : at + 2] for at in range(len(run) - 1)]
    return pairs if is_query and pairs else [*pairs, run[-1]]


def _ngrams(text: str, *, is_query: bool) -> list[str]:
    terms: list[str] = []
    for word in text.split():
        last = len(word) if not is_query else max(len(word) - _NGRAM + 1, 1)
        terms += [_cut(word[at : at + _NGRAM]) for at in range(last)]
    return terms


def _cut(term: str) -> str:
    if len(term) * 4 <= SEARCH_TERM_BYTES_MAX:
        return term
    data = term.encode()
    if len(data) <= SEARCH_TERM_BYTES_MAX:
        return term
    return data[:SEARCH_TERM_BYTES_MAX].decode(errors="ignore")


DEFAULT_TOKENIZER: Final = "words"

TOKENIZERS: Final[Mapping[str, Tokenizer]] = {
    # Unicode words, and pairs of characters where a script has no spaces.
    "words": Tokenizer(
        lambda text: _words(normalised(text), is_query=False),
        lambda text: _words(normalised(text), is_query=True),
    ),
    # The same with "é" as "e".
    "folded": Tokenizer(
        lambda text: _words(_without_accents(normalised(text)), is_query=False),
        lambda text: _words(_without_accents(normalised(text)), is_query=True),
    ),
    # Every three characters of what stands between spaces: finds parts of words, codes, addresses.
    "trigrams": Tokenizer(
        lambda text: _ngrams(normalised(text), is_query=False),
        lambda text: _ngrams(normalised(text), is_query=True),
    ),
}
"""By the name that the schema gives. A change of what one does needs another TOKENIZERS_VERSION."""

TOKENIZERS_VERSION: Final = f"1-{unicodedata.unidata_version}"
"""What stored segments were made with; others are not used."""

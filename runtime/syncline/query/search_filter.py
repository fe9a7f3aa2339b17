"""The `q` of `.with_search_index(name, lambda q: ...)`: a text and filters (6.3, 6.8).

`q.search(field, text)` exactly once, and `q.eq(field, value)` for some of the filter fields.
"""

from dataclasses import dataclass, replace

from syncline.errors import DeveloperError
from syncline.index.key_encoding import MISSING, encode_value, values_range
from syncline.index.key_range import KeyRange
from syncline.limits import SEARCH_FILTERS_MAX, SEARCH_TERMS_MAX
from syncline.query.index_range import IndexRange
from syncline.search.tokenizers import TOKENIZERS
from syncline.values.value import normalize


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """A builder; every call returns a new one. Raises DeveloperError for what 6.3 rules out."""

    index: str
    """ "table.index", for messages."""
    search_field: str
    filter_fields: tuple[str, ...]
    tokenizer: str
    text: str | None = None
    equal: tuple[tuple[int, bytes], ...] = ()
    """Places of filter fields, and the encoded values that they must have."""

    def search(self, field: str, text: str) -> "SearchFilter":
        """Find the words of `text`; the last may be the beginning of one."""
        if field != self.search_field:
            raise DeveloperError(
                "FieldNotInIndex",
                f"The search on index {self.index} names {field!r}; it searches "
                f"{self.search_field!r}.",
            )
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
            raise DeveloperError(
                "InvalidSearch", f"q.search takes a text, not {type(text).__name__}."
            )
        if self.text is not None:
            raise DeveloperError(
                "InvalidSearch", f"The search on index {self.index} calls q.search twice."
            )
        return replace(self, text=text)

    def eq(self, field: str, value: object) -> "SearchFilter":
        """Only documents whose `field` equals `value`; UNSET: those without the field."""
        if field not in self.filter_fields:
            raise DeveloperError(
                "FieldNotInIndex",
                f"The search on index {self.index} filters by {field!r}, which is not one of its "
                f"filter fields: {list(self.filter_fields)}.",
            )
        if len(self.equal) >= SEARCH_FILTERS_MAX:
            raise DeveloperError(
                "TooManySearchFilters",
                f"The search on index {self.index} has more than {SEARCH_FILTERS_MAX} filters.",
            )
        wanted = MISSING if value is MISSING else normalize(value)
        place = self.filter_fields.index(field)
        return replace(self, equal=(*self.equal, (place, encode_value(wanted))))

    def terms(self) -> tuple[str, ...]:
        """The different terms of the text, the last one last; none if it has no words."""
        found = TOKENIZERS[self.tokenizer].of_query(self.text or "")
        # By its last place: what is typed last counts as the beginning of a word.
        terms = tuple(reversed(dict.fromkeys(reversed(found))))
        if len(terms) > SEARCH_TERMS_MAX:
            raise DeveloperError(
                "TooManySearchTerms",
                f"The search on index {self.index} has {len(terms)} different terms "
                f"(limit: {SEARCH_TERMS_MAX}). Search for fewer words.",
            )
        return terms

    def scope(self, index_id: bytes) -> KeyRange:
        """Every entry that a match could have: those with the values of the leading filters."""
        values = dict(reversed(self.equal))
        prefix = [index_id]
        for place in range(len(self.filter_fields)):
            if place not in values:
                break
            prefix.append(values[place])
        return values_range(b"".join(prefix))

    def results(self) -> IndexRange:
        """The results as an index of their own, ordered by rank: what a page's cursor is about."""
        filters = [f"{place}:{value.hex()}" for place, value in self.equal]
        return IndexRange(self.index, ("search", self.text or "", *filters))

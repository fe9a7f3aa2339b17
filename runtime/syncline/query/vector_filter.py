"""The `q` of `ctx.vector_search(..., filter=lambda q: ...)`: one `eq`, or several of them (6.3)."""

from dataclasses import dataclass, replace

from syncline.errors import DeveloperError
from syncline.index.key_encoding import MISSING, encode_value, values_range
from syncline.index.key_range import KeyRange
from syncline.limits import VECTOR_FILTERS_MAX
from syncline.values.value import normalize


@dataclass(frozen=True, slots=True)
class VectorConditions:
    """The `q` of an action, which does not know the index: conditions by name, checked later."""

    index: str
    any_of: tuple[tuple[str, object], ...] = ()

    def eq(self, field: str, value: object) -> "VectorConditions":
        """Only documents whose `field` equals `value`; UNSET: those without the field."""
        if self.any_of:
            raise _joined(self.index)
        return replace(self, any_of=((field, value),))

    def or_(self, *filters: "VectorConditions") -> "VectorConditions":
        """Documents that one of these conditions fits."""
        joined = tuple(condition for each in filters for condition in each.any_of)
        return replace(self, any_of=joined)


def no_condition(index: str) -> DeveloperError:
    """The error for a filter that returns none."""
    return DeveloperError(
        "InvalidVectorFilter",
        f"The filter on index {index} must return a condition: `lambda q: q.eq(...)` or "
        "`lambda q: q.or_(q.eq(...), q.eq(...))`.",
    )


def _joined(index: str) -> DeveloperError:
    return DeveloperError(
        "InvalidVectorFilter",
        f"The filter on index {index} joins two conditions: write q.or_(q.eq(...), q.eq(...)). "
        "A vector search has no `and`; filter the documents it found.",
    )


@dataclass(frozen=True, slots=True)
class VectorFilter:
    """A builder; every call returns a new one. Raises DeveloperError for what 6.3 rules out."""

    index: str
    """ "table.index", for messages."""
    filter_fields: tuple[str, ...]
    any_of: tuple[tuple[int, bytes], ...] = ()
    """Places of filter fields, and the encoded values of which one must fit; none: all fit."""

    def eq(self, field: str, value: object) -> "VectorFilter":
        """Only documents whose `field` equals `value`; UNSET: those without the field."""
        if self.any_of:
            raise _joined(self.index)
        if field not in self.filter_fields:
            raise DeveloperError(
                "FieldNotInIndex",
                f"The filter on index {self.index} names {field!r}, which is not one of its filter "
                f"fields: {list(self.filter_fields)}.",
            )
        wanted = MISSING if value is MISSING else normalize(value)
        return replace(self, any_of=((self.filter_fields.index(field), encode_value(wanted)),))

    def or_(self, *filters: "VectorFilter") -> "VectorFilter":
        """Documents that one of these conditions fits."""
        for each in filters:
            if not isinstance(each, VectorFilter) or not each.any_of:  # pyright: ignore[reportUnnecessaryIsInstance] # user input
                raise DeveloperError(
                    "InvalidVectorFilter",
                    f"The filter on index {self.index}: q.or_ takes conditions such as q.eq(...).",
                )
        joined = tuple(condition for each in filters for condition in each.any_of)
        if not joined or self.any_of:
            raise DeveloperError(
                "InvalidVectorFilter",
                f"The filter on index {self.index}: q.or_ takes at least one condition, all of "
                "them as arguments.",
            )
        if len(joined) > VECTOR_FILTERS_MAX:
            raise DeveloperError(
                "TooManyVectorFilters",
                f"The filter on index {self.index} has {len(joined)} conditions "
                f"(limit: {VECTOR_FILTERS_MAX}).",
            )
        return replace(self, any_of=joined)

    def scope(self, index_id: bytes) -> list[KeyRange]:
        """Every entry that a match could have."""
        if not self.any_of or any(place > 0 for place, _ in self.any_of):
            return [values_range(index_id)]
        return [values_range(index_id + value) for _, value in self.any_of]

"""The `q` of `.with_index(name, lambda q: ...)`: which part of an index to read (6.3).

Zero or more `eq` on the index's fields in order, then at most one lower and one upper bound on the
next field. Values of all types compare in the order of convex-protocol 2.3.
"""

from dataclasses import dataclass

from syncline.errors import DeveloperError
from syncline.index.key_encoding import MISSING, Indexed, encode_value
from syncline.index.key_range import KeyRange
from syncline.values.value import normalize

_PAST_VALUE = b"\xff"
"""Above every continuation of a whole encoded value: the next tag, or the index's end; and below
or at the FF that follows a 00 inside a longer string or byte string."""


@dataclass(frozen=True, slots=True)
class IndexRange:
    """A builder; every call returns a new one. Raises DeveloperError for what 6.3 rules out."""

    index: str
    """ "table.index", for messages."""
    fields: tuple[str, ...]
    """The index's fields, the implied _creationTime (or _id) included."""
    equal: tuple[bytes, ...] = ()
    lower: tuple[str, bytes] | None = None
    """The bounded field and the least key suffix inside."""
    upper: tuple[str, bytes] | None = None
    """The bounded field and the least key suffix beyond."""

    def eq(self, field: str, value: object) -> "IndexRange":
        """`field` equals `value`; UNSET matches documents without the field."""
        if self.lower is not None or self.upper is not None:
            raise self._out_of_order(field, "eq comes before gt, gte, lt and lte")
        self._require_next(field)
        return IndexRange(self.index, self.fields, (*self.equal, encode_value(_value(value))))

    def gt(self, field: str, value: object) -> "IndexRange":
        """`field` is greater than `value`."""
        return self._from(field, encode_value(_value(value)) + _PAST_VALUE)

    def gte(self, field: str, value: object) -> "IndexRange":
        """`field` is `value` or greater."""
        return self._from(field, encode_value(_value(value)))

    def lt(self, field: str, value: object) -> "IndexRange":
        """`field` is less than `value`."""
        return self._to(field, encode_value(_value(value)))

    def lte(self, field: str, value: object) -> "IndexRange":
        """`field` is `value` or less."""
        return self._to(field, encode_value(_value(value)) + _PAST_VALUE)

    def _from(self, field: str, bound: bytes) -> "IndexRange":
        if self.lower is not None:
            raise DeveloperError(
                "InvalidIndexRange",
                f"The range on index {self.index} has two lower bounds (gt or gte); keep one.",
            )
        self._require_bound(field, self.upper)
        return IndexRange(self.index, self.fields, self.equal, (field, bound), self.upper)

    def _to(self, field: str, bound: bytes) -> "IndexRange":
        if self.upper is not None:
            raise DeveloperError(
                "InvalidIndexRange",
                f"The range on index {self.index} has two upper bounds (lt or lte); keep one.",
            )
        self._require_bound(field, self.lower)
        return IndexRange(self.index, self.fields, self.equal, self.lower, (field, bound))

    def _require_bound(self, field: str, other: tuple[str, bytes] | None) -> None:
        if other is not None and other[0] != field:
            raise DeveloperError(
                "BoundsOnMultipleFields",
                f"The range on index {self.index} bounds both {other[0]!r} and {field!r}; upper "
                "and lower bounds can only be put on one field.",
            )
        self._require_next(field)

    def _require_next(self, field: str) -> None:
        if field not in self.fields:
            raise DeveloperError(
                "FieldNotInIndex",
                f"The range on index {self.index} names {field!r}, which is not one of its "
                f"fields: {list(self.fields)}.",
            )
        at = len(self.equal)
        if at >= len(self.fields) or self.fields[at] != field:
            raise self._out_of_order(field, f"the next field is {self._next_field()}")

    def _next_field(self) -> str:
        at = len(self.equal)
        return repr(self.fields[at]) if at < len(self.fields) else "none, all are used"

    def _out_of_order(self, field: str, why: str) -> DeveloperError:
        used = [*self.fields[: len(self.equal)], field]
        return DeveloperError(
            "InvalidIndexRange",
            f"The range on index {self.index} didn't use the index fields in order: {why}. "
            f"Index fields: {list(self.fields)}. Query fields: {used}. "
            f"First incorrect field: {field!r}.",
        )

    def key_range(self, index_id: bytes) -> KeyRange:
        """The keys in the range; empty (lo >= hi) when the bounds exclude everything."""
        prefix = index_id + b"".join(self.equal)
        lo = prefix + self.lower[1] if self.lower else prefix
        hi = prefix + self.upper[1] if self.upper else prefix + _PAST_VALUE
        return KeyRange(lo, hi)


def _value(value: object) -> Indexed:
    return MISSING if value is MISSING else normalize(value)

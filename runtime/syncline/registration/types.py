"""Types for annotations of user functions, each of which is also a validator (see signature.py).

Names of fields cross the wire as written, so pagination keeps the clients' camelCase.
"""

from typing import Any, NewType, NotRequired, TypedDict

Id = NewType("Id", str)
"""A document id. Alone it is `v.string()`; `Annotated[Id, v.id("table")]` checks the table."""


class PaginationOptions(TypedDict):
    """What a paginated query takes as `paginationOpts` (convex-protocol 6.4)."""

    numItems: int
    """How many documents the first page should have: 1 to 32,000."""
    cursor: str | None
    """Where to go on: `continueCursor` of the page before, None at the start."""
    endCursor: NotRequired[str | None]
    """Return everything up to here, whatever `numItems` says."""
    id: NotRequired[float]
    """A number that clients add to tell one pagination from another."""
    maximumRowsRead: NotRequired[float]
    maximumBytesRead: NotRequired[float]


class PaginationResult(TypedDict):
    """What `paginate` returns (convex-protocol 6.4)."""

    page: list[dict[str, Any]]
    isDone: bool
    """Whether the end of the query is reached."""
    continueCursor: str
    splitCursor: NotRequired[str | None]
    """The middle of a page that clients should read as two."""
    pageStatus: NotRequired[str | None]
    """None, "SplitRecommended" or "SplitRequired"."""

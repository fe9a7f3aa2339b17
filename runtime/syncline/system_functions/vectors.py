"""Vector search on behalf of actions, which have no database of their own."""

from typing import TYPE_CHECKING, Any

from syncline.index.key_encoding import MISSING
from syncline.registration.decorators import query

if TYPE_CHECKING:
    from syncline import QueryCtx
    from syncline.query.vector_filter import VectorFilter


@query
async def nearest(
    ctx: "QueryCtx", table: str, index: str, vector: Any, limit: Any, conditions: list[Any]
) -> list[Any]:
    """What `ctx.vector_search` finds; each condition has a `field`, and a `value` unless UNSET."""

    def build(q: "VectorFilter") -> "VectorFilter":
        return q.or_(*[q.eq(each["field"], each.get("value", MISSING)) for each in conditions])

    found = await ctx.vector_search(
        table, index, vector=vector, limit=limit, filter=build if conditions else None
    )
    return list(found)

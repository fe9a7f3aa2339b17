"""What a test edits while it is served."""

from syncline import QueryCtx, query


@query
async def shown(ctx: QueryCtx) -> str:
    return "first"

"""Counters by name: read, add one, write back. The first increment makes the counter."""

from syncline import MutationCtx, QueryCtx, mutation, query


@mutation
async def increment(ctx: MutationCtx, name: str) -> int:
    counter = await _find(ctx, name)
    if counter is None:
        await ctx.db.insert("counters", {"name": name, "value": 1})
        return 1
    value = counter["value"] + 1
    await ctx.db.patch(counter["_id"], {"value": value})
    return value


@query
async def read(ctx: QueryCtx, name: str) -> int:
    counter = await _find(ctx, name)
    return 0 if counter is None else counter["value"]


@query
async def follow(ctx: QueryCtx, name: str) -> int:
    """The same as `read`, told apart in the server's log."""
    return await read(ctx, name)


async def _find(ctx: QueryCtx, name: str) -> dict | None:
    counters = ctx.db.query("counters").with_index("by_name", lambda q: q.eq("name", name))
    return await counters.first()

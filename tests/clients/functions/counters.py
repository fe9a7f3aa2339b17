"""Counters by name, and transfers between them that keep their sum."""

from syncline import MutationCtx, QueryCtx, mutation, query


@query
async def read(ctx: QueryCtx, name: str) -> int:
    counter = await _find(ctx, name)
    return 0 if counter is None else counter["value"]


@mutation
async def increment(ctx: MutationCtx, name: str, by: int = 1) -> int:
    counter = await _find(ctx, name)
    if counter is None:
        await ctx.db.insert("counters", {"name": name, "value": by})
        return by
    value = counter["value"] + by
    await ctx.db.patch(counter["_id"], {"value": value})
    return value


@mutation
async def transfer(ctx: MutationCtx, source: str, target: str, amount: int) -> None:
    for name, change in ((source, -amount), (target, amount)):
        counter = await _find(ctx, name)
        await ctx.db.patch(counter["_id"], {"value": counter["value"] + change})


async def _find(ctx: QueryCtx, name: str) -> dict | None:
    return (
        await ctx.db.query("counters").with_index("by_name", lambda q: q.eq("name", name)).first()
    )

"""What the simulated clients call: reads and writes that get in each other's way."""

from typing import Any

from syncline import (
    ApplicationError,
    Id,
    MutationCtx,
    PaginationOptions,
    QueryCtx,
    mutation,
    query,
)

from .lookup import counter, messages_of


@mutation
async def increment(ctx: MutationCtx, name: str) -> float:
    found = await counter(ctx, name)
    if found is None:
        await ctx.db.insert("counters", {"name": name, "value": 1.0})
        return 1.0
    value = found["value"] + 1.0
    await ctx.db.patch(found["_id"], {"value": value})
    return value


@mutation
async def increment_up_to(ctx: MutationCtx, name: str, most: float) -> float:
    """Fails where the limit is reached: an error that is validated too."""
    found = await counter(ctx, name)
    if found is None or found["value"] >= most:
        raise ApplicationError({"name": name, "value": found and found["value"]})
    await ctx.db.patch(found["_id"], {"value": found["value"] + 1.0})
    return found["value"] + 1.0


@mutation
async def copy(ctx: MutationCtx, source: str, target: str) -> float:
    """Reads one counter and writes the other: half of a write skew."""
    one, other = await counter(ctx, source), await counter(ctx, target)
    value = one["value"] if one else 0.0
    if other is None:
        await ctx.db.insert("counters", {"name": target, "value": value})
    else:
        await ctx.db.replace(other["_id"], {"name": target, "value": value})
    return value


@mutation
async def say(ctx: MutationCtx, channel: str, text: str) -> Id:
    user = await ctx.auth.get_user_identity()
    author = user.subject if user else None
    return await ctx.db.insert("messages", {"channel": channel, "text": text, "author": author})


@mutation
async def forget(ctx: MutationCtx, channel: str) -> str | None:
    """Delete the oldest message of a channel."""
    found = await messages_of(ctx, channel)
    if not found:
        return None
    await ctx.db.delete(found[0]["_id"])
    return found[0]["text"]


@mutation
async def peek(ctx: MutationCtx) -> float:
    """A mutation without writes is a commit too."""
    return float(len(await ctx.db.query("messages").collect()))


@query
async def channel(ctx: QueryCtx, channel: str) -> list[str]:
    return [message["text"] for message in await messages_of(ctx, channel)]


@query
async def total(ctx: QueryCtx) -> float:
    return sum([each["value"] for each in await ctx.db.query("counters").collect()])


@query
async def value_of(ctx: QueryCtx, name: str) -> float:
    found = await counter(ctx, name)
    if found is None:
        raise ApplicationError({"missing": name})
    return found["value"]


@query
async def mine(ctx: QueryCtx) -> list[str]:
    user = await ctx.auth.get_user_identity()
    if user is None:
        return []
    messages = await ctx.db.query("messages").collect()
    return [message["text"] for message in messages if message["author"] == user.subject]


@query
async def newest(ctx: QueryCtx, paginationOpts: PaginationOptions) -> Any:
    return await ctx.db.query("messages").order("desc").paginate(paginationOpts)

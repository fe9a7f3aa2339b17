"""Lookups of the second bundle: by the indexes that it brings."""

from typing import Any

from syncline import MutationCtx, QueryCtx


async def counter(ctx: QueryCtx | MutationCtx, name: str) -> dict[str, Any] | None:
    return (
        await ctx.db.query("counters").with_index("by_name", lambda q: q.eq("name", name)).first()
    )


async def messages_of(ctx: QueryCtx | MutationCtx, channel: str) -> list[dict[str, Any]]:
    messages = ctx.db.query("messages")
    return await messages.with_index("by_channel", lambda q: q.eq("channel", channel)).collect()

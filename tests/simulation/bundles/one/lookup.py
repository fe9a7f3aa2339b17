"""Lookups of the first bundle: whole tables, so that almost everything is in everybody's way."""

from typing import Any

from syncline import MutationCtx, QueryCtx


async def counter(ctx: QueryCtx | MutationCtx, name: str) -> dict[str, Any] | None:
    counters = await ctx.db.query("counters").collect()
    return next((each for each in counters if each["name"] == name), None)


async def messages_of(ctx: QueryCtx | MutationCtx, channel: str) -> list[dict[str, Any]]:
    messages = await ctx.db.query("messages").collect()
    return [message for message in messages if message["channel"] == channel]

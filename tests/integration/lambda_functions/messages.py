"""What the handlers' tests call."""

from syncline import Id, MutationCtx, QueryCtx, mutation, query


@mutation
async def send(ctx: MutationCtx, channel: str, body: str) -> Id:
    """Add a message."""
    return await ctx.db.insert("messages", {"channel": channel, "body": body})


@mutation
async def send_later(ctx: MutationCtx, channel: str, body: str) -> str:
    """Have a message added as soon as this is committed."""
    return await ctx.scheduler.run_after(0, send, channel=channel, body=body)


@query
async def list_by_channel(ctx: QueryCtx, channel: str) -> list[str]:
    """Bodies of a channel's messages, oldest first."""
    found = await (
        ctx.db.query("messages")
        .with_index("by_channel", lambda q: q.eq("channel", channel))
        .collect()
    )
    return [each["body"] for each in found]

"""What the load clients call."""

from syncline import Id, MutationCtx, QueryCtx, mutation, query


@mutation
async def insert(ctx: MutationCtx, author: str, body: str) -> Id:
    """One durable document."""
    return await ctx.db.insert("inserts", {"author": author, "body": body})


@mutation
async def fill(ctx: MutationCtx, channels: list[str], body: str) -> None:
    """Ten documents for each channel."""
    for channel in channels:
        for n in range(10):
            await ctx.db.insert("messages", {"channel": channel, "n": n, "seq": 0, "body": body})


@mutation
async def bulk(ctx: MutationCtx, count: int, body: str) -> None:
    """Many documents at once."""
    for _ in range(count):
        await ctx.db.insert("inserts", {"author": "bulk", "body": body})


@mutation
async def update(ctx: MutationCtx, channel: str, n: int, seq: int) -> None:
    """Change one document of a channel."""
    found = (
        await ctx.db.query("messages")
        .with_index("by_channel", lambda q: q.eq("channel", channel).eq("n", n))
        .first()
    )
    assert found is not None
    await ctx.db.patch(found["_id"], {"seq": seq})


@query
async def channel(ctx: QueryCtx, channel: str) -> list[dict]:
    """The ten documents of a channel."""
    return (
        await ctx.db.query("messages")
        .with_index("by_channel", lambda q: q.eq("channel", channel))
        .take(10)
    )


@query
async def cold(ctx: QueryCtx, channel: str, breaker: int) -> list[dict]:
    """The same with an argument that no other call has, so that nothing is shared."""
    return (
        await ctx.db.query("messages")
        .with_index("by_channel", lambda q: q.eq("channel", channel))
        .take(10)
    )

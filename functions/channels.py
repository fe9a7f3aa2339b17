"""Channels of the chat."""

from typing import Annotated, TypedDict

from syncline import ApplicationError, Id, MutationCtx, QueryCtx, mutation, query, v

ChannelId = Annotated[Id, v.id("channels")]


class Channel(TypedDict):
    """A channel as clients see it."""

    _id: ChannelId
    _creationTime: float
    name: str


@query
async def get(ctx: QueryCtx) -> list[Channel]:
    """All channels by name."""
    return await ctx.db.query("channels").with_index("by_name").collect()


@mutation
async def create(ctx: MutationCtx, name: str) -> ChannelId:
    """Create a channel, or find the one of that name."""
    name = name.strip().removeprefix("#")
    if not name:
        raise ApplicationError("A channel needs a name.")
    found = (
        await ctx.db.query("channels").with_index("by_name", lambda q: q.eq("name", name)).first()
    )
    return found["_id"] if found else await ctx.db.insert("channels", {"name": name})

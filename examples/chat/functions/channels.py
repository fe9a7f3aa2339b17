from typing import Annotated, TypedDict

from syncline import ApplicationError, Id, MutationCtx, QueryCtx, mutation, query, v

ChannelId = Annotated[Id, v.id("channels")]


class Channel(TypedDict):
    _id: ChannelId
    _creationTime: float
    name: str


@query
async def every(ctx: QueryCtx) -> list[Channel]:
    return await ctx.db.query("channels").with_index("by_name").collect()


@mutation
async def create(ctx: MutationCtx, name: str) -> ChannelId:
    """A new channel, or the one that has this name already."""
    name = name.strip().removeprefix("#")
    if not name:
        raise ApplicationError("A channel needs a name.")
    named = ctx.db.query("channels").with_index("by_name", lambda q: q.eq("name", name))
    found = await named.first()
    return found["_id"] if found else await ctx.db.insert("channels", {"name": name})

"""Messages of the chat, newest first, page by page."""

from typing import Annotated, NotRequired, TypedDict

from syncline import (
    ApplicationError,
    Id,
    MutationCtx,
    PaginationOptions,
    QueryCtx,
    mutation,
    query,
    v,
)

from .channels import ChannelId

MessageId = Annotated[Id, v.id("messages")]


class Message(TypedDict):
    """A message as clients see it."""

    _id: MessageId
    _creationTime: float
    channel: ChannelId
    author: str
    body: str


class MessagePage(TypedDict):
    """One page, in the form that `usePaginatedQuery` wants."""

    page: list[Message]
    isDone: bool
    continueCursor: str
    splitCursor: NotRequired[str | None]
    pageStatus: NotRequired[str | None]


@query
async def list(ctx: QueryCtx, channel: ChannelId, paginationOpts: PaginationOptions) -> MessagePage:
    """A page of a channel's messages, newest first."""
    messages = ctx.db.query("messages").with_index("by_channel", lambda q: q.eq("channel", channel))
    return await messages.order("desc").paginate(paginationOpts)


@mutation
async def send(ctx: MutationCtx, channel: ChannelId, author: str, body: str) -> MessageId:
    """Write a message into a channel."""
    if await ctx.db.get(channel) is None:
        raise ApplicationError("This channel is gone.")
    return await ctx.db.insert(
        "messages", {"channel": channel, "author": author.strip() or "anonymous", "body": body}
    )

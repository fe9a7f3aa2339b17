from typing import Annotated, Any, TypedDict

from syncline import ApplicationError, Id, MutationCtx, QueryCtx, mutation, query, v

from .channels import ChannelId

MessageId = Annotated[Id, v.id("messages")]
StorageId = Annotated[Id, v.id("_storage")]

SHOWN_MAX = 50
IMAGE_BYTES_MAX = 4_000_000
IMAGE_TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif"]


class Message(TypedDict):
    _id: MessageId
    _creationTime: float
    author: str
    body: str
    image_url: str | None


@query
async def newest(ctx: QueryCtx, channel: ChannelId) -> list[Message]:
    """A channel's newest messages, the oldest of them first, as a chat shows them."""
    messages = ctx.db.query("messages").with_index("by_channel", lambda q: q.eq("channel", channel))
    found = await messages.order("desc").take(SHOWN_MAX)
    return await _shown(ctx, found[::-1])


@query
async def search(ctx: QueryCtx, channel: ChannelId, words: str) -> list[Message]:
    """A channel's messages that match best, while the words are being typed."""
    found = ctx.db.query("messages").with_search_index(
        "search_body", lambda q: q.search("body", words).eq("channel", channel)
    )
    return await _shown(ctx, await found.take(10))


@mutation
async def image_upload_url(ctx: MutationCtx) -> str:
    """Where to POST an image; the answer's `storageId` goes to `send`."""
    return await ctx.storage.generate_upload_url(
        max_bytes=IMAGE_BYTES_MAX, content_types=IMAGE_TYPES
    )


@mutation
async def send(
    ctx: MutationCtx,
    channel: ChannelId,
    author: str,
    body: str,
    image: StorageId | None = None,
) -> MessageId:
    body = body.strip()
    if not body and image is None:
        raise ApplicationError("A message needs a text or an image.")
    if await ctx.db.get(channel) is None:
        raise ApplicationError("This channel is gone.")
    if image is not None and await ctx.storage.get_metadata(image) is None:
        raise ApplicationError("This image is gone.")
    message = {"channel": channel, "author": author.strip() or "anonymous", "body": body}
    return await ctx.db.insert("messages", {**message, "image": image})


@mutation
async def remove(ctx: MutationCtx, message: MessageId) -> None:
    """Delete a message and its image, in one transaction; doing it twice is fine."""
    found = await ctx.db.get(message)
    if found is None:
        return
    await ctx.db.delete(message)
    if found["image"] is not None:
        await ctx.storage.delete(found["image"])


async def _shown(ctx: QueryCtx, messages: list[dict[str, Any]]) -> list[Message]:
    return [
        {
            "_id": message["_id"],
            "_creationTime": message["_creationTime"],
            "author": message["author"],
            "body": message["body"],
            "image_url": message["image"] and await ctx.storage.get_url(message["image"]),
        }
        for message in messages
    ]

from typing import Annotated, TypedDict

from syncline import (
    ApplicationError,
    Id,
    MutationCtx,
    QueryCtx,
    internal_query,
    mutation,
    query,
    v,
)

ImageId = Annotated[Id, v.id("images")]
StorageId = Annotated[Id, v.id("_storage")]

BYTES_MAX = 4_000_000
TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif"]


class Image(TypedDict):
    _id: ImageId
    title: str
    file: StorageId
    url: str | None
    size: float


@query
async def newest(ctx: QueryCtx) -> list[Image]:
    shown: list[Image] = []
    for image in await ctx.db.query("images").order("desc").take(50):
        file = await ctx.storage.get_metadata(image["file"])
        if file is not None:
            shown.append(
                {
                    "_id": image["_id"],
                    "title": image["title"],
                    "file": image["file"],
                    "url": await ctx.storage.get_url(image["file"]),
                    "size": file["size"],
                }
            )
    return shown


@mutation
async def upload_url(ctx: MutationCtx) -> str:
    return await ctx.storage.generate_upload_url(max_bytes=BYTES_MAX, content_types=TYPES)


@mutation
async def add(ctx: MutationCtx, title: str, file: StorageId) -> ImageId:
    """Hang an uploaded file in the gallery."""
    if await ctx.storage.get_metadata(file) is None:
        raise ApplicationError("There is no such file.")
    return await ctx.db.insert("images", {"title": title.strip() or "untitled", "file": file})


@mutation
async def remove(ctx: MutationCtx, image: ImageId) -> None:
    """An image and its file go together; doing it twice is fine."""
    found = await ctx.db.get(image)
    if found is not None:
        await ctx.db.delete(image)
        await ctx.storage.delete(found["file"])


@internal_query
async def content_type(ctx: QueryCtx, file: str) -> str | None:
    """The type of a file that hangs in the gallery; None for any other."""
    hung = ctx.db.query("images").with_index("by_file", lambda q: q.eq("file", file))
    if await hung.first() is None:
        return None
    metadata = await ctx.storage.get_metadata(file)
    return metadata and metadata["contentType"]

"""Files: upload URLs with limits, addresses, what is known of a file, deletion."""

from typing import Any

from syncline import MutationCtx, QueryCtx, mutation, query


@mutation
async def upload_url(
    ctx: MutationCtx,
    max_bytes: int | None = None,
    content_types: list[str] | None = None,
    private: bool = False,
    direct: bool = False,
) -> str:
    return await ctx.storage.generate_upload_url(
        max_bytes=max_bytes, content_types=content_types, private=private, direct=direct
    )


@query
async def url(ctx: QueryCtx, id: str, expires_in: float | None = None) -> str | None:  # noqa: A002 - a name on the wire
    return await ctx.storage.get_url(id, expires_in=expires_in)


@query
async def urls(ctx: QueryCtx, ids: list[str]) -> list[str | None]:
    return await ctx.gather(*(ctx.storage.get_url(each) for each in ids))


@query
async def metadata(ctx: QueryCtx, id: str) -> Any:  # noqa: A002 - a name on the wire
    return await ctx.storage.get_metadata(id)


@query
async def row(ctx: QueryCtx, id: str) -> Any:  # noqa: A002 - a name on the wire
    return await ctx.db.system.get(id)


@query
async def rows(ctx: QueryCtx) -> list[Any]:
    return await ctx.db.system.query("_storage").collect()


@mutation
async def remove(ctx: MutationCtx, id: str) -> None:  # noqa: A002 - a name on the wire
    await ctx.storage.delete(id)

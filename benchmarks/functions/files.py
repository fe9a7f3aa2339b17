"""Files to move to and fro."""

from syncline import MutationCtx, QueryCtx, mutation, query


@mutation
async def upload_url(ctx: MutationCtx) -> str:
    """Takes all of them."""
    return await ctx.storage.generate_upload_url()


@query
async def urls(ctx: QueryCtx, ids: list[str]) -> list[str | None]:
    """Where they are."""
    return await ctx.gather(*(ctx.storage.get_url(each) for each in ids))

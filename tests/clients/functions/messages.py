"""Numbered messages of a room, read page by page."""

from syncline import MutationCtx, PaginationOptions, PaginationResult, QueryCtx, mutation, query


@query
async def page(ctx: QueryCtx, room: str, paginationOpts: PaginationOptions) -> PaginationResult:  # noqa: N803 - a name on the wire
    messages = ctx.db.query("messages").with_index("by_room", lambda q: q.eq("room", room))
    return await messages.paginate(paginationOpts)


@mutation
async def send(ctx: MutationCtx, room: str, numbers: list[float]) -> None:
    for number in numbers:
        await ctx.db.insert("messages", {"room": room, "number": number})

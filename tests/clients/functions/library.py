"""Books that are found by their words."""

from typing import Annotated

from syncline import Id, MutationCtx, PaginationOptions, QueryCtx, mutation, query, v

BookId = Annotated[Id, v.id("books")]


@mutation
async def add(ctx: MutationCtx, room: str, text: str) -> Id:
    return await ctx.db.insert("books", {"room": room, "text": text})


@mutation
async def change(ctx: MutationCtx, book: BookId, text: str) -> None:
    await ctx.db.patch(book, {"text": text})


@query
async def find(ctx: QueryCtx, room: str, words: str) -> list[str]:
    found = await _found(ctx, room, words).take(10)
    return [book["text"] for book in found]


@query
async def pages(
    ctx: QueryCtx,
    room: str,
    words: str,
    paginationOpts: PaginationOptions,  # noqa: N803 - as the clients name it
) -> dict:
    return {**await _found(ctx, room, words).paginate(paginationOpts)}


@mutation
async def add_and_find(ctx: MutationCtx, room: str, text: str, words: str) -> list[str]:
    await ctx.db.insert("books", {"room": room, "text": text})
    return [book["text"] for book in await _found(ctx, room, words).collect()]


def _found(ctx: QueryCtx, room: str, words: str):
    return ctx.db.query("books").with_search_index(
        "search_text", lambda q: q.search("text", words).eq("room", room)
    )

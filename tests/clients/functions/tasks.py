"""Tasks of a room: what most tests read and write."""

from typing import Annotated

from syncline import ApplicationError, Id, MutationCtx, QueryCtx, mutation, query, v


@query
async def get(ctx: QueryCtx, room: str) -> list[dict]:
    return await ctx.db.query("tasks").with_index("by_room", lambda q: q.eq("room", room)).collect()


@mutation
async def add(ctx: MutationCtx, room: str, text: str) -> Id:
    return await ctx.db.insert("tasks", {"room": room, "text": text})


@mutation
async def rename(ctx: MutationCtx, task: Annotated[Id, v.id("tasks")], text: str) -> None:
    await ctx.db.patch(task, {"text": text})


@mutation
async def add_and_fail(ctx: MutationCtx, room: str, text: str) -> None:
    await ctx.db.insert("tasks", {"room": room, "text": text})
    raise ApplicationError({"code": "refused", "text": text})

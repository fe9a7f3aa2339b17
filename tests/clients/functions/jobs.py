"""Scheduling: what runs later counts in a counter, so that clients can watch it."""

from typing import Any

from syncline import (
    ActionCtx,
    ApplicationError,
    MutationCtx,
    QueryCtx,
    action,
    internal_mutation,
    mutation,
    query,
)


@internal_mutation
async def ran(ctx: MutationCtx, room: str, text: str) -> None:
    if text == "refused":
        raise ApplicationError({"code": 7})
    await ctx.db.insert("tasks", {"room": room, "text": text})


@action
async def act(ctx: ActionCtx, room: str, text: str) -> None:
    await ctx.run_mutation(ran, room=room, text=text)
    await ctx.scheduler.run_after(0, ran, room=room, text=f"{text}, then more")


@mutation
async def plan(ctx: MutationCtx, room: str, text: str, seconds: float, acts: bool = False) -> str:
    return await ctx.scheduler.run_after(seconds, act if acts else ran, room=room, text=text)


@mutation
async def cancel(ctx: MutationCtx, job: str) -> None:
    await ctx.scheduler.cancel(job)


@query
async def state(ctx: QueryCtx, job: str) -> Any:
    row = await ctx.db.system.get(job)
    return None if row is None else row["state"]

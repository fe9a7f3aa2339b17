"""Scheduled work that leaves traces: a row for every effect, a line in a file for every start."""

from pathlib import Path

from syncline import (
    ActionCtx,
    Id,
    MutationCtx,
    QueryCtx,
    internal_action,
    internal_mutation,
    mutation,
    query,
)


@mutation
async def plan(ctx: MutationCtx, first: int, count: int, seconds: float, trace: str) -> list[Id]:
    """Schedule `count` mutations and a third as many actions, spread over the next seconds."""
    scheduled = []
    for number in range(first, first + count):
        delay = seconds * (number - first) / count
        scheduled.append(await ctx.scheduler.run_after(delay, work, number=number))
        if number % 3 == 0:
            job = await ctx.scheduler.run_after(delay, act, number=number, trace=trace)
            scheduled.append(job)
    return scheduled


@internal_mutation
async def work(ctx: MutationCtx, number: int) -> None:
    await ctx.db.insert("effects", {"number": number})


@internal_action
async def act(ctx: ActionCtx, number: int, trace: str) -> None:
    with Path(trace).open("a") as file:  # noqa: ASYNC230 - one short line
        file.write(f"{number}\n")
    await ctx.run_mutation(effect_of_action, number=number)


@internal_mutation
async def effect_of_action(ctx: MutationCtx, number: int) -> None:
    await ctx.db.insert("action_effects", {"number": number})


@mutation
async def cancel(ctx: MutationCtx, jobs: list[Id]) -> None:
    for job in jobs:
        await ctx.scheduler.cancel(job)


@query
async def unfinished(ctx: QueryCtx) -> int:
    jobs = await ctx.db.system.query("_scheduled_functions").collect()
    return sum(job["state"]["kind"] in {"pending", "inProgress"} for job in jobs)


@query
async def outcome(ctx: QueryCtx) -> dict:
    jobs = await ctx.db.system.query("_scheduled_functions").collect()
    return {
        "jobs": [[job["name"], job["args"][0]["number"], job["state"]["kind"]] for job in jobs],
        "errors": [job["state"]["error"] for job in jobs if "error" in job["state"]],
        "effects": [row["number"] for row in await ctx.db.query("effects").collect()],
        "action_effects": [row["number"] for row in await ctx.db.query("action_effects").collect()],
    }

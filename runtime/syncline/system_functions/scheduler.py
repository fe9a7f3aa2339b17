"""Scheduled functions, as the scheduler and actions use them (drivers/scheduler.py)."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from syncline.execution.scheduled_functions import ScheduledFunctions, upcoming_crons
from syncline.execution.scheduled_functions import upcoming as first
from syncline.registration.decorators import mutation, query

if TYPE_CHECKING:
    from syncline import MutationCtx, QueryCtx


@mutation
async def schedule(ctx: "MutationCtx", name: str, arguments: dict[str, Any], due: float) -> str:
    """What an action schedules for `due` (ms); returns the id."""
    return await ctx.scheduler.run_at(datetime.fromtimestamp(due / 1000, UTC), name, **arguments)


@mutation
async def cancel(ctx: "MutationCtx", id: str) -> None:
    """What an action cancels."""
    await ctx.scheduler.cancel(id)


@query
async def upcoming(
    ctx: "QueryCtx", mutations: float, actions: float, crons: float
) -> dict[str, Any]:
    """The first of each kind to be started, and when the next sweep is due (ms), if it is."""
    sweeps = [*await first(ctx.db, "claim", 1), *await first(ctx.db, "history", 1)]
    return {
        "jobs": [
            {"id": row["job"], "kind": row["kind"], "name": row["name"], "due": row["due"]}
            for kind, at_most in (("mutation", mutations), ("action", actions))
            for row in await first(ctx.db, kind, int(at_most))
        ]
        + [
            {"id": row["_id"], "kind": "cron", "name": row["name"], "due": row["next"]}
            for row in await upcoming_crons(ctx.db, int(crons))
        ],
        "sweep": min((row["due"] for row in sweeps), default=None),
    }


@mutation
async def tick(ctx: "MutationCtx", cron: str, due: float) -> None:
    """Start the run of a cron that is due."""
    await _rows(ctx).tick(cron, due)


@mutation
async def claim(ctx: "MutationCtx", job: str, attempt: str, until: float) -> Any:
    """The arguments of an action that this attempt may start; None: it may not."""
    found = await _rows(ctx).claim(job, attempt, until)
    return None if found is None else found["args"][0]


@mutation
async def end(ctx: "MutationCtx", job: str, error: str | None, attempt: str | None = None) -> None:
    """A mutation has failed, or this attempt of an action has come to its end."""
    if attempt is None:
        if await _rows(ctx).pending(job) is not None:
            await _rows(ctx).end(job, error)
    else:
        await _rows(ctx).end_attempt(job, attempt, error)


@mutation
async def sweep(ctx: "MutationCtx", atMost: float, error: str) -> int:
    """Fail claims that are over with `error`, forget old history; how many rows were touched."""
    return await _rows(ctx).sweep(int(atMost), error)


@mutation
async def fail_claims(ctx: "MutationCtx", atMost: float, error: str) -> int:
    """Fail every action that a process before this one had started; how many there were."""
    rows = _rows(ctx)
    claims = await first(ctx.db, "claim", int(atMost))
    for row in claims:
        await rows.end(row["job"], error)
    return len(claims)


def _rows(ctx: "MutationCtx") -> ScheduledFunctions:
    return ScheduledFunctions(ctx.db, ctx.now.timestamp() * 1000)

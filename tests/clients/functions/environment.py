"""What functions read of the environment; each result says by a number when it was made."""

import hashlib
from typing import Any

from syncline import ActionCtx, MutationCtx, QueryCtx, action, internal_mutation, mutation, query


@query
async def variable(ctx: QueryCtx, name: str) -> list[Any]:
    return [ctx.env.get(name), ctx.random.random()]


@query
async def unrelated(ctx: QueryCtx, room: str) -> float:
    return ctx.random.random()


@mutation
async def matches(ctx: MutationCtx, name: str, digest: str) -> bool:
    """Uses a secret without telling it."""
    return _digest(ctx.env[name]) == digest


@mutation
async def matches_later(ctx: MutationCtx, name: str, digest: str, counter: str) -> None:
    await ctx.scheduler.run_after(0, count_match, name=name, digest=digest, counter=counter)


@internal_mutation
async def count_match(ctx: MutationCtx, name: str, digest: str, counter: str) -> None:
    if _digest(ctx.env[name]) == digest:
        await ctx.run_mutation("counters:increment", name=counter)


@action
async def matches_in_action(ctx: ActionCtx, name: str, digest: str) -> bool:
    return _digest(ctx.env[name]) == digest


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""Actions as clients call them: ordinary Python beside the transactions that they call."""

import asyncio
from typing import Any

from syncline import (
    ActionCtx,
    ApplicationError,
    CallFailedError,
    MutationCtx,
    QueryCtx,
    action,
    internal_action,
    internal_mutation,
    internal_query,
    mutation,
    query,
)


@action
async def count_up(ctx: ActionCtx, name: str, times: int) -> int:
    """Each increment is a transaction of its own; a query shows all of them."""
    for _ in range(times):
        await ctx.run_mutation("counters:increment", name=name)
    return await ctx.run_query("counters:read", name=name)


@action
async def wait_for(ctx: ActionCtx, name: str, value: int) -> int:
    """Answers when the counter has got there."""
    while True:
        now = await ctx.run_query("counters:read", name=name)
        if now >= value:
            return now
        await asyncio.sleep(0.01)


@action
async def wait_for_ever(ctx: ActionCtx, name: str) -> None:
    """Counts 1 when it has begun, and 10 more when it is cancelled."""
    await ctx.run_mutation("counters:increment", name=name)
    try:
        await asyncio.Event().wait()
    finally:
        await ctx.run_mutation("counters:increment", name=name, by=10)


@action
async def refuse(ctx: ActionCtx, data: Any) -> None:
    """Fails with data that comes from three calls away."""
    await ctx.run_action(refuse_inside, data=data)


@internal_action
async def refuse_inside(ctx: ActionCtx, data: Any) -> None:
    await ctx.run_mutation(refuse_in_mutation, data=data)


@internal_mutation
async def refuse_in_mutation(ctx: MutationCtx, data: Any) -> None:
    raise ApplicationError(data)


@action
async def crash(ctx: ActionCtx) -> None:
    raise ValueError("boom")


@action
async def echo(ctx: ActionCtx, value: Any) -> Any:
    """What was given, after a way through a query."""
    print("echoing")
    return await ctx.run_query(echo_in_query, value=value)


@internal_query
async def echo_in_query(ctx: QueryCtx, value: Any) -> Any:
    return value


@action
async def catch(ctx: ActionCtx) -> str:
    """What a failed call says of itself."""
    try:
        await ctx.run_mutation("actions:nothing")
    except CallFailedError as error:
        return error.message
    return "nothing failed"


@query
async def subject(ctx: QueryCtx) -> str | None:
    identity = await ctx.auth.get_user_identity()
    return identity.subject if identity else None


@action
async def subjects(ctx: ActionCtx) -> list[str | None]:
    """Who is calling: as the action sees it, and a query that it calls."""
    identity = await ctx.auth.get_user_identity()
    return [identity.subject if identity else None, await ctx.run_query(subject)]


@mutation
async def tries_the_network(ctx: MutationCtx) -> None:
    import socket

    socket.create_connection(("127.0.0.1", 9))

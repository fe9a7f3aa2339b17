"""Functions that fail, each in another way."""

import re
from typing import Any

from syncline import ApplicationError, MutationCtx, QueryCtx, internal_query, mutation, query


@query
async def refuse(ctx: QueryCtx, data: Any) -> None:
    raise ApplicationError(data)


@mutation
async def refuse_change(ctx: MutationCtx, data: Any) -> None:
    raise ApplicationError(data)


@query
async def crash(ctx: QueryCtx) -> None:
    raise ValueError("the tank is empty")


@mutation
async def crash_change(ctx: MutationCtx) -> None:
    raise ValueError("the tank is empty")


@query
async def double(ctx: QueryCtx, number: float) -> float:
    return number * 2


@query
async def odd_only(ctx: QueryCtx, name: str) -> int:
    """Fails whenever the counter is even: an error that comes and goes with the data."""
    counters = ctx.db.query("counters").with_index("by_name", lambda q: q.eq("name", name))
    counter = await counters.first()
    value = 0 if counter is None else counter["value"]
    if value % 2 == 0:
        raise ApplicationError({"even": value})
    return value


@internal_query
async def secret(ctx: QueryCtx) -> str:
    return "for functions and admins"


@query
async def endless(ctx: QueryCtx) -> None:
    while True:
        pass


@query
async def stubborn(ctx: QueryCtx) -> None:
    """Catches whatever interrupts it and goes on."""
    while True:
        try:
            while True:
                pass
        except BaseException:  # syncline: allow[catch-all] that is the mistake
            continue


@query
async def catastrophic(ctx: QueryCtx) -> bool:
    """Backtracks for ever inside the interpreter, where no exception can be raised."""
    return re.fullmatch(r"(a+)+b", "a" * 64) is not None

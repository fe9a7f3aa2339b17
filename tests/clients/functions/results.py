"""Functions whose results are special: large, with log lines, of any type, about the caller."""

from typing import Any

from syncline import MutationCtx, QueryCtx, mutation, query

ROW = 'é"\\\n😀' * 1000


@query
async def large(ctx: QueryCtx, name: str, rows: int) -> list[str]:
    """`rows` times about 8 KB that escape badly, and the counter's value in front."""
    counters = ctx.db.query("counters").with_index("by_name", lambda q: q.eq("name", name))
    counter = await counters.first()
    value = 0 if counter is None else counter["value"]
    return [str(value), *(f"{number} {ROW}" for number in range(rows))]


@query
async def chatty(ctx: QueryCtx, name: str) -> str:
    print("reading", name)
    ctx.log.warning("low on ink")
    return name


@mutation
async def chatty_change(ctx: MutationCtx, name: str) -> str:
    ctx.log.error("changing nothing")
    return name


@query
async def who(ctx: QueryCtx) -> dict | None:
    user = await ctx.auth.get_user_identity()
    if user is None:
        return None
    return {"subject": user.subject, "issuer": user.issuer, "name": user.name}


@query
async def echo(ctx: QueryCtx, value: Any) -> Any:
    return value


@mutation
async def keep(ctx: MutationCtx, room: str, value: Any) -> None:
    await ctx.db.insert("kept", {"room": room, "value": value})


@query
async def kept(ctx: QueryCtx, room: str) -> list[Any]:
    rows = ctx.db.query("kept").with_index("by_room", lambda q: q.eq("room", room))
    return [row["value"] for row in await rows.collect()]

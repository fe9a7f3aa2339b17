"""A journal to which numbered entries are appended, and what is known about it at a glance.

An entry and its client's tally are written together: they tell apart if a mutation took effect in
part.
"""

from syncline import MutationCtx, PaginationOptions, QueryCtx, mutation, query


@mutation
async def append(ctx: MutationCtx, client: str, number: int) -> str:
    """Nothing keeps an entry from being appended twice; returns the phase that the test is in."""
    await ctx.db.insert("entries", {"client": client, "number": number})
    tallies = ctx.db.query("tallies").with_index("by_client", lambda q: q.eq("client", client))
    tally = await tallies.first()
    if tally is None:
        await ctx.db.insert("tallies", {"client": client, "count": 1, "sum": number})
    else:
        changed = {"count": tally["count"] + 1, "sum": tally["sum"] + number}
        await ctx.db.patch(tally["_id"], changed)
    return await _phase(ctx)


@mutation
async def enter_phase(ctx: MutationCtx, name: str) -> None:
    """Tell the clients: what each append returns, and `glance` shows."""
    phase = await ctx.db.query("phases").first()
    if phase is None:
        await ctx.db.insert("phases", {"name": name})
    else:
        await ctx.db.patch(phase["_id"], {"name": name})


@query
async def glance(ctx: QueryCtx) -> dict:
    """What every client subscribes to."""
    tallies = await ctx.db.query("tallies").with_index("by_client").collect()
    return {
        "phase": await _phase(ctx),
        "tallies": [[tally["client"], tally["count"], tally["sum"]] for tally in tallies],
    }


@query
async def entries(ctx: QueryCtx, page: PaginationOptions) -> dict:
    """A page of all entries."""
    return await ctx.db.query("entries").paginate(page)


async def _phase(ctx: QueryCtx) -> str:
    phase = await ctx.db.query("phases").first()
    return "load" if phase is None else phase["name"]

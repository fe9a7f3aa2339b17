"""What the routes of `http.py` call."""

from syncline import (
    ActionCtx,
    JSONResponse,
    MutationCtx,
    QueryCtx,
    Request,
    Response,
    http_action,
    internal_mutation,
    internal_query,
)


@internal_mutation
async def keep(ctx: MutationCtx, text: str) -> None:
    await ctx.db.insert("received", {"text": text})


@internal_query
async def kept(ctx: QueryCtx) -> list[str]:
    return [row["text"] for row in await ctx.db.query("received").collect()]


@http_action
async def receive(ctx: ActionCtx, request: Request) -> Response:
    """Stores a body and answers with all of them."""
    await ctx.run_mutation(keep, text=(await request.body()).decode())
    return JSONResponse(await ctx.run_query(kept), status_code=201)

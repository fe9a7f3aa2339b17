"""What the tests of actions in Lambdas call."""

from typing import Any

from syncline import (
    ActionCtx,
    ApplicationError,
    MutationCtx,
    QueryCtx,
    action,
    internal_action,
    internal_mutation,
    query,
)


@internal_mutation
async def store(ctx: MutationCtx, body: str) -> None:
    await ctx.db.insert("messages", {"body": body})


@query
async def bodies(ctx: QueryCtx) -> list[str]:
    return [each["body"] for each in await ctx.db.query("messages").collect()]


@query
async def subject(ctx: QueryCtx) -> str | None:
    identity = await ctx.auth.get_user_identity()
    return identity.subject if identity else None


@action
async def add(ctx: ActionCtx, body: str) -> list[str]:
    print("adding", body)
    await ctx.run_action(add_inside, body=body)
    return await ctx.run_query(bodies)


@internal_action
async def add_inside(ctx: ActionCtx, body: str) -> None:
    await ctx.run_mutation(store, body=body)


@action
async def who(ctx: ActionCtx) -> list[Any]:
    identity = await ctx.auth.get_user_identity()
    return [identity and identity.subject, await ctx.run_query(subject)]


@action
async def refuse(ctx: ActionCtx) -> None:
    raise ApplicationError({"code": 7})


@action
async def large(ctx: ActionCtx, size: int) -> str:
    return "x" * size

from typing import Annotated, Any

from syncline import ApplicationError, Id, MutationCtx, QueryCtx, mutation, query, v

from ._rules import current_user, is_member

TeamId = Annotated[Id, v.id("teams")]


@query
async def mine(ctx: QueryCtx) -> list[dict[str, Any]]:
    return await ctx.db.query("teams").collect()


@mutation
async def create(ctx: MutationCtx, name: str) -> TeamId:
    """A team with its founder: nobody is a member before, so this steps over the rules."""
    user = await current_user(ctx)
    if user is None:
        raise ApplicationError("Sign in to found a team.")
    db = ctx.db.without_rules
    team = await db.insert("teams", {"name": name})
    await db.insert("members", {"team": team, "user": user})
    return team


@mutation
async def invite(ctx: MutationCtx, team: TeamId, user: str) -> None:
    """Members let others in; `user` is a token identifier, "issuer|subject"."""
    if not await is_member(ctx, team):
        raise ApplicationError("There is no such team.")
    await ctx.db.without_rules.insert("members", {"team": team, "user": user})


@mutation
async def leave(ctx: MutationCtx, team: TeamId) -> None:
    user = await current_user(ctx)
    members = ctx.db.query("members").with_index(
        "by_team_user", lambda q: q.eq("team", team).eq("user", user)
    )
    async for membership in members:
        await ctx.db.without_rules.delete(membership["_id"])

"""Who sees and changes what. Every function is held to it, whatever it does with ctx.db."""

from typing import Any

from syncline import QueryCtx, rules


async def current_user(ctx: QueryCtx) -> str | None:
    identity = await ctx.auth.get_user_identity()
    return identity.token_identifier if identity else None


async def is_member(ctx: QueryCtx, team: str) -> bool:
    user = await current_user(ctx)
    members = ctx.db.query("members").with_index(
        "by_team_user", lambda q: q.eq("team", team).eq("user", user)
    )
    return await members.first() is not None


async def is_author(ctx: QueryCtx, note: dict[str, Any]) -> bool:
    user = await current_user(ctx)
    return user is not None and note["author"] == user


async def may_read_note(ctx: QueryCtx, note: dict[str, Any]) -> bool:
    if await is_author(ctx, note):
        return True
    return note["team"] is not None and await is_member(ctx, note["team"])


async def may_write_note(ctx: QueryCtx, note: dict[str, Any]) -> bool:
    if not await is_author(ctx, note):
        return False
    return note["team"] is None or await is_member(ctx, note["team"])


async def may_see_team(ctx: QueryCtx, team: dict[str, Any]) -> bool:
    return await is_member(ctx, team["_id"])


async def is_teammate(ctx: QueryCtx, member: dict[str, Any]) -> bool:
    return await is_member(ctx, member["team"])


async def nobody(ctx: QueryCtx, document: dict[str, Any]) -> bool:
    return False


rules("notes", read=may_read_note, insert=may_write_note, modify=may_write_note)
# Teams change through functions that step over the rules on purpose: see teams.py.
rules("teams", read=may_see_team, insert=nobody, modify=nobody)
rules("members", read=is_teammate, insert=nobody, modify=nobody)

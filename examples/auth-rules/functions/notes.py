from typing import Annotated, Any

from syncline import ApplicationError, Id, MutationCtx, QueryCtx, mutation, query, v

from ._rules import current_user

NoteId = Annotated[Id, v.id("notes")]
TeamId = Annotated[Id, v.id("teams")]


@query
async def visible(ctx: QueryCtx) -> list[dict[str, Any]]:
    """Every note that the caller may see: the rules leave out all others."""
    return await ctx.db.query("notes").order("desc").take(100)


@query
async def me(ctx: QueryCtx) -> str | None:
    identity = await ctx.auth.get_user_identity()
    return identity and (identity.name or identity.subject)


@mutation
async def write(ctx: MutationCtx, text: str, team: TeamId | None = None) -> NoteId:
    author = await current_user(ctx)
    if author is None:
        raise ApplicationError("Sign in to write notes.")
    return await ctx.db.insert("notes", {"team": team, "author": author, "text": text})


@mutation
async def edit(ctx: MutationCtx, note: NoteId, text: str) -> None:
    await ctx.db.patch(note, {"text": text})


@mutation
async def remove(ctx: MutationCtx, note: NoteId) -> None:
    await ctx.db.delete(note)

"""Writing notes, and finding those whose meaning is near to a question's."""

from syncline import Id, MutationCtx, QueryCtx, mutation, query

from ._embedding import embed


@mutation
async def add(ctx: MutationCtx, notebook: str, text: str) -> Id:
    note = {"notebook": notebook, "text": text, "embedding": embed(text)}
    return await ctx.db.insert("notes", note)


@query
async def search(ctx: QueryCtx, notebook: str, question: str, limit: int = 5) -> list[dict]:
    """The nearest notes with their scores, nearest first; a subscription keeps them up to date."""
    found = await ctx.vector_search(
        "notes",
        "by_meaning",
        vector=embed(question),
        limit=limit,
        filter=lambda q: q.eq("notebook", notebook),
    )
    notes = await ctx.gather(*[ctx.db.get(each["_id"]) for each in found])
    return [
        {"text": note["text"], "score": round(each["_score"], 3)}
        for each, note in zip(found, notes, strict=True)
    ]

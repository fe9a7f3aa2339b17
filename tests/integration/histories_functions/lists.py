"""Transactions on lists: reads of whole lists and appends, as many as the caller asks for.

A list whose key begins with "rows" is a row for each value: an append looks for the last row and
inserts the next, so that two appends write different documents and only the range that each has
read tells that they exclude each other. Any other list is one document.
"""

from typing import NotRequired, TypedDict

from syncline import ApplicationError, MutationCtx, QueryCtx, mutation, query


class Operation(TypedDict):
    """An append of a value, or without one a read."""

    key: str
    append: NotRequired[int]


@mutation
async def transact(
    ctx: MutationCtx, operations: list[Operation], fails: bool = False
) -> list[list[int]]:
    """Make all operations in order; returns what the reads saw. `fails`: undo it all at the end."""
    seen: list[list[int]] = []
    for operation in operations:
        key = operation["key"]
        if "append" not in operation:
            seen.append(await _read(ctx, key))
        elif key.startswith("rows"):
            await _append_row(ctx, key, operation["append"])
        else:
            await _append_to_document(ctx, key, operation["append"])
    if fails:
        raise ApplicationError("undone on purpose")
    return seen


@query
async def look(ctx: QueryCtx, keys: list[str], turn: int) -> list[list[int]]:
    """A transaction that only reads. `turn` makes each call a query of its own."""
    return [await _read(ctx, key) for key in keys]


async def _read(ctx: QueryCtx, key: str) -> list[int]:
    if key.startswith("rows"):
        rows = ctx.db.query("entries").with_index("by_key", lambda q: q.eq("key", key))
        return [int(row["value"]) for row in await rows.collect()]
    document = await _document(ctx, key)
    return [] if document is None else [int(value) for value in document["values"]]


async def _document(ctx: QueryCtx, key: str) -> dict | None:
    lists = ctx.db.query("lists").with_index("by_key", lambda q: q.eq("key", key))
    return await lists.first()


async def _append_to_document(ctx: MutationCtx, key: str, value: int) -> None:
    document = await _document(ctx, key)
    if document is None:
        await ctx.db.insert("lists", {"key": key, "values": [value]})
    else:
        await ctx.db.patch(document["_id"], {"values": [*document["values"], value]})


async def _append_row(ctx: MutationCtx, key: str, value: int) -> None:
    rows = ctx.db.query("entries").with_index("by_key", lambda q: q.eq("key", key))
    last = await rows.order("desc").first()
    position = 0 if last is None else last["position"] + 1
    await ctx.db.insert("entries", {"key": key, "position": position, "value": value})

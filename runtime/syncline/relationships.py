"""Following document ids: 1:1, 1:n and n:n, with one batch of reads per step.

Each takes `ctx` (for its db and gather) and works in queries and mutations.
"""

from collections.abc import Sequence

from syncline.execution.context import QueryCtx
from syncline.values.value import Value

Document = dict[str, Value]


async def get_all(ctx: QueryCtx, ids: Sequence[str]) -> list[Document | None]:
    """The documents of these ids, in order; None for each that does not exist."""
    return await ctx.gather(*[ctx.db.get(each) for each in ids])


async def get_one_from(
    ctx: QueryCtx, table: str, index: str, value: Value, field: str | None = None
) -> Document | None:
    """1:1, backwards: the only document of `table` whose `field` is `value`.

    `index` is over `field` first; `field` defaults to the index's name without "by_".
    """
    name = field or index.removeprefix("by_")
    return await ctx.db.query(table).with_index(index, lambda q: q.eq(name, value)).unique()


async def get_many_from(
    ctx: QueryCtx, table: str, index: str, value: Value, field: str | None = None
) -> list[Document]:
    """1:n: every document of `table` whose `field` is `value`."""
    name = field or index.removeprefix("by_")
    return await ctx.db.query(table).with_index(index, lambda q: q.eq(name, value)).collect()


async def get_many_via(
    ctx: QueryCtx,
    table: str,
    to_field: str,
    index: str,
    value: Value,
    field: str | None = None,
) -> list[Document | None]:
    """n:n: through the join table `table`, the documents that its `to_field` names."""
    joins = await get_many_from(ctx, table, index, value, field)
    return await get_all(ctx, [str(join[to_field]) for join in joins])

"""`_system/cli/tables`: which tables there are."""

from typing import TYPE_CHECKING

from syncline.registration.decorators import query
from syncline.registration.types import PaginationOptions, PaginationResult

if TYPE_CHECKING:
    from syncline import QueryCtx


@query
async def default(
    ctx: "QueryCtx", paginationOpts: PaginationOptions | None = None
) -> PaginationResult:
    """All tables in one page, by name."""
    del paginationOpts
    page = [{"name": name} for name in await _names(ctx)]
    return {"page": page, "isDone": True, "continueCursor": "end"}


@query
async def names(ctx: "QueryCtx") -> list[str]:
    """The names of all tables, sorted."""
    return await _names(ctx)


async def _names(ctx: "QueryCtx") -> list[str]:
    rows = await ctx.db.system.query("_tables").collect()
    return sorted(str(row["name"]) for row in rows)

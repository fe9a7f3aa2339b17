"""`_system/cli/tableData`: the documents of any table, page by page."""

from typing import TYPE_CHECKING, Literal

from syncline.registration.decorators import query
from syncline.registration.types import PaginationOptions, PaginationResult

if TYPE_CHECKING:
    from syncline import QueryCtx


@query
async def default(
    ctx: "QueryCtx",
    table: str,
    paginationOpts: PaginationOptions,
    order: Literal["asc", "desc"] = "desc",
) -> PaginationResult:
    """Documents in the order of their creation; system tables start with "_"."""
    database = ctx.db.system if table.startswith("_") else ctx.db
    return await database.query(table).order(order).paginate(paginationOpts)

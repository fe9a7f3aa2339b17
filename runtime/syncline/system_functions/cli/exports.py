"""`_system/cli/exports`: how the newest export is getting on."""

from typing import TYPE_CHECKING, Any

from syncline.registration.decorators import query

if TYPE_CHECKING:
    from syncline import QueryCtx


@query
async def getLatest(ctx: "QueryCtx") -> dict[str, Any] | None:
    """The newest export's row, None if there never was one."""
    return await ctx.db.system.query("_exports").order("desc").first()

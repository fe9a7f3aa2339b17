"""`_system/cli/convexUrl`: the addresses of the deployment."""

from typing import TYPE_CHECKING

from syncline.registration.decorators import query

if TYPE_CHECKING:
    from syncline import QueryCtx


@query
async def cloudUrl(ctx: "QueryCtx") -> str | None:
    """The origin that clients connect to, None before the first push."""
    row = await ctx.db.system.query("_deployment").first()
    return None if row is None else str(row["url"])

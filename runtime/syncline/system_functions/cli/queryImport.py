"""`_system/cli/queryImport`: how imports are getting on."""

from typing import TYPE_CHECKING, Any

from syncline.registration.decorators import query
from syncline.registration.types import Id

if TYPE_CHECKING:
    from syncline import QueryCtx


@query
async def default(ctx: "QueryCtx", importId: Id) -> dict[str, Any] | None:
    """One import; its field `state` is what the command line follows."""
    return await ctx.db.system.get(importId)


@query
async def list(ctx: "QueryCtx") -> Any:
    """The newest imports, newest first."""
    return await ctx.db.system.query("_snapshot_imports").order("desc").take(20)

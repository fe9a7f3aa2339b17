"""What the exporter reads and the state rows that it writes (drivers/exporter.py)."""

from typing import TYPE_CHECKING, Any

from syncline.errors import ApplicationError
from syncline.registration.decorators import mutation, query
from syncline.registration.types import Id

if TYPE_CHECKING:
    from syncline import MutationCtx, QueryCtx

KEPT = 20
"""State rows that stay; ours: enough to look back."""


@mutation
async def request(ctx: "MutationCtx") -> dict[str, Any]:
    """Note a new export: its id, and the files of exports that are forgotten for it.

    ApplicationError while another one runs.
    """
    rows: list[dict[str, Any]] = await ctx.db.system.query("_exports").order("desc").collect()
    if any(row["state"] in {"requested", "in_progress"} for row in rows):
        raise ApplicationError("An export is running already; wait until it has finished.")
    forgotten = rows[KEPT - 1 :]
    for row in forgotten:
        await ctx.db.delete(row["_id"])
    files = [row["zip_object_key"] for row in forgotten if row["state"] == "completed"]
    return {"id": await ctx.db.insert("_exports", {"state": "requested"}), "files": files}


@mutation
async def set_state(ctx: "MutationCtx", exportId: Id, state: Any) -> None:
    """Change fields of an export's row; `state["state"]` is one of convex-protocol 7.2."""
    await ctx.db.patch(exportId, state)


@query
async def tables(ctx: "QueryCtx") -> list[dict[str, Any]]:
    """Name and number of every table, by name."""
    rows: list[dict[str, Any]] = await ctx.db.system.query("_tables").collect()
    found = [{"name": row["name"], "number": row["number"]} for row in rows]
    return sorted(found, key=lambda table: table["name"])

"""`_system/cli/queryEnvironmentVariables`: the deployment's environment variables."""

from typing import TYPE_CHECKING, Any

from syncline.registration.decorators import query

if TYPE_CHECKING:
    from syncline import QueryCtx


@query
async def default(ctx: "QueryCtx") -> list[dict[str, Any]]:
    """All variables by name, without the built-in ones."""
    rows = await ctx.db.system.query("_environment_variables").with_index("by_name").collect()
    return [_with_value(ctx, row) for row in rows if row["name"] in ctx.env]


@query
async def get(ctx: "QueryCtx", name: str) -> dict[str, str] | None:
    """One variable; None if it isn't set."""
    found: dict[str, Any] | None = (
        await ctx.db.system.query("_environment_variables")
        .with_index("by_name", lambda q: q.eq("name", name))
        .first()
    )
    if found is None or name not in ctx.env:
        return None
    return {"name": name, "value": ctx.env[name]}


def _with_value(ctx: "QueryCtx", row: dict[str, Any]) -> dict[str, Any]:
    # The version says nothing to anybody.
    fields = {field: row[field] for field in ("_id", "_creationTime", "name")}
    return {**fields, "value": ctx.env[row["name"]]}

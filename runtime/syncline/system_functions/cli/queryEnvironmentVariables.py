"""`_system/cli/queryEnvironmentVariables`: the deployment's environment variables."""

from typing import TYPE_CHECKING, Any

from syncline.registration.decorators import query

if TYPE_CHECKING:
    from syncline import QueryCtx


@query
async def default(ctx: "QueryCtx") -> list[dict[str, Any]]:
    """All variables by name."""
    rows: list[dict[str, Any]] = await ctx.db.system.query("_environment_variables").collect()
    return sorted(rows, key=lambda row: row["name"])


@query
async def get(ctx: "QueryCtx", name: str) -> dict[str, str] | None:
    """One variable; None if it isn't set."""
    found: dict[str, Any] | None = (
        await ctx.db.system.query("_environment_variables")
        .with_index("by_name", lambda q: q.eq("name", name))
        .first()
    )
    return None if found is None else {"name": name, "value": found["value"]}

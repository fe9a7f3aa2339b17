"""`_system/environment:set`: changing the deployment's environment variables."""

from typing import TYPE_CHECKING

from syncline.registration.decorators import mutation

if TYPE_CHECKING:
    from syncline import MutationCtx


@mutation
async def set(ctx: "MutationCtx", variables: dict[str, str | None]) -> None:
    """Give these variables these values; None removes one."""
    for name, value in variables.items():
        found = (
            await ctx.db.query("_environment_variables")
            .with_index("by_name", lambda q, name=name: q.eq("name", name))
            .first()
        )
        if found is not None:
            await ctx.db.delete(str(found["_id"]))
        if value is not None:
            await ctx.db.insert("_environment_variables", {"name": name, "value": value})

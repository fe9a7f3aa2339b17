"""`_system/environment:set`: which versions of the environment variables count."""

from typing import TYPE_CHECKING

from syncline.errors import ApplicationError
from syncline.limits import VARIABLE_KEPT_SECONDS, VARIABLES_MAX
from syncline.registration.decorators import mutation

if TYPE_CHECKING:
    from syncline import MutationCtx


@mutation
async def set(ctx: "MutationCtx", versions: dict[str, str | None], madeAt: float) -> None:
    """Give variables these versions, made at that time (ms); None removes one."""
    if ctx.now.timestamp() * 1000 - madeAt > VARIABLE_KEPT_SECONDS / 2 * 1000:
        raise ApplicationError(
            "The change of environment variables took too long and has not happened: try again."
        )
    found = await ctx.db.query("_environment_variables").collect()
    rows = {str(row["name"]): str(row["_id"]) for row in found}
    left = (rows.keys() | versions.keys()) - {n for n, each in versions.items() if each is None}
    if len(left) > VARIABLES_MAX:
        raise ApplicationError(
            f"There would be {len(left)} environment variables (limit: {VARIABLES_MAX})."
        )
    for name, version in versions.items():
        if version is None:
            if name in rows:
                await ctx.db.delete(rows[name])
        elif name in rows:
            await ctx.db.replace(rows[name], {"name": name, "version": version})
        else:
            await ctx.db.insert("_environment_variables", {"name": name, "version": version})

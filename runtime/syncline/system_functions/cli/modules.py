"""`_system/cli/modules:apiSpec`: which functions are deployed, with their validators."""

from typing import TYPE_CHECKING, Any

from syncline.function_path import parse
from syncline.registration.decorators import query

if TYPE_CHECKING:
    from syncline import QueryCtx


@query
async def apiSpec(ctx: "QueryCtx") -> list[dict[str, Any]]:
    """Every function of the deployment, internal ones too, by module and name."""
    rows: list[dict[str, Any]] = await ctx.db.system.query("_modules").collect()
    functions = [each for row in rows for each in row["functions"]]
    routes = [
        {"functionType": "HttpAction", "method": route["method"], "path": route["path"]}
        for row in rows
        for route in row.get("routes", ())
    ]
    return routes + [
        {
            "identifier": parse(each["path"]).canonical,
            "functionType": each["kind"].capitalize(),
            "visibility": {"kind": each["visibility"]},
            "args": each["args"],
            "returns": each["returns"],
        }
        for each in sorted(functions, key=lambda each: each["path"])
    ]

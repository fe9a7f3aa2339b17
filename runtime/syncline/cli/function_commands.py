"""`run`, `function-spec`, `usage`: calling functions, listing and counting them."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, cast

import orjson
import typer

from syncline.cli.deployment_client import DeploymentClient, FunctionFailedError
from syncline.cli.live import follow
from syncline.cli.output import print_json, print_table, say
from syncline.cli.target import (
    DEFAULT_DATA,
    AdminKeyOption,
    DataOption,
    Target,
    UrlOption,
    resolve_target,
)
from syncline.errors import CallerError
from syncline.values import wire_json


def run(
    name: Annotated[str, typer.Argument(help="The function, like tasks:get or dir/mod:fn.")],
    arguments: Annotated[str, typer.Argument(help="Its arguments, a JSON object.")] = "{}",
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow a query and print every new result.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="One line of JSON a result, log lines left out.")
    ] = False,
    url: UrlOption = None,
    admin_key: AdminKeyOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Call any function of a deployment, internal ones too.

    Example: syncline run tasks:add '{"text": "Buy milk"}'
    """
    target = resolve_target(url, admin_key, data)
    parsed = parse_arguments(arguments)
    work = _watch(target, name, parsed, json) if watch else _run(target, name, parsed, json)
    asyncio.run(work)


def parse_arguments(text: str) -> dict[str, Any]:
    """Arguments as typed on a command line. Raises CallerError: no JSON, or no object."""
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CallerError(
            "BadArguments", f"The arguments {text!r} are not JSON: {error}. Write '{{\"n\": 1}}'."
        ) from error
    if not isinstance(parsed, dict):
        raise CallerError("BadArguments", "The arguments must be one JSON object, like {}.")
    return cast("dict[str, Any]", parsed)


async def _run(target: Target, name: str, arguments: dict[str, Any], json: bool) -> None:
    async with DeploymentClient.open(target) as client:
        try:
            result = await client.call(name, arguments)
        except FunctionFailedError as error:
            if "Could not find" in error.message:
                raise FunctionFailedError(error.code, await _with_names(client, error)) from error
            raise
        if not json:
            _print_logs(result.log_lines)
        print_json(result.value, indent=not json)


async def _with_names(client: DeploymentClient, error: FunctionFailedError) -> str:
    spec = (await client.call("_system/cli/modules:apiSpec", {})).value
    names = [str(each["identifier"]).replace(".js:", ":") for each in spec]
    if not names:
        return f"{error.message}\nNothing is deployed yet: `syncline dev` or `syncline push`."
    return f"{error.message}\nDeployed functions: {', '.join(names)}"


def _print_logs(lines: tuple[str, ...]) -> None:
    for line in lines:
        say(line, "dim")


async def _watch(target: Target, name: str, arguments: dict[str, Any], json: bool) -> None:
    async with (
        DeploymentClient.open(target) as client,
        aclosing(follow(client, name, arguments)) as updates,
    ):
        async for update in updates:
            if update.error is not None:
                say(update.error, "red")
                continue
            if not json:
                _print_logs(update.log_lines)
            print_json(orjson.loads(wire_json.encode_clean(update.value)), indent=not json)


def function_spec(
    file: Annotated[
        Path | None, typer.Option(help="Write it to this file instead of printing it.")
    ] = None,
    url: UrlOption = None,
    admin_key: AdminKeyOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Print every deployed function with its arguments and result as JSON."""
    spec = asyncio.run(_function_spec(resolve_target(url, admin_key, data)))
    if file is None:
        print_json(spec)
    else:
        file.write_bytes(orjson.dumps(spec, option=orjson.OPT_INDENT_2) + b"\n")
        say(f"Wrote {file}")


async def _function_spec(target: Target) -> dict[str, Any]:
    async with DeploymentClient.open(target) as client:
        functions = await client.call("_system/cli/modules:apiSpec", {}, "convex_encoded_json")
        url = await client.call("_system/cli/convexUrl:cloudUrl", {})
        return {"url": url.value, "functions": functions.value}


def usage(
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    url: UrlOption = None,
    admin_key: AdminKeyOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Show what each function has used since the deployment was started."""
    found = asyncio.run(_usage(resolve_target(url, admin_key, data)))
    functions: list[dict[str, Any]] = found["functions"]
    if json:
        print_json(found)
    elif not functions:
        say("No function has been called yet.")
    else:
        print_table([_rounded(each) for each in functions], tuple(functions[0]))


async def _usage(target: Target) -> dict[str, Any]:
    async with DeploymentClient.open(target) as client:
        return orjson.loads(await client.get("/api/syncline/usage"))


def _rounded(usage: dict[str, Any]) -> dict[str, Any]:
    return {name: round(each, 3) if type(each) is float else each for name, each in usage.items()}

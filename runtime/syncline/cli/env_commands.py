"""`syncline env`: environment variables of a deployment's functions."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer

from syncline.cli.deployment_client import DeploymentClient
from syncline.cli.output import print_json, say
from syncline.cli.target import (
    DEFAULT_DATA,
    AdminKeyOption,
    DataOption,
    Target,
    UrlOption,
    read_env_file,
    resolve_target,
)
from syncline.errors import CallerError

env = typer.Typer(
    no_args_is_help=True,
    help="Environment variables of a deployment's functions, which read them in ctx.env.",
)

NameArgument = Annotated[str, typer.Argument(help="The variable's name.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_PLAIN: Final = frozenset("\"'# \t\r\n")
"""What a value must not have to stand in a line NAME=value as it is."""


@env.command("list")
def list_(
    json: JsonOption = False,
    url: UrlOption = None,
    admin_key: AdminKeyOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Print every variable with its value."""
    variables = asyncio.run(_variables(resolve_target(url, admin_key, data)))
    if json:
        print_json(variables)
        return
    if not variables:
        say("No environment variables are set.")
    for name, value in variables.items():
        typer.echo(f"{name}={_quoted(value)}")


@env.command("get")
def get(
    name: NameArgument,
    json: JsonOption = False,
    url: UrlOption = None,
    admin_key: AdminKeyOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Print one variable's value."""
    variables = asyncio.run(_variables(resolve_target(url, admin_key, data)))
    if name not in variables:
        raise CallerError("EnvironmentVariableMissing", f"{name} is not set on the deployment.")
    if json:
        print_json(variables[name])
    else:
        typer.echo(variables[name])


@env.command("set")
def set_(
    name: Annotated[str | None, typer.Argument(help="The variable's name.")] = None,
    value: Annotated[
        str | None,
        typer.Argument(help="Its value; without it, what standard input has (keeps it out of ps)."),
    ] = None,
    from_file: Annotated[
        Path | None, typer.Option(help="Set all variables of a file of NAME=value lines at once.")
    ] = None,
    url: UrlOption = None,
    admin_key: AdminKeyOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Set a variable, or all of a file; functions that read it run with it from now on."""
    target = resolve_target(url, admin_key, data)
    if from_file is not None:
        if name is not None:
            raise CallerError("BadArguments", "Give a name, or --from-file, and not both.")
        changes = _of_file(from_file)
    elif name is None:
        raise CallerError("BadArguments", "Give the variable's name, or --from-file.")
    else:
        changes = {name: _typed(name) if value is None else value}
    asyncio.run(_change(target, changes))
    say(f"Set {', '.join(changes)}")


@env.command("remove")
def remove(
    name: NameArgument,
    url: UrlOption = None,
    admin_key: AdminKeyOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Remove a variable."""
    asyncio.run(_change(resolve_target(url, admin_key, data), {name: None}))
    say(f"Removed {name}")


def _typed(name: str) -> str:
    """The value from standard input: asked for at a terminal, otherwise all there is."""
    if sys.stdin.isatty():
        return typer.prompt(f"Value of {name}", hide_input=True, err=True)
    # `echo secret | syncline env set NAME` means the secret without the end of its line.
    return sys.stdin.read().removesuffix("\n").removesuffix("\r")


def _of_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise CallerError("FileMissing", f"There is no file {path}.")
    changes = read_env_file(path)
    if not changes:
        raise CallerError("NoVariables", f"{path} has no lines NAME=value.")
    return changes


def _quoted(value: str) -> str:
    """As `--from-file` reads it, and other readers of such files."""
    if value and _PLAIN.isdisjoint(value):
        return value
    return f"'{value}'" if "'" not in value else f'"{value}"'


async def _variables(target: Target) -> dict[str, str]:
    async with DeploymentClient.open(target) as client:
        answer = orjson.loads(await client.get("/api/list_environment_variables"))
    return answer["environmentVariables"]


async def _change(target: Target, changes: Mapping[str, str | None]) -> None:
    body = {"changes": [{"name": name, "value": value} for name, value in changes.items()]}
    async with DeploymentClient.open(target) as client:
        await client.post("/api/update_environment_variables", orjson.dumps(body))

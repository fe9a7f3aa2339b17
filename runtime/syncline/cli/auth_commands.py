"""`syncline auth`: tokens of the development issuer, for signing in without an account."""

import time
from typing import Annotated

import orjson
import typer

from syncline.cli.target import DEFAULT_DATA, DataOption, local_admin_key
from syncline.errors import CallerError

auth = typer.Typer(
    no_args_is_help=True,
    help="Sign in to the local deployment without an account anywhere.",
)

_DAY: int = 86_400


@auth.callback()
def group() -> None:
    """Keeps `token` a command of its own while it is the only one."""


@auth.command("token")
def token(
    subject: Annotated[str, typer.Option(help="Whom the token is for: its `sub`.")],
    claim: Annotated[
        list[str] | None,
        typer.Option(help="name=value, as often as you like; the value is JSON, or else text."),
    ] = None,
    seconds: Annotated[int, typer.Option(min=1, help="How long it is good, from now on.")] = _DAY,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Print a token of the development issuer, which `syncline dev` on this data folder takes."""
    # The library for tokens takes a fifth of the start of every other command.
    from syncline.local.development_issuer import DevelopmentIssuer

    claims = dict(map(_claim, claim or ()))
    # A key that no deployment has would sign tokens that nobody takes.
    local_admin_key(data)
    now = int(time.time())
    typer.echo(DevelopmentIssuer(data).token(subject, claims, now=now, seconds=seconds))


def _claim(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CallerError("BadClaim", f"--claim takes name=value, not {text!r}.")
    try:
        return name, orjson.loads(value)
    except orjson.JSONDecodeError:
        return name, value

"""Which deployment a command talks to, and with which key.

In this order: the options, the environment (SYNCLINE_URL, SYNCLINE_ADMIN_KEY), `.env.local` in the
current folder, the local deployment's data folder.
"""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from syncline.drivers.admin_key import admin_key
from syncline.errors import CallerError

DEFAULT_URL = "http://127.0.0.1:3210"
DEFAULT_DATA = Path(".syncline")
ENV_FILE = Path(".env.local")
LOCAL_NAME = "local"

UrlOption = Annotated[
    str | None,
    typer.Option(
        help="The deployment's URL [default: SYNCLINE_URL, or the local deployment].",
        rich_help_panel="Deployment",
    ),
]
AdminKeyOption = Annotated[
    str | None,
    typer.Option(
        help="Its admin key [default: SYNCLINE_ADMIN_KEY, or the local data folder's].",
        rich_help_panel="Deployment",
    ),
]
DataOption = Annotated[
    Path,
    typer.Option(help="The local deployment's data folder.", rich_help_panel="Deployment"),
]


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment: its origin, without a slash at the end, and an admin key."""

    url: str
    key: str


def read_env_file(path: Path) -> dict[str, str]:
    """NAME=value lines of a file; comments, `export` and quotes are understood. Empty if absent."""
    if not path.is_file():
        return {}
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            value = value.strip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            found[name.strip()] = value[1:-1] if quoted else value.partition(" #")[0].strip()
    return found


def resolve_target(url: str | None, key: str | None, data: Path = DEFAULT_DATA) -> Target:
    """The deployment to talk to.

    Raises:
        CallerError: the URL is none, or no key can be found; says where it may come from.
    """
    settings = {**read_env_file(ENV_FILE), **os.environ}
    url = (url or settings.get("SYNCLINE_URL") or DEFAULT_URL).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CallerError("BadUrl", f"{url!r} is not a URL like {DEFAULT_URL}.")
    key = key or settings.get("SYNCLINE_ADMIN_KEY")
    if key is None and _is_loopback(parts.hostname):
        key = local_admin_key(data)
    if key is None:
        raise CallerError(
            "AdminKeyMissing",
            f"No admin key for {url}: give --admin-key, or set SYNCLINE_ADMIN_KEY in the "
            f"environment or in {ENV_FILE}.",
        )
    return Target(url, key)


def local_admin_key(data: Path) -> str:
    """The admin key of the local deployment with this data folder.

    Raises:
        CallerError: there is no deployment in it yet.
    """
    secret = data / "secret"
    try:
        text = secret.read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        raise CallerError(
            "NoLocalDeployment",
            f"There is no local deployment in {data}: start one with `syncline dev`, or name "
            "another one with --url and --admin-key.",
        ) from error
    except OSError as error:
        raise CallerError("NoLocalDeployment", f"{secret} can't be read: {error}") from error
    return admin_key(LOCAL_NAME, bytes.fromhex(text))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""`syncline logs`: what a deployment's functions do, as they do it."""

import asyncio
import sys
from typing import Annotated, Final

import orjson
import typer

from syncline.cli.deployment_client import DeploymentClient
from syncline.cli.output import say
from syncline.cli.target import (
    DEFAULT_DATA,
    AdminKeyOption,
    DataOption,
    Target,
    UrlOption,
    resolve_target,
)
from syncline.drivers.http_logs import event_of
from syncline.errors import UnavailableError
from syncline.local.console import DevConsole

RETRY_SECONDS: Final = 1.0
"""Before a deployment that could not be reached is asked again; ours."""


def logs(
    history: Annotated[int, typer.Option(min=0, help="Begin with so many calls of before.")] = 0,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print each call as JSON.")] = False,
    url: UrlOption = None,
    admin_key: AdminKeyOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Follow the functions' calls, with their log lines and errors, until Ctrl-C."""
    target = resolve_target(url, admin_key, data)
    say("Watching logs; end with Ctrl-C.", "dim")
    asyncio.run(_follow(target, history, jsonl=jsonl))


async def _follow(target: Target, history: int, *, jsonl: bool) -> None:
    console = DevConsole(sys.stdout, shows_time=True)
    cursor = 0
    async with DeploymentClient.open(target) as client:
        while True:
            try:
                page = await client.get(f"/api/stream_function_logs?cursor={cursor}")
            except UnavailableError as error:
                say(f"{error.message} Trying again.", "yellow")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            answer = orjson.loads(page)
            entries = answer["entries"]
            if not cursor:
                # What was before whoever asks is shown on request only.
                entries = entries[len(entries) - min(history, len(entries)) :]
            for entry in entries:
                if jsonl:
                    sys.stdout.write(orjson.dumps(entry).decode() + "\n")
                else:
                    console.call(event_of(entry))
            console.flush()
            sys.stdout.flush()
            cursor = answer["newCursor"]

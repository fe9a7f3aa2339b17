"""Following a query over the WebSocket (convex-protocol.md 1): connect, subscribe, get results.

When the connection ends it is made again, as any client does; each distinct result comes once.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from syncline.cli.deployment_client import DeploymentClient, FunctionFailedError
from syncline.errors import CallerError
from syncline.values import wire_json
from syncline.values.value import Value

RECONNECT_SECONDS: Final = 1.0
RECONNECTS_MAX: Final = 30
"""Failed attempts in a row before giving up; ours: half a minute, enough for a restart."""
SILENCE_SECONDS: Final = 60.0
"""Without any message the connection counts as dead; the server sends a Ping every 15 s."""


@dataclass(frozen=True, slots=True)
class Update:
    """A result of the query; `error` is set if it failed."""

    value: Value
    error: str | None
    log_lines: tuple[str, ...]


async def follow(
    client: DeploymentClient, path: str, arguments: Mapping[str, Any]
) -> AsyncGenerator[Update, None]:
    """Results of a query as admin, first the present one, then every later one.

    Raises:
        CallerError: the key is refused, or the deployment stays unreachable.
    """
    last: Update | None = None
    failures = 0
    while True:
        try:
            async with client.session.ws_connect(
                f"{client.target.url}/api/sync",
                max_msg_size=0,
            ) as socket:
                for message in _opening(client.target.key, path, arguments):
                    await socket.send_str(message)
                async for update in _updates(socket):
                    failures = 0
                    if update != last:
                        last = update
                        yield update
        except (aiohttp.ClientError, TimeoutError) as error:
            failures += 1
            if failures > RECONNECTS_MAX or last is None:
                raise CallerError(
                    "Unreachable", f"{client.target.url} can't be reached: {error}"
                ) from error
        await asyncio.sleep(RECONNECT_SECONDS)


def _opening(key: str, path: str, arguments: Mapping[str, Any]) -> list[str]:
    query = {"type": "Add", "queryId": 0, "udfPath": path, "args": [arguments]}
    messages: list[dict[str, Any]] = [
        {
            "type": "Connect",
            "sessionId": str(uuid.uuid4()),
            "connectionCount": 0,
            "lastCloseReason": "InitialConnect",
            "clientTs": 0,
        },
        {"type": "Authenticate", "baseVersion": 0, "tokenType": "Admin", "value": key},
        {"type": "ModifyQuerySet", "baseVersion": 0, "newVersion": 1, "modifications": [query]},
    ]
    return [orjson.dumps(message).decode() for message in messages]


async def _updates(socket: aiohttp.ClientWebSocketResponse) -> AsyncGenerator[Update, None]:
    held: Update | None = None
    while True:
        message = await socket.receive(timeout=SILENCE_SECONDS)
        if message.type is not aiohttp.WSMsgType.TEXT:
            return
        content = orjson.loads(message.data)
        if content["type"] in {"AuthError", "FatalError"}:
            raise CallerError(content["type"], content["error"])
        if content["type"] != "Transition":
            continue
        for change in content["modifications"]:
            lines = tuple(change.get("logLines", ()))
            if change["type"] == "QueryUpdated":
                held = Update(wire_json.from_json(change["value"]), None, lines)
            elif change["type"] == "QueryFailed":
                held = Update(None, change["errorMessage"], lines)
        # Where messages may overtake each other, the query can have run before the sign-in; what it
        # gave then counts only if it is the same for whoever asks.
        if held is not None and content["endVersion"]["identity"] > 0:
            yield held
            held = None


async def follow_state(
    client: DeploymentClient, path: str, arguments: Mapping[str, Any]
) -> AsyncGenerator[dict[str, Value], None]:
    """Values of a system query that shows the state of some work; the caller stops iterating.

    Raises:
        FunctionFailedError: the query fails.
    """
    async for update in follow(client, path, arguments):
        if update.error is not None:
            raise FunctionFailedError("FunctionFailed", update.error)
        if isinstance(update.value, dict):
            yield update.value

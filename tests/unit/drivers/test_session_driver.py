"""A session's driver on the engine in memory: in which order a client is told things."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from syncline.drivers.authentication import Authenticator
from syncline.drivers.sessions import Sessions
from syncline.sync.client_kind import ClientKind
from syncline.testing import Deployment

FUNCTIONS = """
from syncline import MutationCtx, QueryCtx, mutation, query

@mutation
async def add(ctx: MutationCtx) -> None:
    await ctx.db.insert("rows", {})

@query
async def count(ctx: QueryCtx) -> int:
    return len(await ctx.db.query("rows").collect())
"""
NPM = ClientKind("npm", (1, 48, 0))
PYTHON = ClientKind("python", (0, 8, 1))
SESSION_ID = "0b6c7b4e-6a51-4b0e-9a51-2f9d0c1d7a10"
TURNS = 50
"""Of the event loop: enough for a query to be run and shown."""


class RecordingSocket:
    """Keeps what was sent to the client."""

    unsent_bytes = 0

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.has_said = asyncio.Event()

    def send(self, messages: tuple[bytes, ...]) -> bool:
        self.said += map(json.loads, messages)
        self.has_said.set()
        return True

    def flush(self) -> None:
        pass

    def close(self, code: int | None, reason: str) -> None:
        raise AssertionError(f"closed: {code} {reason}")

    async def wait_for(self, kind: str) -> dict[str, Any]:
        while True:
            for message in self.said:
                if message["type"] == kind:
                    return message
            self.has_said.clear()
            await self.has_said.wait()


async def _come_back(folder: Path, client: ClientKind, *, mutates: bool) -> list[dict[str, Any]]:
    """A client that has seen the newest ts returns; its mutation comes after its query set."""
    (folder / "rows.py").write_text(FUNCTIONS)
    async with Deployment(folder) as app:
        await app.mutation("rows:add")
        seen = base64.b64encode(app.engine.latest_ts().to_bytes(8, "little")).decode()
        sessions = Sessions(app.engine, Authenticator("local", bytes(32)))
        socket = RecordingSocket()
        driver = sessions.open(client, socket)

        def say(kind: str, **fields: Any) -> None:
            driver.receive(json.dumps({"type": kind, **fields}))

        add = {"type": "Add", "queryId": 0, "udfPath": "rows:count", "args": [{}]}
        say("Connect", sessionId=SESSION_ID, connectionCount=1, maxObservedTimestamp=seen)
        say("ModifyQuerySet", baseVersion=0, newVersion=1, modifications=[add])
        for _ in range(TURNS):
            await asyncio.sleep(0)
        if mutates:
            say("Mutation", requestId=7, udfPath="rows:add", args=[{}])
            await socket.wait_for("MutationResponse")
        await socket.wait_for("Transition")
        driver.closed()
        return socket.said


@pytest.mark.parametrize(
    ("client", "first"), [(NPM, "Transition"), (PYTHON, "MutationResponse")], ids=["npm", "PyPI"]
)
def test_a_returning_client_that_breaks_on_late_answers_has_them_before_its_first_transition(
    tmp_path: Path, client: ClientKind, first: str
):
    said = asyncio.run(_come_back(tmp_path, client, mutates=True))
    assert said[0]["type"] == first


@pytest.mark.parametrize("client", [NPM, PYTHON], ids=["npm", "PyPI"])
def test_a_returning_client_without_mutations_is_shown_its_queries(
    tmp_path: Path, client: ClientKind
):
    [shown] = asyncio.run(_come_back(tmp_path, client, mutates=False))
    assert shown["modifications"][0]["value"] == 1

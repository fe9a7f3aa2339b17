"""A client that says what the smoke checks need said: one socket, frame by frame."""

import asyncio
import base64
import itertools
import json
import math
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

ANSWER_SECONDS_MAX = 60.0
"""A paused database takes half a minute to answer."""

NPM_PATH = "/api/1.48.0/sync"

Message = Mapping[str, Any]


class SmokeSocket:
    """One connection, not introduced yet."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, path: str = NPM_PATH, subprotocols: Sequence[str] = ()
    ) -> AsyncGenerator[Self, None]:
        """A connection to a deployment's address, closed with the block.

        Raises:
            websockets.InvalidHandshake: the deployment refuses it.
        """
        address = url.replace("http", "ws", 1).rstrip("/") + path
        offered = [Subprotocol(each) for each in subprotocols] or None
        async with connect(address, subprotocols=offered, max_size=None) as connection:
            yield cls(connection)

    async def introduce(self, connection_count: int = 0) -> None:
        """Say Connect and an empty query set, and hear the first Transition."""
        await self.say({
            "type": "Connect",
            "sessionId": str(uuid.uuid4()),
            "connectionCount": connection_count,
            "lastCloseReason": "InitialConnect",
            "clientTs": 0,
        })  # fmt: skip
        await self.say(
            {"type": "ModifyQuerySet", "baseVersion": 0, "newVersion": 1, "modifications": []}
        )
        await self.hear("Transition")

    async def say(self, message: Message) -> None:
        """Send a message as one frame."""
        await self.connection.send(json.dumps(message))

    async def say_in_frames(self, message: Message, frame_bytes: int) -> None:
        """Send a message in several frames."""
        text = json.dumps(message)
        frames = [text[at : at + frame_bytes] for at in range(0, len(text), frame_bytes)]
        await self.connection.send(frames)

    async def hear(self, *kinds: str) -> Message:
        """The next message of one of these types; others are passed over.

        Raises:
            TimeoutError: none came.
            websockets.ConnectionClosed: the deployment closed the connection.
        """
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            while True:
                message: Message = json.loads(await self.connection.recv())
                if message["type"] in kinds:
                    return message

    async def mutate(self, requests: Iterable[int], path: str, arguments: Message) -> list[Message]:
        """Say mutations in one burst; their responses in the order in which they came."""
        numbers = list(requests)
        for number in numbers:
            await self.say(mutation(number, path, arguments))
        return [await self.hear("MutationResponse") for _ in numbers]


def mutation(request: int, path: str, arguments: Message) -> Message:
    """A Mutation (convex-protocol 1.2)."""
    return {"type": "Mutation", "requestId": request, "udfPath": path, "args": [arguments]}


def timestamp(encoded: str) -> int:
    """A ts as it is on the wire (convex-protocol 1.4)."""
    return int.from_bytes(base64.b64decode(encoded), "little")


def inversions(values: Sequence[int]) -> int:
    """How many neighbours stand in the wrong order."""
    return sum(later < earlier for earlier, later in itertools.pairwise(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]

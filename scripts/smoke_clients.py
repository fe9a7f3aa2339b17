"""Smoke checks that need nothing but a deployment's address: what its gateways do to clients."""

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from websockets.exceptions import ConnectionClosed, InvalidStatus

from scripts.smoke_socket import (
    NPM_PATH,
    SmokeSocket,
    inversions,
    mutation,
    percentile,
    timestamp,
)

BURST = 1000
"""Mutations said at once: as many as a session lets wait."""
SAMPLES = 100
FRAME_BYTES = 30_000
"""Below the gateway's 32 KB (aws-facts 1.1)."""
NPM_PATIENCE_SECONDS, PATIENCE_SECONDS = 60, 30
"""What clients bear without a frame (convex-protocol 1.9)."""


class SmokeError(Exception):
    """The deployment does otherwise than Syncline counts on; says what."""


@dataclass(frozen=True)
class Deployment:
    """What a check is given. `call`: a mutation that may be run often, and its arguments."""

    url: str
    name: str = "syncline"
    call: str = "channels:create"
    arguments: Mapping[str, Any] = field(default_factory=lambda: {"name": "smoke"})


@dataclass(frozen=True)
class Check:
    """One question. `run` answers with what it measured, or raises SmokeError.

    `source`: where the question comes from. `is_slow`: takes more than a minute.
    """

    name: str
    question: str
    source: str
    run: Callable[[Deployment], Awaitable[str]]
    is_slow: bool = False


def require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads like assert
    """Raise SmokeError unless it holds."""
    if not holds:
        raise SmokeError(otherwise)


async def _http(deployment: Deployment) -> str:
    body = {"path": deployment.call, "args": deployment.arguments, "format": "json"}
    async with aiohttp.ClientSession() as session:
        begin = time.perf_counter()
        async with session.post(f"{deployment.url}/api/mutation", json=body) as response:
            text = await response.text()
            require(response.status == 200, f"/api/mutation answers {response.status}: {text}")
    require(json.loads(text)["status"] == "success", f"{deployment.call} fails: {text}")
    return f"a mutation in {time.perf_counter() - begin:.2f} s"


async def _socket_paths(deployment: Deployment) -> str:
    told: list[str] = []
    for path in (NPM_PATH, "/api/sync"):
        async with SmokeSocket.open(deployment.url, path) as socket:
            await socket.introduce()
            told.append(path)
    for path, status in (("/api/nonsense/sync", 400), (f"{NPM_PATH}/", None)):
        try:
            async with SmokeSocket.open(deployment.url, path):
                require(status is None, f"{path} opens: the version is not carried along")
                told.append(f"{path} opens")
        except InvalidStatus as refused:
            code = refused.response.status_code
            require(status in {None, code}, f"{path}: {code} instead of {status}")
            told.append(f"{path}: {code}")
    return ", ".join(told)


async def _subprotocol(deployment: Deployment) -> str:
    """A client that offers one needs an answer that names none, or this one."""
    try:
        async with SmokeSocket.open(deployment.url, subprotocols=["smoke"]) as socket:
            await socket.introduce()
            return f"opens; chosen: {socket.connection.subprotocol}"
    except InvalidStatus as refused:
        return f"refused with {refused.response.status_code}; no official client offers one"


async def _inbound_order(deployment: Deployment) -> str:
    """Requests with gaps are taken as they come, so their timestamps tell in which order."""
    async with SmokeSocket.open(deployment.url) as socket:
        await socket.introduce(connection_count=1)
        numbers = range(10, 10 + 10 * BURST, 10)
        try:
            answers = await socket.mutate(numbers, deployment.call, deployment.arguments)
        except ConnectionClosed as closed:
            raise SmokeError(f"closed within a burst of {BURST}: {closed}") from closed
    stamps = {answer["requestId"]: timestamp(answer["ts"]) for answer in answers if answer["ts"]}
    require(len(stamps) == BURST, f"{BURST - len(stamps)} of {BURST} mutations failed")
    swapped = inversions([stamps[number] for number in numbers])
    require(
        swapped == 0,
        f"{swapped} of {BURST - 1} neighbours were swapped between the client and the commit: do "
        "not promise that a token counts for the mutation after it",
    )
    return f"no inversion among {BURST} messages"


async def _large_messages(deployment: Deployment) -> str:
    """128 KB in frames pass the gateway and, as 171 KB of base64, the queue; one frame does not."""
    name = "smoke_no_such_module:none"
    async with SmokeSocket.open(deployment.url) as socket:
        await socket.introduce()
        # The answer says that there is no such function: it arrived, whole.
        await socket.say_in_frames(mutation(0, name, {"text": "x" * 125_000}), FRAME_BYTES)
        answer = await socket.hear("MutationResponse")
        require("smoke_no_such_module" in str(answer["result"]), f"unexpected: {answer}")
    async with SmokeSocket.open(deployment.url) as socket:
        await socket.introduce()
        try:
            await socket.say(mutation(0, name, {"text": "x" * 60_000}))
            await socket.hear("MutationResponse")
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else None
            return f"125 KB in frames pass; one frame of 60 KB closes with {code}"
    return "125 KB in frames pass; so does one frame of 60 KB, against the documented quota"


async def _latency(deployment: Deployment) -> str:
    """Warm: from saying a mutation to its response, and to the Transition after it."""
    responses: list[float] = []
    transitions: list[float] = []
    async with SmokeSocket.open(deployment.url) as socket:
        await socket.introduce()
        for number in range(SAMPLES + 10):
            begin = time.perf_counter()
            await socket.say(mutation(number, deployment.call, deployment.arguments))
            answer = await socket.hear("MutationResponse")
            require(answer["success"], f"{deployment.call} fails: {answer['result']}")
            responses.append(time.perf_counter() - begin)
            await socket.hear("Transition")
            transitions.append(time.perf_counter() - begin)
    # The first ten warm what they go through.
    return f"response {_spread(responses[10:])}; transition {_spread(transitions[10:])}"


def _spread(seconds: list[float]) -> str:
    low, high = (1000 * percentile(seconds, share) for share in (0.5, 0.99))
    return f"p50 {low:.0f} ms, p99 {high:.0f} ms"


async def _keep_alive(deployment: Deployment) -> str:
    """Silent clients hear a Ping before they lose patience: npm's, and the impatient others."""

    async def longest_silence(path: str, seconds: float) -> float:
        async with SmokeSocket.open(deployment.url, path) as socket:
            await socket.introduce()
            heard = [time.perf_counter()]
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        await socket.connection.recv()
                        heard.append(time.perf_counter())
            except TimeoutError:
                heard.append(time.perf_counter())
            return max(later - earlier for earlier, later in itertools.pairwise(heard))

    npm, others = await asyncio.gather(
        longest_silence(NPM_PATH, 300), longest_silence("/api/sync", 300)
    )
    require(npm < NPM_PATIENCE_SECONDS, f"npm's client hears nothing for {npm:.0f} s")
    require(others < PATIENCE_SECONDS, f"other clients hear nothing for {others:.0f} s")
    return f"longest silence {npm:.0f} s (npm), {others:.0f} s (others), over five minutes"


async def _two_hours(deployment: Deployment) -> str:
    """We close before the gateway does, with a code after which every client comes back."""
    async with SmokeSocket.open(deployment.url) as socket:
        await socket.introduce()
        begin = time.perf_counter()
        try:
            async with asyncio.timeout(7300):
                while True:
                    await socket.connection.recv()
        except ConnectionClosed as closed:
            minutes = (time.perf_counter() - begin) / 60
            code = closed.rcvd.code if closed.rcvd else None
            require(minutes < 120, f"lived {minutes:.1f} minutes: the gateway closed it ({code})")
            return f"closed after {minutes:.1f} minutes with {code}"
        except TimeoutError:
            raise SmokeError("still open after two hours, which the gateway rules out") from None


async def _cold_start(deployment: Deployment) -> str:
    """The first mutation of a client after a pause; run it after the deployment was left alone."""
    begin = time.perf_counter()
    async with SmokeSocket.open(deployment.url) as socket:
        await socket.introduce()
        shown = time.perf_counter() - begin
        (answer,) = await socket.mutate([0], deployment.call, deployment.arguments)
        require(answer["success"], f"{deployment.call} fails: {answer['result']}")
    return f"first Transition after {shown:.1f} s, first answer {time.perf_counter() - begin:.1f} s"


CHECKS = (
    Check(
        "first-call",
        "How long does the first client wait (cold functions, perhaps a paused database)?",
        "aws-facts 3.1, 5.2, 9.8",
        _cold_start,
    ),
    Check("http", "Does CloudFront lead HTTP to the HTTP API?", "aws-facts 1.4", _http),
    Check(
        "socket-paths",
        "Does CloudFront lead both socket paths to the stage, with the client's version? What of a "
        "trailing slash?",
        "aws-facts 1.4, 9.4",
        _socket_paths,
    ),
    Check(
        "subprotocol",
        "Is a socket that offers a subprotocol let in?",
        "aws-facts 9.4",
        _subprotocol,
    ),
    Check(
        "inbound-order",
        "Do messages of one socket reach the commit in the order in which they were sent?",
        "protocols.md rule 20; aws-facts 1.6, 9.1",
        _inbound_order,
    ),
    Check(
        "large-messages",
        "Do 128 KB pass in frames, gateway and queue? What becomes of a frame above 32 KB?",
        "aws-facts 1.1, 1.5, 9.7",
        _large_messages,
    ),
    Check(
        "latency",
        "How long does a warm mutation take: queue, function, Data API, post?",
        "aws-facts 2.4, 9.2, 9.6",
        _latency,
    ),
    Check(
        "keep-alive",
        "Do Pings reach silent clients in time?",
        "aws-facts 1.2, 9.3",
        _keep_alive,
        is_slow=True,
    ),
    Check(
        "two-hours",
        "Are connections closed by us before the gateway's two hours?",
        "aws-facts 1.1",
        _two_hours,
        is_slow=True,
    ),
)

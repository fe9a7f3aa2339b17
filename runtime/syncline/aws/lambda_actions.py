"""Actions in a Lambda of their own: how it is called, and how it calls back.

The functions that hold data start it and never run an action themselves; it has the network, and no
access to data but by asking the function `http`. A client's action over a WebSocket is started
without waiting: its answer comes back through the connection's lane. Whoever calls over HTTP waits.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from syncline.action_ports import (
    ActionBackend,
    ActionCall,
    ActionOutcome,
    ActionReply,
    ActionRequest,
    ActionRunner,
    Respond,
    RunFunction,
)
from syncline.aws.action_events import (
    ASKING,
    EVENT_BYTES_MAX,
    Answering,
    Asking,
    EndedAction,
    ScheduledAttempt,
    StartAction,
    decode,
    encode,
)
from syncline.errors import CallerError, UnavailableError
from syncline.function_path import parse
from syncline.ports import FunctionError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

WAITED_SECONDS_MAX: Final = 24.0
"""Seconds of an action that an HTTP request waits for: the gateway gives up after thirty."""


STARTED_SECONDS_MAX: Final = 900.0
"""Seconds of one that nobody waits for: the function's own limit, less what it keeps back."""


class LambdaActions:
    """The function that runs actions, as those see it that start them: the port ActionRunner."""

    def __init__(self, client: "LambdaClient", function: str) -> None:
        self._client = client
        self._function = function

    async def load(self, bundle: str, folder: Path) -> None:
        """Nothing: it loads bundles itself."""

    async def close(self) -> None:
        """Nothing runs here."""

    async def run(self, call: ActionCall, backend: ActionBackend) -> ActionOutcome:
        """Run an action and wait for it, for less than a request may take."""
        seconds = min(call.seconds_max, WAITED_SECONDS_MAX)
        start = StartAction(msgspec.structs.replace(call, seconds_max=seconds))
        answer = await invoke(self._client, self._function, encode(start), waits=True)
        ended = decode(answer, EndedAction)
        if ended.status:
            pieces = Respond(ended.status, ended.headers, ended.body, ended.is_complete)
            await backend.ask(pieces)
        return ended.outcome

    async def start(self, connection: str, request_id: int, call: ActionCall) -> None:
        """Start an action whose answer goes to a connection (stored_session.ActionStarter).

        Raises:
            UnavailableError: nobody knows whether it was started.
            CallerError: its arguments are too large to be handed on.
        """
        await self._start(StartAction(call, connection, request_id))

    async def start_scheduled(self, job: str, attempt: str, call: ActionCall) -> None:
        """Start a scheduled action, which records its end. Raises as `start` does."""
        await self._start(StartAction(call, scheduled=ScheduledAttempt(job, attempt)))

    async def _start(self, start: StartAction) -> None:
        call = msgspec.structs.replace(start.call, seconds_max=STARTED_SECONDS_MAX)
        payload = encode(msgspec.structs.replace(start, call=call))
        if len(payload["payload"]) > EVENT_BYTES_MAX:
            raise CallerError(
                "ArgumentsTooLarge",
                f"The arguments of an action may have some {EVENT_BYTES_MAX * 3 // 4} bytes here.",
            )
        await invoke(self._client, self._function, payload, waits=False)


class FunctionOfData:
    """The deployment as an action in a Lambda sees it (action_ports.ActionBackend)."""

    def __init__(
        self, client: "LambdaClient", function: str, runner: ActionRunner, call: ActionCall
    ) -> None:
        self._client = client
        self._function = function
        self._runner = runner
        self._call = call
        self.written = 0
        """The newest ts that this action has caused."""
        self.pieces: list[Respond] = []
        """The answer to an HTTP request."""

    async def ask(self, request: ActionRequest) -> ActionReply:
        """Ask the function that has the data; other actions run here."""
        if isinstance(request, Respond):
            self.pieces.append(request)
            return ActionReply(b"true")
        if isinstance(request, RunFunction) and request.kind == "action":
            return await self._run_here(request)
        call = self._call
        asking = Asking(request, call.identity, call.is_admin, self.written)
        event = {"source": ASKING, **encode(asking)}
        answer = decode(await invoke(self._client, self._function, event, waits=True), Answering)
        self.written = max(self.written, answer.written)
        return answer.reply

    async def _run_here(self, request: RunFunction) -> ActionReply:
        try:
            path = str(parse(request.path))
        except CallerError as error:
            return ActionReply(None, FunctionError(error.message, is_server_made=True, data=None))
        inner = msgspec.structs.replace(
            self._call,
            path=path,
            arguments=request.arguments,
            is_inner=True,
            depth=self._call.depth + 1,
            site=None,
        )
        backend = FunctionOfData(self._client, self._function, self._runner, inner)
        backend.written = self.written
        outcome = await self._runner.run(inner, backend)
        self.written = max(self.written, backend.written)
        return ActionReply(outcome.value, outcome.error)


async def invoke(
    client: "LambdaClient", function: str, event: Mapping[str, object], *, waits: bool
) -> Mapping[str, Any]:
    """A function's answer; {} without waiting for it.

    Raises:
        UnavailableError: it can't be reached, or failed: what it did is in doubt.
    """
    kind = "RequestResponse" if waits else "Event"
    payload = json.dumps(event).encode()
    try:
        reply = await asyncio.to_thread(
            client.invoke, FunctionName=function, InvocationType=kind, Payload=payload
        )
        if not waits:
            return {}
        content = await asyncio.to_thread(reply["Payload"].read)
    except (ClientError, BotoCoreError) as error:
        raise UnavailableError(
            "FunctionUnavailable", f"A function of the deployment can't be reached: {error}"
        ) from error
    if "FunctionError" in reply:
        raise UnavailableError(
            "FunctionUnavailable", f"A function of the deployment failed: {content[:500]!r}"
        )
    answer: Mapping[str, Any] = json.loads(content)
    return answer

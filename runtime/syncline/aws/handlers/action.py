"""The function that runs actions, one at a time in each environment, and nothing else.

It has the network and the deployed functions, and no data. Invoked without waiting it is invoked
once (the function's retries are off), and the answer goes to the connection's lane.
"""

import asyncio
import os
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from syncline.action_ports import ActionOutcome, UseScheduler
from syncline.aws import clients
from syncline.aws.action_events import EndedAction, ScheduledAttempt, StartAction, decode, encode
from syncline.aws.bundles import S3Bundles
from syncline.aws.deployed import SCRATCH
from syncline.aws.lambda_actions import FunctionOfData
from syncline.aws.queues import SINGLE_BODY_BYTES_MAX, SessionQueue
from syncline.aws.settings import Settings
from syncline.drivers.action_tasks import ActionTasks, own_tasks
from syncline.drivers.answers import client_message, without_request_id
from syncline.drivers.log_events import LogEvent
from syncline.errors import SynclineError, UnavailableError
from syncline.machine import SystemClock, SystemEntropy
from syncline.ports import FunctionError
from syncline.sync.delivery import ActionEnded
from syncline.sync.session import CallResult

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

ANSWERING_SECONDS: Final = 10.0
"""Kept back of the function's time: to cancel an action, and to answer."""

logger = Logger()
tracer = Tracer()


class ActionEnvironment:
    """What one environment keeps between invocations."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tasks = ActionTasks(SystemClock(), SystemEntropy())
        self.loop = asyncio.new_event_loop()
        own_tasks(self.loop)

    @cached_property
    def bundles(self) -> S3Bundles:
        """The deployed functions."""
        return S3Bundles(clients.s3(), self.settings.bucket, SCRATCH / "bundles")

    @cached_property
    def queue(self) -> SessionQueue:
        """The connections' lanes."""
        return SessionQueue(clients.sqs(), self.settings.session_queue_url)

    @cached_property
    def functions(self) -> "LambdaClient":
        """Whom actions ask."""
        return clients.functions()

    async def handle(self, start: StartAction, seconds: float) -> EndedAction:
        """Run an action, and answer the connection that waits for it."""
        call = start.call
        call = msgspec.structs.replace(call, seconds_max=min(call.seconds_max, seconds))
        function = self.settings.data_function
        backend = FunctionOfData(self.functions, function, self.tasks, call)
        began = time.monotonic()
        try:
            folder = self.bundles.folder(call.bundle) if call.bundle else self.bundles.empty()
            if folder is None:
                raise UnavailableError("BundleMissing", f"The bundle {call.bundle} is not kept.")
            await self.tasks.load(call.bundle, folder)
            outcome = await self.tasks.run(call, backend)
        except SynclineError as error:
            outcome = ActionOutcome(
                None, FunctionError(error.message, is_server_made=True, data=None)
            )
        self._report(start, outcome, time.monotonic() - began)
        if start.connection is not None:
            await self._answer(start, outcome, backend.written)
        if start.scheduled is not None:
            await self._record_end(start, start.scheduled, outcome, backend)
        first = backend.pieces[0] if backend.pieces else None
        return EndedAction(
            outcome,
            first.status if first else 0,
            first.headers if first else [],
            b"".join(piece.body for piece in backend.pieces),
            is_complete=bool(backend.pieces) and backend.pieces[-1].is_last,
        )

    async def _answer(self, start: StartAction, outcome: ActionOutcome, written: int) -> None:
        assert start.connection is not None
        redact, request_id = self.settings.redact, start.call.request_id
        lines = () if redact else outcome.log_lines
        if outcome.error is None:
            result = CallResult(written, outcome.value, log_lines=lines)
        else:
            message = client_message(outcome.error, request_id, redact=redact)
            result = CallResult(written, None, message, outcome.error.data, lines)
        event = ActionEnded(start.request_id, result)
        if len(msgspec.json.encode(event)) > SINGLE_BODY_BYTES_MAX:
            text = (
                f"[Request ID: {request_id}] Server Error\nThe result is too large for a "
                "connection: store it by a mutation and subscribe to a query of it."
            )
            event = ActionEnded(start.request_id, CallResult(written, None, text))
        await self.queue.put(start.connection, event)

    async def _record_end(
        self,
        start: StartAction,
        scheduled: ScheduledAttempt,
        outcome: ActionOutcome,
        backend: FunctionOfData,
    ) -> None:
        """If it can't be recorded, the claim runs out and says that nobody knows."""
        error: str | None = None
        if outcome.error is not None:
            text = client_message(outcome.error, start.call.request_id, redact=self.settings.redact)
            error = without_request_id(text)
        end = {"job": scheduled.job, "attempt": scheduled.attempt, "error": error}
        await backend.ask(UseScheduler("end", msgspec.json.encode(end)))

    def _report(self, start: StartAction, outcome: ActionOutcome, seconds: float) -> None:
        call = start.call
        write = logger.error if outcome.error else logger.info
        write(
            call.path or "http",
            call=msgspec.to_builtins(
                LogEvent(
                    path=f"{call.site.method} {call.site.path}" if call.site else call.path,
                    kind="httpAction" if call.site else "action",
                    request_id=call.request_id,
                    duration_seconds=seconds,
                    cached=False,
                    documents_read=0,
                    bytes_read=0,
                    retries=0,
                    log_lines=outcome.log_lines,
                    error=outcome.error.message if outcome.error else None,
                    now_ms=time.time_ns() // 1_000_000,
                )
            ),
        )


_current: ActionEnvironment | None = None


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:
    """A StartAction to an EndedAction; nobody reads it if a connection waits instead."""
    global _current  # noqa: PLW0603 - one an environment, as Lambda keeps it warm
    if _current is None:
        _current = ActionEnvironment(Settings.from_environment(os.environ))
    current = _current
    seconds = context.get_remaining_time_in_millis() / 1000 - ANSWERING_SECONDS
    start = decode(event, StartAction)
    return encode(current.loop.run_until_complete(current.handle(start, max(seconds, 1.0))))

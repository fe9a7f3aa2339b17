"""What calls functions by itself: queues through event source mappings, and schedules.

As Lambda does it for a FIFO queue: batches of one queue at once for different groups, never two of
one group; messages of a failed batch, or those named as failed, come again after their visibility
timeout. Disorder gives batches out twice, as after a lost deletion.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from syncline.local_cloud.disorder import Disorder
from syncline.local_cloud.moto_queues import on_arrival
from syncline.local_cloud.ports import FunctionFailed, Functions

LOOK_SECONDS: Final = 0.5
"""Ours: how often a queue is looked at though nothing was heard to arrive (delays, timeouts)."""

BATCHES_MAX: Final = 4
"""Ours: batches of one queue under way at a time."""

_RATE: Final = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_UNIT_SECONDS: Final = {"minute": 60, "hour": 3600, "day": 86_400}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mapped:
    """An event source mapping of the template."""

    function: str
    """ARN."""
    queue_arn: str
    queue_url: str
    batch_size: int
    reports_failures: bool


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A rule that calls a function every so often."""

    function: str
    rule_arn: str
    seconds: float


Record = Callable[[str, str, str, Mapping[str, object]], None]
"""Told (function, service, operation, parameters) of calls that a mapping makes as the function."""


def rate_seconds(expression: str) -> float:
    """The period of a `rate(...)`.

    Raises:
        ValueError: it is no such expression; `cron(...)` is not known here.
    """
    match = _RATE.fullmatch(expression)
    if match is None:
        raise ValueError(f"the schedule {expression} is not known here; rate(...) is")
    return int(match[1]) * _UNIT_SECONDS[match[2]]


class _Failure(msgspec.Struct, frozen=True):
    item: str = msgspec.field(name="itemIdentifier")


class _Answer(msgspec.Struct, frozen=True):
    failures: tuple[_Failure, ...] = msgspec.field(name="batchItemFailures")


class QueueConsumer:
    """Polls one queue for one function; `run` until cancelled."""

    def __init__(
        self,
        mapped: Mapped,
        functions: Functions,
        sqs: Any,
        *,
        region: str,
        record: Record,
        disorder: Disorder | None,
    ) -> None:
        """`sqs`: a boto3 client of the queue's server."""
        self._mapped = mapped
        self._functions = functions
        self._sqs = sqs
        self._region = region
        self._record = record
        self._disorder = disorder
        self._arrived = asyncio.Event()
        self._paused = asyncio.Event()
        self._paused.set()
        self._under_way: set[asyncio.Task[None]] = set()

    def pause(self) -> None:
        """Take no more batches until `resume`."""
        self._paused.clear()

    def resume(self) -> None:
        """Go on."""
        self._paused.set()

    async def run(self) -> None:
        """Hand out batches for ever; those under way end with it."""
        loop = asyncio.get_running_loop()
        name = self._mapped.queue_arn.rpartition(":")[2]
        forget = on_arrival(name, partial(loop.call_soon_threadsafe, self._arrived.set))
        try:
            while True:
                await self._paused.wait()
                self._arrived.clear()
                try:
                    messages = await self._receive()
                except (BotoCoreError, ClientError) as error:
                    # A mapping never gives up: as long as it is there, it polls.
                    logger.warning("%s can't be polled: %s", name, error)
                    messages = ()
                if messages:
                    await self._hand_out(messages)
                else:
                    await self._wait_for_more()
        finally:
            forget()
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _wait_for_more(self) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._arrived.wait()
        except TimeoutError:
            pass  # time to look anyway

    async def _receive(self) -> Sequence[Mapping[str, Any]]:
        parameters = {
            "QueueUrl": self._mapped.queue_url,
            "MaxNumberOfMessages": self._mapped.batch_size,
        }
        self._record(self._mapped.function, "sqs", "ReceiveMessage", parameters)
        reply = await asyncio.to_thread(
            self._sqs.receive_message,
            **parameters,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return reply.get("Messages", [])

    async def _hand_out(self, messages: Sequence[Mapping[str, Any]]) -> None:
        task = asyncio.get_running_loop().create_task(self._handle(messages))
        self._under_way.add(task)
        task.add_done_callback(self._handled)
        while len(self._under_way) >= BATCHES_MAX:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    def _handled(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._arrived.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a queue's consumer failed", exc_info=error)

    async def _handle(self, messages: Sequence[Mapping[str, Any]]) -> None:
        event = {"Records": [self._as_record(message) for message in messages]}
        try:
            answer = await self._functions.invoke(self._mapped.function, event)
        except FunctionFailed as failure:
            # Nothing is deleted: the messages come again when they are visible.
            logger.info("%s failed: %s", self._mapped.function, failure)
            return
        if self._disorder is not None and self._disorder.duplicate():
            try:
                await self._functions.invoke(self._mapped.function, event)
            except FunctionFailed as failure:
                logger.info("%s failed when called again: %s", self._mapped.function, failure)
        failed = _failed(answer) if self._mapped.reports_failures else frozenset[str]()
        for message in messages:
            if message["MessageId"] not in failed:
                parameters = {"QueueUrl": self._mapped.queue_url}
                self._record(self._mapped.function, "sqs", "DeleteMessage", parameters)
                await asyncio.to_thread(
                    self._sqs.delete_message,
                    **parameters,
                    ReceiptHandle=message["ReceiptHandle"],
                )

    def _as_record(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """As Lambda words it (Lambda developer guide, "Using Lambda with Amazon SQS")."""
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {
                name: {
                    "stringValue": value.get("StringValue"),
                    "stringListValues": [],
                    "binaryListValues": [],
                    "dataType": value["DataType"],
                }
                for name, value in message.get("MessageAttributes", {}).items()
            },
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self._mapped.queue_arn,
            "awsRegion": self._region,
        }


def _failed(answer: object) -> frozenset[str]:
    """What is to come again; an answer of another shape means that nothing is."""
    try:
        failures = msgspec.convert(answer, _Answer).failures
    except msgspec.ValidationError:
        return frozenset()
    return frozenset(each.item for each in failures)


class Schedule:
    """Calls one function every so often; `run` until cancelled."""

    def __init__(self, scheduled: Scheduled, functions: Functions) -> None:
        self._scheduled = scheduled
        self._functions = functions

    async def run(self) -> None:
        """Call for ever; a call that fails is the next one's business."""
        while True:
            await asyncio.sleep(self._scheduled.seconds)
            event: dict[str, object] = {
                "version": "0",
                "detail-type": "Scheduled Event",
                "source": "aws.events",
                "resources": [self._scheduled.rule_arn],
                "detail": None,
            }
            try:
                await self._functions.invoke(self._scheduled.function, event)
            except FunctionFailed as failure:
                logger.warning("%s failed: %s", self._scheduled.function, failure)

"""The SQS queues: sessions, hints for the follower, passes of ticks, and what is due.

The session queue is first-in-first-out with the connection id as group. API Gateway puts the
client's text in as base64 (SQS bodies hold XML characters only); what we put in is an event of
`sync.delivery` as JSON, marked by the message attribute `kind`. Every message carries an id of its
own for deduplication, chosen before it is sent, so the SDK may retry freely.
"""

import asyncio
import base64
import binascii
import hashlib
import itertools
import uuid
from collections.abc import Collection, Mapping, Sequence
from random import SystemRandom
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from syncline.errors import CorruptionError, DeveloperError, SynclineError, UnavailableError
from syncline.sync.delivery import ActionEnded, Event, Left, Opened, QueueMessage, Received, Refresh

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

BATCH_MAX: Final = 10
"""Messages of one SendMessageBatch; an AWS quota."""
BODY_BYTES_MAX: Final = 100_000
"""Bytes of a body of ours: ten together, with attributes, stay under the 1 MiB of an SQS batch."""
SINGLE_BODY_BYTES_MAX: Final = 900_000
"""Bytes of a body that is sent alone: with its attributes it stays under 1 MiB, too."""
GROUP_CHARACTERS_MAX: Final = 128
DELAY_SECONDS_MAX: Final = 900
"""AWS quotas (aws-facts.md 1.5, 5.3)."""

RETRY_PAUSES: Final = (0.05, 0.2, 0.8)
"""Greatest pauses in seconds before what a batch left out is sent again; ours."""

GIVEN_BACK_SECONDS: Final = 1
"""Pause before a message that could not be handled comes again; ours."""

EVENT_KIND: Final = "event"
TEXT_KIND: Final = "text"
"""Values of the attribute `kind`; a message without it is the client's text."""

LANE_NS: Final = 10 * 10**9
"""Hints of commits within so long share a group, so that one follower at a time hears of them. A
follower that dies keeps its group until the queue's visibility timeout ends; the next lane's, and
the minute's sweep, which has its own, go past it (several at once do no harm: rule 13). Ours."""


class _Envelope(msgspec.Struct, frozen=True):
    event: Event


class _Attributes(msgspec.Struct, frozen=True, rename="pascal"):
    approximate_receive_count: int
    sequence_number: int
    message_group_id: str


class _MessageAttribute(msgspec.Struct, frozen=True, rename="camel"):
    string_value: str | None = None


class _Record(msgspec.Struct, frozen=True, rename="camel"):
    """A record as Lambda's event source mapping hands it over; what we need of it."""

    message_id: str
    body: str
    attributes: _Attributes
    message_attributes: dict[str, _MessageAttribute] = {}


class _PlainRecord(msgspec.Struct, frozen=True, rename="camel"):
    """A record of a queue without order."""

    message_id: str
    body: str


class TickPass(msgspec.Struct, frozen=True):
    """One part of a pass over all sessions: segment `segment` of `segments`."""

    slot: int
    """Counts the passes since the epoch: what is due every other one can tell by it."""

    segment: Annotated[int, msgspec.Meta(ge=0)]
    segments: Annotated[int, msgspec.Meta(ge=1)]


_R = TypeVar("_R", _Record, _PlainRecord)


def decode_session_record(record: Mapping[str, object]) -> tuple[str, QueueMessage]:
    """The connection and message of a record of the session queue (Lambda's event JSON).

    Raises:
        CorruptionError: UnreadableMessage: neither a client's text nor an event of ours.
    """
    known = _converted(record, _Record)
    kind = known.message_attributes.get("kind", _MessageAttribute(TEXT_KIND)).string_value
    try:
        if kind == EVENT_KIND:
            event = msgspec.json.decode(known.body, type=_Envelope).event
        elif kind == TEXT_KIND:
            event = Received(base64.b64decode(known.body, validate=True).decode())
        else:
            raise _unreadable(known.message_id, f"its kind is {kind!r}")
    except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError) as error:
        raise _unreadable(known.message_id, str(error)) from error
    given = known.attributes
    message = QueueMessage(given.sequence_number, given.approximate_receive_count, event)
    return given.message_group_id, message


def decode_tick_record(record: Mapping[str, object]) -> TickPass:
    """The part of a pass that a record of the tick queue asks for.

    Raises:
        CorruptionError: UnreadableMessage.
    """
    known = _converted(record, _PlainRecord)
    try:
        return msgspec.json.decode(known.body, type=TickPass)
    except msgspec.DecodeError as error:
        raise _unreadable(known.message_id, str(error)) from error


def _converted(record: Mapping[str, object], kind: type[_R]) -> _R:
    try:
        return msgspec.convert(record, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _unreadable(str(record.get("messageId")), str(error)) from error


class SessionQueue:
    """Puts events behind the messages of connections; also the port SessionWakeups."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._queue = _Queue(client, url)

    async def put(self, connection: str, event: Event) -> None:
        """Put one event. UnavailableError: the queue can't be reached now."""
        await self.put_all([connection], event)

    async def put_all(self, connections: Collection[str], event: Event) -> None:
        """Put one event for each connection; order among connections is nobody's.

        Raises:
            UnavailableError: the queue can't be reached now; some may have been put.
            DeveloperError: a connection id no queue group can have, or no permission.
        """
        body = msgspec.json.encode(_Envelope(event)).decode()
        for connection in connections:
            if not 0 < len(connection) <= GROUP_CHARACTERS_MAX:
                raise DeveloperError(
                    "BadConnectionId",
                    f"{connection[:200]!r} is no connection id: at most {GROUP_CHARACTERS_MAX} "
                    "characters name a group of the session queue.",
                )
        await self._queue.send([
            {
                "Id": str(number),
                "MessageBody": body,
                "MessageAttributes": {"kind": {"DataType": "String", "StringValue": EVENT_KIND}},
                "MessageGroupId": connection,
                "MessageDeduplicationId": _event_id(connection, event),
            }
            for number, connection in enumerate(connections)
        ])  # fmt: skip

    async def wake(self, connection: str, ts: int | None = None) -> None:
        """Put a Refresh; the same `ts` twice is one."""
        await self.put(connection, Refresh(ts))

    async def give_back(self, receipts: Sequence[str]) -> None:
        """Messages that could not be handled come again in a second, not when they time out.

        Raises UnavailableError or DeveloperError; they come again all the same.
        """
        await self._queue.give_back(receipts, GIVEN_BACK_SECONDS)


def _event_id(connection: str, event: Event) -> str:
    """Connections open and end once, however often a Lambda is retried; the others all count.

    Refreshes for the same commits are one (protocols.md rule 17).
    """
    if isinstance(event, Opened | Left) or (isinstance(event, Refresh) and event.ts):
        ts = f"{event.ts}-" if isinstance(event, Refresh) else ""
        return f"{type(event).__name__}-{ts}{hashlib.sha256(connection.encode()).hexdigest()}"
    if isinstance(event, ActionEnded):
        name = f"{event.request_id} {connection}"
        return f"ActionEnded-{hashlib.sha256(name.encode()).hexdigest()}"
    return uuid.uuid4().hex


class Hint(msgspec.Struct, frozen=True):
    """What the follower is told: the durable head is at least `ts`, or (None) to sweep."""

    ts: int | None


def decode_hint_record(record: Mapping[str, object]) -> Hint:
    """The hint in a record of the follower queue.

    Raises:
        CorruptionError: UnreadableMessage.
    """
    known = _converted(record, _PlainRecord)
    try:
        return msgspec.json.decode(known.body, type=Hint)
    except msgspec.DecodeError as error:
        raise _unreadable(known.message_id, str(error)) from error


class FollowerQueue:
    """Tells the follower that the log has grown."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._queue = _Queue(client, url)

    async def hint(self, ts: int) -> None:
        """The durable head is at least `ts`; the same ts twice is one hint (rule 17).

        Raises:
            UnavailableError: the queue can't be reached now; the minute's sweep repairs it.
        """
        await self._send(Hint(ts), f"commit-{ts // LANE_NS}", f"commit-{ts}")

    async def sweep(self, number: int) -> None:
        """Do what is left to do; the same `number` twice is one sweep.

        Raises:
            UnavailableError: the queue can't be reached now; the next sweep repairs it.
        """
        await self._send(Hint(None), "sweep", f"sweep-{number}")

    async def _send(self, hint: Hint, lane: str, deduplication_id: str) -> None:
        await self._queue.send([
            {
                "Id": "0",
                "MessageBody": msgspec.json.encode(hint).decode(),
                "MessageGroupId": lane,
                "MessageDeduplicationId": deduplication_id,
            }
        ])  # fmt: skip


class TickQueue:
    """Spreads passes over all sessions within a minute (the queue has delays and no order)."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._queue = _Queue(client, url)

    async def fan_out(self, slots: Mapping[int, int], *, segments: int = 1) -> None:
        """Ask for one pass for each slot after its delay (0 to 900 s), in `segments` (>= 1) parts.

        Raises:
            UnavailableError: the queue can't be reached now; some may have been asked for.
            DeveloperError: a delay that SQS doesn't have.
        """
        for delay in slots.values():
            if not 0 <= delay <= DELAY_SECONDS_MAX:
                raise DeveloperError(
                    "BadDelay", f"A delay of {delay} s: SQS has 0 to {DELAY_SECONDS_MAX} s."
                )
        await self._queue.send([
            {
                "Id": str(number),
                "MessageBody": msgspec.json.encode(TickPass(slot, segment, segments)).decode(),
                "DelaySeconds": delay,
            }
            for number, ((slot, delay), segment) in enumerate(
                itertools.product(slots.items(), range(segments))
            )
        ])  # fmt: skip


class DueNotice(msgspec.Struct, frozen=True):
    """Something that was scheduled is due at `due_ms`, in milliseconds since the epoch."""

    due_ms: float


def decode_due_record(record: Mapping[str, object]) -> DueNotice:
    """The notice in a record of the scheduler's queue.

    Raises:
        CorruptionError: UnreadableMessage.
    """
    known = _converted(record, _PlainRecord)
    try:
        return msgspec.json.decode(known.body, type=DueNotice)
    except msgspec.DecodeError as error:
        raise _unreadable(known.message_id, str(error)) from error


class SchedulerQueue:
    """Wakes the scheduler at the second when something is due (drivers.due_functions.DueWakeups).

    SQS delays by whole seconds, so a notice comes within the second before its time.
    """

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._queue = _Queue(client, url)

    async def wake(self, dues: Collection[float], now_ms: float) -> None:
        """One notice for what is over, and one for each second to come.

        What is further away than SQS can delay is noticed too early.

        Raises:
            UnavailableError: the queue can't be reached now; the next minute's look repairs it.
        """
        # The last of a second, so that the others are due by then; what is over waits for nobody.
        seconds = {
            0 if due <= now_ms else 1 + int((due - now_ms) // 1000): due for due in sorted(dues)
        }
        await self._queue.send([
            {
                "Id": str(second),
                "MessageBody": msgspec.json.encode(DueNotice(due)).decode(),
                "DelaySeconds": min(max(0, second - 1), DELAY_SECONDS_MAX),
            }
            for second, due in seconds.items()
        ])  # fmt: skip


class _Queue:
    """Sends any number of messages in batches, each until SQS has taken it."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url
        self._share = SystemRandom().random

    async def send(self, entries: Sequence["SendMessageBatchRequestEntryTypeDef"]) -> None:
        bytes_max = SINGLE_BODY_BYTES_MAX if len(entries) == 1 else BODY_BYTES_MAX
        for entry in entries:
            if (size := len(entry["MessageBody"].encode())) > bytes_max:
                raise DeveloperError(
                    "MessageTooLarge",
                    f"A message of {size} bytes can't be queued; {bytes_max} fit.",
                )
        batches = [entries[at : at + BATCH_MAX] for at in range(0, len(entries), BATCH_MAX)]
        await asyncio.gather(*[self._send_batch(batch) for batch in batches])

    async def give_back(self, receipts: Sequence[str], seconds: int) -> None:
        for receipt in receipts:
            try:
                await asyncio.to_thread(
                    self._client.change_message_visibility,
                    QueueUrl=self._url,
                    ReceiptHandle=receipt,
                    VisibilityTimeout=seconds,
                )
            except (ClientError, BotoCoreError) as error:
                raise _send_failure(error) from error

    async def _send_batch(self, batch: Sequence["SendMessageBatchRequestEntryTypeDef"]) -> None:
        left = list(batch)
        for longest in (*RETRY_PAUSES, None):
            try:
                reply = await asyncio.to_thread(
                    self._client.send_message_batch, QueueUrl=self._url, Entries=left
                )
            except (ClientError, BotoCoreError) as error:
                raise _send_failure(error) from error
            failed = {entry["Id"]: entry for entry in reply.get("Failed", [])}
            if not failed:
                return
            for entry in failed.values():
                if entry["SenderFault"]:
                    raise DeveloperError(
                        "QueueRefuses", f"SQS refuses a message: {entry.get('Message', entry)}"
                    )
            left = [entry for entry in left if entry["Id"] in failed]
            if longest is not None:
                await asyncio.sleep(longest * self._share())
        raise UnavailableError("QueueUnavailable", f"SQS did not take {len(left)} messages.")


def _send_failure(error: ClientError | BotoCoreError) -> SynclineError:
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        code = error.response.get("Error", {}).get("Code", "")
        if 400 <= status < 500 and status != 429 and "Throttl" not in code:
            return DeveloperError(
                "QueueRefuses",
                f"{error}. The role needs sqs:SendMessage on the queue, and its address must be "
                "the one that the stacks set.",
            )
    return UnavailableError("QueueUnavailable", f"SQS can't be reached now: {error}")


def _unreadable(message_id: str, problem: str) -> CorruptionError:
    return CorruptionError(
        "UnreadableMessage",
        f"Message {message_id} of a queue can't be read: {problem}. Nothing but API Gateway and "
        "Syncline may send to this queue.",
    )

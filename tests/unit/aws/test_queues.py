"""The queues on moto: what is put in comes out as the same events, in order within a group."""

import asyncio
import base64
import json
from typing import Any

import boto3
import msgspec
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from syncline.aws.queues import (
    BODY_BYTES_MAX,
    LANE_NS,
    SINGLE_BODY_BYTES_MAX,
    FollowerQueue,
    SchedulerQueue,
    SessionQueue,
    TickPass,
    TickQueue,
    decode_due_record,
    decode_hint_record,
    decode_session_record,
    decode_tick_record,
)
from syncline.errors import CorruptionError, DeveloperError, UnavailableError
from syncline.sync.client_kind import ClientKind
from syncline.sync.delivery import ActionEnded, Left, Opened, QueueMessage, Received, Refresh, Tick
from syncline.sync.session import CallResult

EVENTS = [
    ActionEnded(3, CallResult(7, b'{"a":1.0}', log_lines=("[LOG] 'x'",))),
    ActionEnded(4, CallResult(0, None, "no", b"null")),
    Opened(ClientKind("npm", (1, 48, 0))),
    Received('{"type":"Event"} \u0000 ü 😀'),
    Refresh(),
    Tick(),
    Left(),
]


def fifo(sqs, name="sessions.fifo"):
    attributes = {
        "FifoQueue": "true",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
    }
    return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def records(sqs, url, *, delete=True):
    """What is in the queue, as Lambda's event source mapping would hand it over."""
    found = []
    while True:
        reply = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
            VisibilityTimeout=60 if delete else 0,
        )
        for message in reply.get("Messages", []):
            attributes = {
                name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
                for name, value in message.get("MessageAttributes", {}).items()
            }
            found.append({
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "messageAttributes": attributes,
                "eventSource": "aws:sqs",
            })  # fmt: skip
            if delete:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        if not delete or not reply.get("Messages"):
            return found


def text_record(body, **attributes):
    """A client's message as the gateway's integration puts it in."""
    return {
        "messageId": "m-1",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "2",
            "SequenceNumber": "18849496460467696128",
            "MessageGroupId": "L0SM9cOFvHcCIhw=",
        },
        "messageAttributes": {
            name: {"stringValue": value, "dataType": "String"} for name, value in attributes.items()
        },
    }


def test_every_event_comes_out_as_it_was_put_in(sqs):
    url = fifo(sqs)
    queue = SessionQueue(sqs, url)
    for event in EVENTS:
        asyncio.run(queue.put("connection=", event))
    decoded = [decode_session_record(record) for record in records(sqs, url)]
    assert [connection for connection, _ in decoded] == ["connection="] * len(EVENTS)
    assert [message.event for _, message in decoded] == EVENTS
    assert [message.receives for _, message in decoded] == [1] * len(EVENTS)
    sequences = [message.sequence for _, message in decoded]
    assert sequences == sorted(set(sequences))


def test_a_message_given_out_again_has_its_sequence_and_one_more_receive(sqs):
    url = fifo(sqs)
    asyncio.run(SessionQueue(sqs, url).put("c", Tick()))
    (first,), (second,) = records(sqs, url, delete=False), records(sqs, url, delete=False)
    (_, one), (_, two) = decode_session_record(first), decode_session_record(second)
    assert (one.receives, two.receives) == (1, 2)
    assert one.sequence == two.sequence


def test_a_connection_opens_and_leaves_once_and_is_woken_each_time(sqs):
    url = fifo(sqs)
    queue = SessionQueue(sqs, url)

    async def twice_of_each():
        for event in (Opened(ClientKind()), Refresh(), Left()):
            await queue.put("c", event)
            await queue.put("c", event)

    asyncio.run(twice_of_each())
    events = [decode_session_record(record)[1].event for record in records(sqs, url)]
    assert events == [Opened(ClientKind()), Refresh(), Refresh(), Left()]


def test_a_wakeup_is_a_refresh_behind_the_others(sqs):
    url = fifo(sqs)
    queue = SessionQueue(sqs, url)
    asyncio.run(queue.put("c", Tick()))
    for ts in (7, 7, 8):
        asyncio.run(queue.wake("c", ts))
    asyncio.run(queue.wake("c"))
    events = [decode_session_record(record)[1].event for record in records(sqs, url)]
    assert events == [Tick(), Refresh(7), Refresh(8), Refresh()]


def test_an_event_for_many_connections_reaches_each_once(sqs):
    url = fifo(sqs)
    connections = [f"connection-{number}=" for number in range(23)]
    asyncio.run(SessionQueue(sqs, url).put_all(connections, Tick()))
    woken = [decode_session_record(record)[0] for record in records(sqs, url)]
    assert sorted(woken) == sorted(connections)


@given(st.text(st.characters(codec="utf-8")), st.integers(1, 2**127), st.integers(1, 10))
def test_any_text_of_a_client_is_decoded(text, sequence, receives):
    record = text_record(base64.b64encode(text.encode()).decode())
    record["attributes"] |= {
        "SequenceNumber": str(sequence),
        "ApproximateReceiveCount": str(receives),
    }
    expected = QueueMessage(sequence, receives, Received(text))
    assert decode_session_record(record) == ("L0SM9cOFvHcCIhw=", expected)


def test_the_exact_bytes_of_a_client_message_and_of_an_event():
    assert decode_session_record(text_record("eyJ0eXBlIjoiRXZlbnQifQ==")) == (
        "L0SM9cOFvHcCIhw=",
        QueueMessage(18849496460467696128, 2, Received('{"type":"Event"}')),
    )
    _, message = decode_session_record(text_record('{"event":{"type":"refresh"}}', kind="event"))
    assert message.event == Refresh()


@pytest.mark.parametrize(
    "record",
    [
        text_record("not base64!"),
        text_record(base64.b64encode(b"\xff").decode()),
        text_record('{"event":{"type":"nothing"}}', kind="event"),
        text_record("{", kind="event"),
        text_record("", kind="other"),
        text_record("") | {"attributes": {}},
        {},
    ],
)
def test_a_record_that_is_nobodys_is_refused(record):
    with pytest.raises(CorruptionError, match="API Gateway and Syncline"):
        decode_session_record(record)


@pytest.mark.parametrize("connection", ["", "c" * 129])
def test_an_id_that_names_no_group_is_refused_before_anything_is_put(sqs, connection):
    url = fifo(sqs)
    with pytest.raises(DeveloperError, match="128 characters"):
        asyncio.run(SessionQueue(sqs, url).put_all(["good", connection], Tick()))
    assert records(sqs, url) == []


def test_a_message_that_no_batch_of_ten_has_room_for_is_refused(sqs):
    url = fifo(sqs)
    with pytest.raises(DeveloperError, match=str(BODY_BYTES_MAX)):
        asyncio.run(SessionQueue(sqs, url).put_all(["c", "d"], Received("x" * BODY_BYTES_MAX)))


def test_a_message_alone_has_more_room(sqs):
    url = fifo(sqs)
    queue = SessionQueue(sqs, url)
    asyncio.run(queue.put("c", ActionEnded(1, CallResult(5, b'"' + b"x" * 600_000 + b'"'))))
    [(connection, message)] = map(decode_session_record, records(sqs, url))
    assert connection == "c"
    assert isinstance(message.event, ActionEnded)
    assert message.event.result.value == b'"' + b"x" * 600_000 + b'"'
    with pytest.raises(DeveloperError, match=str(SINGLE_BODY_BYTES_MAX)):
        asyncio.run(queue.put("c", Received("x" * SINGLE_BODY_BYTES_MAX)))


def test_one_hint_per_commit_wakes_the_follower(sqs):
    url = fifo(sqs, "follower.fifo")
    queue = FollowerQueue(sqs, url)

    async def hint():
        for ts in (5, 5, 6):
            await queue.hint(ts)
        for number in (5, 5, 6):
            await queue.sweep(number)

    asyncio.run(hint())
    found = records(sqs, url)
    assert [decode_hint_record(record).ts for record in found] == [5, 6, None, None]
    with pytest.raises(CorruptionError):
        decode_hint_record({"messageId": "m", "body": "{}"})


def test_a_follower_that_dies_blocks_neither_later_commits_nor_the_sweep(sqs):
    url = fifo(sqs, "follower.fifo")
    queue = FollowerQueue(sqs, url)

    def taken():
        """What a follower takes that is never heard of again."""
        reply = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"])["ts"] for message in reply.get("Messages", [])]

    async def hint():
        await queue.hint(5)
        first = taken()
        await queue.hint(6)
        blocked = taken()
        await queue.hint(LANE_NS + 5)
        await queue.sweep(1)
        return first, blocked, taken()

    assert asyncio.run(hint()) == ([5], [], [LANE_NS + 5, None])


def test_a_pass_is_asked_for_in_parts_with_delays():
    client = boto3.client(
        "sqs", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    parts = [(7, 0, 0), (7, 0, 1), (8, 20, 0), (8, 20, 1)]
    entries = [
        {
            "Id": str(number),
            "MessageBody": f'{{"slot":{slot},"segment":{segment},"segments":2}}',
            "DelaySeconds": delay,
        }
        for number, (slot, delay, segment) in enumerate(parts)
    ]
    with Stubber(client) as stub:
        stub.add_response(
            "send_message_batch",
            {"Successful": [], "Failed": []},
            {"QueueUrl": "https://queue.example/tick", "Entries": entries},
        )
        queue = TickQueue(client, "https://queue.example/tick")
        asyncio.run(queue.fan_out({7: 0, 8: 20}, segments=2))
        stub.assert_no_pending_responses()


def test_parts_of_a_pass_come_out_as_they_were_put_in(sqs):
    url = sqs.create_queue(QueueName="ticks")["QueueUrl"]
    asyncio.run(TickQueue(sqs, url).fan_out({1: 0}, segments=12))
    passes = [decode_tick_record(record) for record in records(sqs, url)]
    assert sorted(part.segment for part in passes) == list(range(12))
    assert {part.segments for part in passes} == {12}


def test_a_delay_that_sqs_lacks_and_a_part_that_makes_no_sense_are_refused(sqs):
    url = sqs.create_queue(QueueName="ticks")["QueueUrl"]
    for delay in (-1, 901):
        with pytest.raises(DeveloperError, match="900"):
            asyncio.run(TickQueue(sqs, url).fan_out({1: delay}))
    for part in (
        b"{}",
        b'{"slot":1,"segment":-1,"segments":1}',
        b'{"slot":1,"segment":0,"segments":0}',
    ):
        with pytest.raises(CorruptionError):
            decode_tick_record({"messageId": "m", "body": part.decode()})
    assert decode_tick_record({
        "messageId": "m",
        "body": msgspec.json.encode(TickPass(9, 3, 4)).decode(),
    }) == TickPass(9, 3, 4)  # fmt: skip


def stubbed(*replies):
    client = boto3.client(
        "sqs", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    stub = Stubber(client)
    for reply in replies:
        stub.add_response("send_message_batch", reply)
    stub.activate()
    return client, stub


def failed(number, *, fault):
    return {"Id": str(number), "SenderFault": fault, "Code": "X", "Message": "no"}


def test_what_a_batch_left_out_is_sent_again_alone():
    client, stub = stubbed(
        {"Successful": [], "Failed": [failed(1, fault=False)]}, {"Successful": [], "Failed": []}
    )
    sent = []
    client.meta.events.register(
        "provide-client-params.sqs.SendMessageBatch",
        lambda params, **_: sent.append([entry["Id"] for entry in params["Entries"]]),
    )
    asyncio.run(SessionQueue(client, "https://queue.example/s").put_all(["a", "b"], Tick()))
    stub.assert_no_pending_responses()
    assert sent == [["0", "1"], ["1"]]


def test_what_sqs_never_takes_is_reported():
    client, _ = stubbed(*[{"Successful": [], "Failed": [failed(0, fault=False)]}] * 4)
    with pytest.raises(UnavailableError, match="1 messages"):
        asyncio.run(SessionQueue(client, "https://queue.example/s").put("a", Tick()))
    client, _ = stubbed({"Successful": [], "Failed": [failed(0, fault=True)]})
    with pytest.raises(DeveloperError):
        asyncio.run(SessionQueue(client, "https://queue.example/s").put("a", Tick()))


def test_a_missing_queue_is_a_mistake_and_an_unreachable_one_passes(sqs):
    missing = "https://sqs.eu-central-1.amazonaws.com/123456789012/missing.fifo"
    with pytest.raises(DeveloperError, match="sqs:SendMessage"):
        asyncio.run(SessionQueue(sqs, missing).wake("c"))
    client, stub = stubbed()
    stub.add_client_error("send_message_batch", "ServiceUnavailable", "", 503)
    with pytest.raises(UnavailableError):
        asyncio.run(SessionQueue(client, "https://queue.example/s").wake("c"))
    stub.add_client_error("send_message_batch", "RequestThrottled", "", 400)
    with pytest.raises(UnavailableError):
        asyncio.run(SessionQueue(client, "https://queue.example/s").wake("c"))
    stub.deactivate()

    def unreachable(**_):
        raise EndpointConnectionError(endpoint_url="https://queue.example")

    client.meta.events.register("before-call.sqs", unreachable)
    with pytest.raises(UnavailableError):
        asyncio.run(SessionQueue(client, "https://queue.example/s").wake("c"))


def test_what_is_due_is_noticed_once_for_each_second_just_before_it(sqs):
    url = sqs.create_queue(QueueName="scheduler")["QueueUrl"]
    sent: list[dict[str, Any]] = []

    class Client:
        def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> dict[str, Any]:  # noqa: N803 - as the SDK's
            assert QueueUrl == url
            sent.extend(Entries)
            return {}

    now = 1_000_000.0
    dues = [now - 5000, now, now + 999, now + 1000, now + 1700, now + 30_500, now + 2_000_000]
    asyncio.run(SchedulerQueue(Client(), url).wake(dues, now))
    assert {(each["DelaySeconds"], json.loads(each["MessageBody"])["due_ms"]) for each in sent} == {
        (0, now),
        (0, now + 999),
        (1, now + 1700),
        (30, now + 30_500),
        (900, now + 2_000_000),
    }
    record = {"messageId": "1", "body": sent[0]["MessageBody"]}
    assert decode_due_record(record).due_ms == now
    with pytest.raises(CorruptionError):
        decode_due_record({"messageId": "1", "body": "{}"})

"""Event source mappings: what a queue that can't be reached for a while does to its consumer."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

from syncline.local_cloud.event_sources import Mapped, QueueConsumer

MAPPED = Mapped("arn:f", "arn:aws:sqs:eu-central-1:123456789012:queue", "http://queue", 10, True)
MESSAGE = {
    "MessageId": "1",
    "ReceiptHandle": "receipt",
    "Body": "hello",
    "MD5OfBody": "",
    "Attributes": {},
}


class FailingQueue:
    """Fails in several ways before it gives out its one message."""

    def __init__(self) -> None:
        error = {"Error": {"Code": "500", "Message": "Internal error"}}
        self.failures = [
            EndpointConnectionError(endpoint_url="http://queue"),
            ClientError(error, "ReceiveMessage"),
        ]
        self.messages = [MESSAGE]
        self.deleted: list[str] = []

    def receive_message(self, **_parameters: Any) -> Mapping[str, Any]:
        if self.failures:
            raise self.failures.pop()
        given, self.messages = self.messages, []
        return {"Messages": given}

    def delete_message(self, **parameters: Any) -> None:
        self.deleted.append(parameters["ReceiptHandle"])


class Told:
    """Functions that tell what they were called with."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()

    async def invoke(self, function: str, event: Mapping[str, Any]) -> object:
        self.events.put_nowait(event)
        return {"batchItemFailures": []}


def test_a_consumer_goes_on_polling_after_errors():
    asyncio.run(_polls_through_errors())


async def _polls_through_errors() -> None:
    queue, functions = FailingQueue(), Told()
    consumer = QueueConsumer(
        MAPPED, functions, queue, region="eu-central-1", record=lambda *_: None, disorder=None
    )
    running = asyncio.create_task(consumer.run())
    event = await asyncio.wait_for(functions.events.get(), 30)
    assert event["Records"][0]["body"] == "hello"
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert queue.failures == []

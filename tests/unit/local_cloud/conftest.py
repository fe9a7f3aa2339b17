"""moto as a server, and one FIFO queue in it for each test."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from syncline.local_cloud.moto_queues import make_queues_faithful
from tests.unit.local_cloud.cloud_world import QUEUE, queue_client


@pytest.fixture(scope="session")
def sqs_endpoint() -> Iterator[str]:
    make_queues_faithful()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


class Lane:
    """The queue that `$default` leads to."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def receive(self) -> list[dict[str, Any]]:
        """Everything that is in the queue."""
        found: list[dict[str, Any]] = []
        while messages := self._receive():
            found += messages
            for message in messages:
                self._client.delete_message(
                    QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"]
                )
        return found

    def _receive(self) -> list[dict[str, Any]]:
        return self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages", [])


@pytest.fixture
def lane(sqs_endpoint: str) -> Iterator[Lane]:
    client = queue_client(sqs_endpoint)
    attributes = {"FifoQueue": "true"}
    url = client.create_queue(QueueName=QUEUE, Attributes=attributes)["QueueUrl"]
    try:
        yield Lane(client, url)
    finally:
        client.delete_queue(QueueUrl=url)

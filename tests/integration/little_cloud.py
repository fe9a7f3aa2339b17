"""The Lambda handlers on moto in this process, called as Lambda would; the log is its model.

Everything that AWS does between them is done here by hand, one step at a time, so that a test
decides what is delivered when. The whole cloud is `syncline.local_cloud`'s.
"""

import asyncio
import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from syncline.aws import process as process_module
from syncline.aws.handlers import connection, follower, scheduler, session, sweeper, ticker
from syncline.aws.process import Process
from syncline.aws.settings import DataApiDatabase, Settings
from syncline.drivers.admin_key import admin_key
from syncline.drivers.inline_runner import InlineRunner
from syncline.machine import SystemClock
from syncline.ports import ConnectionGone
from syncline.simulated.memory_log import MemoryLog
from tests.contract.moto_tables import create_table
from tests.integration.kill_points import KillSwitch

FUNCTIONS = Path(__file__).with_name("lambda_functions")


class Context:
    """Lambda's context object."""

    function_name = "little"
    memory_limit_in_mb = 1769
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:little"
    aws_request_id = "00000000-0000-0000-0000-000000000000"
    log_stream_name = "stream"

    def get_remaining_time_in_millis(self) -> int:
        """Plenty."""
        return 28_000


@dataclass
class Gateway:
    """Sockets that remember what was posted to them."""

    frames: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, Any])
    switch: KillSwitch | None = None
    closed: list[str] = field(default_factory=list[str])
    """Connections that the server has closed."""

    async def post(self, connection_id: str, frame: bytes) -> None:
        if self.switch is not None:
            self.switch.begin("gateway post")
        self._post(connection_id, frame)
        if self.switch is not None:
            self.switch.end("gateway post")

    def _post(self, connection_id: str, frame: bytes) -> None:
        if connection_id not in self.frames:
            raise ConnectionGone("ConnectionGone", "The client has left.")
        self.frames[connection_id].append(json.loads(frame))

    async def disconnect(self, connection_id: str) -> None:
        if self.frames.pop(connection_id, None) is not None:
            self.closed.append(connection_id)


class LittleCloud:
    """One deployment with one warm Lambda process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log_calls: list[str] = []
        self.log = MemoryLog(SystemClock(), pause=self._note)
        self.gateway = Gateway()
        self.deaths = 0
        self._switch: KillSwitch | None = None
        self.redelivers = False
        """Whether every message is given out twice."""
        self.sqs = boto3.client("sqs")
        self.restart()

    async def _note(self, point: str) -> None:
        self.log_calls.append(point)
        if self._switch is not None:
            name, _, step = point.partition(": ")
            if step == "begin":
                self._switch.begin(f"log {name}")
            elif step != "ordered":
                self._switch.end(f"log {name}")

    def restart(self) -> None:
        """A cold process; log, tables, queues and sockets stay."""
        self.close()
        process = Process(self.settings, InlineRunner)
        process.deployed.__dict__ |= {"log": self.log, "gateway": self.gateway}
        process_module._current = process
        self.process = process

    def abandon(self) -> None:
        """The process has died: what it was doing ends where it is, and a cold one follows."""
        loop = self.process.loop
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        process_module._current = None
        self.restart()

    def close(self) -> None:
        """End the process."""
        if process_module._current is not None:
            process_module._current.close()
            process_module._current = None

    def push(self, folder: Path = FUNCTIONS) -> None:
        """What the push handler does once it has the folder."""

        async def push() -> None:
            await (await self.process.engine()).push(folder)
            await self.process.deployed.upkeep.catch_up()

        self.process.run(push())

    def admin_key(self) -> str:
        """For Authenticate messages and headers."""
        return admin_key(self.settings.deployment, self.process.deployed.admin_secret())

    def connect(self, connection_id: str, version: str | None = "1.48.0") -> None:
        """$connect."""
        self.gateway.frames[connection_id] = []
        event = {
            "requestContext": {"connectionId": connection_id, "eventType": "CONNECT"},
            "headers": {},
            "queryStringParameters": {"client": version} if version else None,
        }
        # A client whose connection is refused tries again.
        while (answer := self._call(connection.handler, event)) is None:
            pass
        assert answer == {"statusCode": 200}

    def disconnect(self, connection_id: str) -> None:
        """$disconnect."""
        self.gateway.frames.pop(connection_id, None)
        event = {"requestContext": {"connectionId": connection_id, "eventType": "DISCONNECT"}}
        self._call(connection.handler, event)

    def say(self, connection_id: str, **message: Any) -> None:
        """What API Gateway's service integration does with a client's message."""
        self.sqs.send_message(
            QueueUrl=self.settings.session_queue_url,
            MessageBody=base64.b64encode(json.dumps(message).encode()).decode(),
            MessageGroupId=connection_id,
            MessageDeduplicationId=str(time.perf_counter_ns()),
        )

    def watch(self, switch: KillSwitch) -> None:
        """Tell the switch of calls to the log and to sockets, too."""
        self._switch = self.gateway.switch = switch

    def deliver_sessions(self) -> None:
        """Hand out one batch of the session queue."""
        self._deliver(self.settings.session_queue_url, session.handler)

    def deliver(self) -> int:
        """Hand out everything that is queued until all is quiet; returns how many messages."""
        delivered = 0
        while True:
            count = self._deliver(self.settings.session_queue_url, session.handler)
            count += self._deliver(self.settings.follower_queue_url, follower.handler)
            count += self.deliver_notices()
            if not count:
                return delivered
            delivered += count

    def deliver_follower(self) -> None:
        """Hand out one batch of hints."""
        self._deliver(self.settings.follower_queue_url, follower.handler)

    def deliver_notices(self) -> int:
        """Hand out one batch of notices that something is due; returns how many."""
        return self._deliver(self.settings.scheduler_queue_url, scheduler.handler)

    def tick(self) -> None:
        """One pass of the ticker."""
        self._deliver(self.settings.tick_queue_url, ticker.handler)

    def sweep(self) -> None:
        """EventBridge's minute."""
        self._call(sweeper.handler, {})

    def _deliver(self, url: str, handler: Any) -> int:
        reply = self.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages = reply.get("Messages", [])
        if not messages:
            return 0
        event = {"Records": [_record(each) for each in messages]}
        answer = self._call(handler, event)
        if answer is None:
            # Not deleted: they come again, to another process.
            for message in messages:
                self.sqs.change_message_visibility(
                    QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                )
            return len(messages)
        if self.redelivers:
            self._call(handler, event)
        failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
        for message in messages:
            if message["MessageId"] not in failed:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(messages)

    def _call(self, handler: Any, event: Mapping[str, Any]) -> Any:
        """A handler's answer; None: its process died, and a cold one is there."""
        try:
            return handler(event, Context()) or {}
        except BaseException:
            # Whatever a dead process raises as it goes under is its death.
            if self._switch is None or not self._switch.is_dead:
                raise
            self.deaths += 1
            self.abandon()
            self._switch.revive()
            return None

    def said(self, connection_id: str) -> list[dict[str, Any]]:
        """What the client was sent since it was last asked."""
        frames = self.gateway.frames[connection_id]
        taken = list(frames)
        frames.clear()
        return taken


def _record(message: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {
        name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
        for name, value in message.get("MessageAttributes", {}).items()
    }
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": attributes,
        "eventSource": "aws:sqs",
    }


def _queue(sqs: Any, name: str) -> str:
    fifo = {"FifoQueue": "true", "DeduplicationScope": "messageGroup"}
    attributes = fifo if name.endswith(".fifo") else {}
    return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


@contextmanager
def little_cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[LittleCloud]:
    """A deployment without functions; moto must be on."""
    monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "1")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Syncline")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "little")
    sqs = boto3.client("sqs")
    create_table("documents", {"p": "B", "k": "B"})
    create_table("sessions", {"c": "S"})
    create_table("interest", {"b": "B", "q": "B"})
    create_table("control", {"name": "S"})
    boto3.client("s3").create_bucket(
        Bucket="little-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    secret = boto3.client("secretsmanager").create_secret(Name="admin", SecretString="s" * 64)
    cloud = LittleCloud(
        Settings(
            deployment="little",
            url="https://little.example",
            redact=False,
            documents_table="documents",
            sessions_table="sessions",
            interest_table="interest",
            control_table="control",
            session_queue_url=_queue(sqs, "session.fifo"),
            follower_queue_url=_queue(sqs, "follower.fifo"),
            tick_queue_url=_queue(sqs, "tick"),
            scheduler_queue_url=_queue(sqs, "scheduler"),
            bucket="little-bucket",
            gateway_endpoint="https://gateway.example/live",
            admin_secret_arn=secret["ARN"],
            database=DataApiDatabase("arn:cluster", "arn:login", "syncline"),
            commit_routine="function",
            hash_seed=0,
        )
    )
    try:
        yield cloud
    finally:
        cloud.close()

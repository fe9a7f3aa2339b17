"""Lanes of connections, the follower's hints, ticks, what is due; each with its dead letters."""

from dataclasses import dataclass
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from syncline_cdk.functions import FUNCTIONS
from syncline_cdk.settings import DeploymentSettings

VISIBILITY_FACTOR: Final = 6
"""A message stays hidden for so many timeouts of its function (aws-facts 5.3)."""

MESSAGE_BYTES_MAX: Final = 2**20
"""SQS's own limit, which is not its default everywhere (aws-facts 5.3); a client's 128 KB in
base64 needs 171 KB."""


@dataclass(frozen=True, slots=True)
class QueueShape:
    """`consumer`: the function that takes its messages. `receives_max`: how often it gets one."""

    consumer: str
    receives_max: int
    retention: Duration
    is_fifo: bool = True


QUEUE_SHAPES: Final = {
    # The third time closes the connection (protocols.md rule 19), the fourth is never needed.
    "session": QueueShape("session", receives_max=4, retention=Duration.hours(4)),
    "follower": QueueShape("follower", receives_max=5, retention=Duration.days(1)),
    # A lost notice is found by the minute's look ahead.
    "scheduler": QueueShape(
        "scheduler", receives_max=3, retention=Duration.hours(1), is_fifo=False
    ),
    "tick": QueueShape("ticker", receives_max=3, retention=Duration.minutes(15), is_fifo=False),
}
"""Every queue by its name."""


class Queues(Construct):
    """All queues, encrypted, reachable by TLS only."""

    def __init__(
        self, scope: Construct, name: str, *, settings: DeploymentSettings, key: kms.IKey
    ) -> None:
        super().__init__(scope, name)
        self.dead_letters: dict[str, sqs.Queue] = {}
        queues = {
            queue: self._queue(queue, shape, settings, key) for queue, shape in QUEUE_SHAPES.items()
        }
        self.session = queues["session"]
        self.follower = queues["follower"]
        self.tick = queues["tick"]
        self.scheduler = queues["scheduler"]

    def _queue(
        self, name: str, shape: QueueShape, settings: DeploymentSettings, key: kms.IKey
    ) -> sqs.Queue:
        is_fifo = shape.is_fifo
        suffix = ".fifo" if is_fifo else ""
        dead = sqs.Queue(
            self,
            f"{name.title()}DeadLetters",
            queue_name=f"{settings.deployment}-{name}-dead{suffix}",
            fifo=is_fifo or None,
            retention_period=Duration.days(14),
            encryption_master_key=key,
            enforce_ssl=True,
        )
        self.dead_letters[name] = dead
        timeout = FUNCTIONS[shape.consumer].timeout_seconds
        return sqs.Queue(
            self,
            name.title(),
            queue_name=f"{settings.deployment}-{name}{suffix}",
            visibility_timeout=Duration.seconds(VISIBILITY_FACTOR * timeout),
            retention_period=shape.retention,
            max_message_size_bytes=MESSAGE_BYTES_MAX,
            encryption_master_key=key,
            # An hour of one data key saves most of KMS's requests.
            data_key_reuse=Duration.hours(1),
            enforce_ssl=True,
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=shape.receives_max),
            fifo=is_fifo or None,
            # High throughput: every lane is ordered and deduplicated by itself.
            deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP if is_fifo else None,
            fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID if is_fifo else None,
        )

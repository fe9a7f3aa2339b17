"""A pass over all sessions: keeps their clients alive, and lets time pass where it matters.

A Ping is the one message that may be sent outside of a connection's lane (protocols.md rule 19).
Patient clients get one in every other pass: 40 seconds apart for npm, which bears 60, and 20 for
the others, which bear 30.
"""

import asyncio
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes import SQSEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from syncline.aws.deployed import Deployed
from syncline.aws.dynamo_sessions import OpenSession
from syncline.aws.handlers.sweeper import SLOT_SECONDS
from syncline.aws.process import process
from syncline.aws.queues import TickPass, decode_tick_record
from syncline.aws.settings import METRICS_NAMESPACE
from syncline.errors import UnavailableError
from syncline.ports import ConnectionGone, DeliveryInDoubt
from syncline.sync.delivery import Left, Tick
from syncline.sync.frames import PING

MARGIN_MS: Final = 10_000
"""A Ping comes so long before the client would lose patience."""

POSTS_AT_ONCE: Final = 32

logger = Logger()
tracer = Tracer()
metrics = Metrics(namespace=METRICS_NAMESPACE)


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, object]:
    """Parts of passes; a part that fails comes again."""
    del context
    current = process()
    failed: list[str] = []
    metrics.add_metric("Pings", MetricUnit.Count, 0)
    for record in SQSEvent(event).records:
        try:
            current.run(_pass(current.deployed, decode_tick_record(record.raw_event)))
        except UnavailableError as error:
            logger.warning("not now", code=error.code, reason=error.message)
            failed.append(record.message_id)
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}


async def _pass(deployed: Deployed, part: TickPass) -> None:
    now_ms = deployed.clock.now_ns() // 1_000_000
    room = asyncio.Semaphore(POSTS_AT_ONCE)
    async for page in deployed.sessions.open_sessions(part.segment, part.segments, now_ms=now_ms):
        due = [each.connection for each in page if each.is_due]
        silent = [each.connection for each in page if wants_ping(each, part.slot)]
        await deployed.session_queue.put_all(due, Tick())
        await asyncio.gather(*[_ping(deployed, connection, room) for connection in silent])
        metrics.add_metric("Pings", MetricUnit.Count, len(silent))


def wants_ping(session: OpenSession, slot: int) -> bool:
    """Whether the pass of that slot pings this session."""
    slots = max(1, (session.silence_ms - MARGIN_MS) // (SLOT_SECONDS * 1000))
    return session.silence_ms > 0 and slot % slots == 0


async def _ping(deployed: Deployed, connection: str, room: asyncio.Semaphore) -> None:
    async with room:
        try:
            await deployed.gateway.post(connection, PING)
        except ConnectionGone:
            # Its $disconnect was lost, or is on its way: the same Left twice is one.
            await deployed.session_queue.put(connection, Left())
        except DeliveryInDoubt as error:
            # A Ping lost or doubled harms nobody, but a client that does not read has to go.
            logger.info("ping in doubt", connection=connection, reason=error.message)

"""The session queue: messages of connections, in order within each, connections side by side.

Mutations of one batch that are ready together commit in one call to the log. A message that could
not be handled is given back with all that follow it in its lane; other lanes go on.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes import SQSEvent
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from syncline.aws.process import Process, process
from syncline.aws.queues import decode_session_record
from syncline.aws.settings import METRICS_NAMESPACE
from syncline.errors import UnavailableError

logger = Logger()
tracer = Tracer()
metrics = Metrics(namespace=METRICS_NAMESPACE)


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, object]:
    """A batch of SQS records to those that were not handled."""
    del context
    current, records = process(), list(SQSEvent(event).records)
    metrics.add_metric("Messages", MetricUnit.Count, len(records))
    failed = current.run(_handle(current, records))
    metrics.add_metric("FailedMessages", MetricUnit.Count, len(failed))
    return {"batchItemFailures": [{"itemIdentifier": each.message_id} for each in failed]}


async def _handle(current: Process, records: Sequence[SQSRecord]) -> list[SQSRecord]:
    lanes: dict[str, list[SQSRecord]] = {}
    for record in records:
        lanes.setdefault(record.attributes.message_group_id or "", []).append(record)
    left = await asyncio.gather(*[_handle_lane(current, lane) for lane in lanes.values()])
    failed = [record for lane in left for record in lane]
    if failed:
        try:
            await current.deployed.session_queue.give_back([each.receipt_handle for each in failed])
        except UnavailableError as error:
            # They come again when they time out.
            logger.warning("not given back", code=error.code, reason=error.message)
    return failed


async def _handle_lane(current: Process, lane: Sequence[SQSRecord]) -> Sequence[SQSRecord]:
    """Handle a connection's messages one after another; returns those that are left."""
    for at, record in enumerate(lane):
        try:
            connection, message = decode_session_record(record.raw_event)
            await (await current.sessions()).handle(connection, message)
        except UnavailableError as error:
            logger.warning(
                "not now", code=error.code, reason=error.message, message_id=record.message_id
            )
            return lane[at:]
        except Exception:
            # A defect, or a message that nobody can read: the others must not suffer from it.
            logger.exception("failed", message_id=record.message_id)
            return lane[at:]
    return ()

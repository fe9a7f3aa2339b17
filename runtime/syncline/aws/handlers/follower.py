"""The follower queue, one message at a time: applies the log to the view, matches it, wakes."""

import time
from collections.abc import Sequence
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes import SQSEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from syncline.aws.deployed import Deployed
from syncline.aws.process import process
from syncline.aws.queues import Hint, decode_hint_record
from syncline.aws.settings import FOLLOWER_LAG_METRIC, METRICS_NAMESPACE

logger = Logger()
tracer = Tracer()
metrics = Metrics(namespace=METRICS_NAMESPACE)


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, object]:
    """A batch of hints; it fails as a whole, and comes again."""
    del context
    hints = [decode_hint_record(record.raw_event) for record in SQSEvent(event).records]
    current = process()
    metrics.add_metric("Hints", MetricUnit.Count, len(hints))
    current.run(_follow(current.deployed, hints))
    return {"batchItemFailures": []}


async def _follow(deployed: Deployed, hints: Sequence[Hint]) -> None:
    stamps = [hint.ts for hint in hints if hint.ts is not None]
    if stamps:
        state = await deployed.control.read()
        lacking = [ts for ts in stamps if ts > min(state.applied.ts, state.matched.ts)]
        if lacking:
            lag = max(0.0, time.time() - min(lacking) / 1e9)
            metrics.add_metric(FOLLOWER_LAG_METRIC, MetricUnit.Seconds, lag)
            await deployed.upkeep.catch_up()
    if len(stamps) < len(hints):
        is_settled = await deployed.upkeep.sweep()
        logger.info("swept", settled=is_settled)
        if not is_settled:
            await deployed.segment_keeper.keep()

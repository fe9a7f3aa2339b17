"""Runs scheduled functions and crons when a notice says that some are due.

Mutations run here; actions are claimed here and started in their own function. A notice says no
more than that it is worth a look: what is due is read from the deployment, so notices may be lost
(the minute's look ahead finds what is due), come twice and come late.
"""

import asyncio
from typing import Any, Final

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.data_classes import SQSEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from syncline.aws.process import Process, process
from syncline.aws.queues import decode_due_record

ENDING_SECONDS: Final = 20.0
"""Kept back of the function's time: what is begun before ends within it."""

EARLY_SECONDS: Final = 1.0
"""By which notices come before their time, since SQS delays by whole seconds."""

logger = Logger()
tracer = Tracer()


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, object]:
    """A batch of notices; it fails as a whole, and comes again."""
    dues = [decode_due_record(each.raw_event).due_ms for each in SQSEvent(event).records]
    current = process()
    seconds = context.get_remaining_time_in_millis() / 1000 - ENDING_SECONDS
    current.run(_run_due(current, max(dues), seconds))
    return {"batchItemFailures": []}


async def _run_due(current: Process, due: float, seconds: float) -> None:
    deployed = current.deployed
    scheduler = await current.scheduler()
    early = (due - deployed.clock.now_ns() / 1e6) / 1000
    await asyncio.sleep(min(max(early, 0.0), EARLY_SECONDS))
    left = await scheduler.run_noticed(seconds)
    if left is not None:
        logger.info("more is due", at=left)
        await deployed.scheduler_queue.wake([left], deployed.clock.now_ns() / 1e6)

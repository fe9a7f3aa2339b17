"""Every minute: passes over the sessions, what is due next, a sweep if the marker asks for one.

An idle deployment costs seven small reads of DynamoDB here, and its database sleeps.
"""

import time
from typing import Any, Final

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from syncline.aws.deployed import Deployed
from syncline.aws.process import process

SLOT_SECONDS: Final = 20
"""Between two passes over all sessions: below the 30 s that the least patient client bears."""

logger = Logger()
tracer = Tracer()


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """EventBridge's rule."""
    del event, context
    current = process()
    current.run(_sweep(current.deployed))


async def _sweep(deployed: Deployed) -> None:
    if await deployed.control.dirty() is not None:
        await deployed.follower_queue.sweep(time.time_ns())
    await deployed.due_functions.look_ahead()
    if not await deployed.sessions.is_empty():
        slot = int(time.time()) // SLOT_SECONDS
        await deployed.tick_queue.fan_out(
            {slot + number: number * SLOT_SECONDS for number in range(60 // SLOT_SECONDS)}
        )

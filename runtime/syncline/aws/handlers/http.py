"""The HTTP API: every request of the deployment's address that does not open a WebSocket.

Every hour a schedule calls it too, to remove what is left of files and of variables; and actions,
which ask for data here (aws/lambda_actions.py).
"""

import asyncio
from typing import Any, Final

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from syncline.action_ports import SiteRequest
from syncline.aws.action_events import ASKING, Answering, Asking, decode, encode
from syncline.aws.http_events import request_of, response_event
from syncline.aws.process import Process, process
from syncline.aws.site_events import SiteAnswer, site_request_of
from syncline.drivers.answers import Caller
from syncline.drivers.http_messages import HttpResponse, error_response
from syncline.errors import SynclineError, UnavailableError

ANSWERING_SECONDS: Final = 2.0
"""Kept back of the function's time, to answer what has not ended."""

SCHEDULE: Final = "aws.events"
"""The `source` of a schedule's event."""

logger = Logger()
tracer = Tracer()


@logger.inject_lambda_context(correlation_id_path="requestContext.requestId")
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, object]:
    """API Gateway's HTTP event (payload 2.0) to its answer; nobody reads that of a schedule's."""
    seconds = context.get_remaining_time_in_millis() / 1000 - ANSWERING_SECONDS
    current = process()
    if event.get("source") == ASKING:
        return {**current.run(_ask(current, event))}
    if event.get("source") == SCHEDULE:
        return {"removed": current.run(_sweep(current, seconds))}
    try:
        request = site_request_of(event, current.deployed.settings.url)
        if request is not None:
            return current.run(_serve(current, request, seconds))
        return response_event(current.run(_answer(current, event, seconds)))
    except SynclineError as error:
        logger.warning("not answered", code=error.code, reason=error.message)
        return response_event(error_response(error))


async def _ask(current: Process, event: dict[str, Any]) -> dict[str, str]:
    """What an action wants of its deployment. UnavailableError fails the call, and so the ask."""
    asking = decode(event, Asking)
    caller = Caller(asking.identity, asking.is_admin)
    backend = (await current.engine()).action_backend(caller, asking.written)
    reply = await backend.ask(asking.request)
    return encode(Answering(reply, backend.written))


async def _serve(current: Process, request: SiteRequest, seconds: float) -> dict[str, object]:
    """The deployed router's answer."""
    answer = SiteAnswer()
    try:
        async with asyncio.timeout(seconds):
            await (await current.site()).answer(request, answer)
    except TimeoutError as error:
        raise _too_late(seconds) from error
    return answer.event()


async def _sweep(current: Process, seconds: float) -> int:
    async with asyncio.timeout(seconds):
        removed = await (await current.http_api()).storage.sweep()
        await (await current.engine()).environment.sweep()
    logger.info("swept files", removed=removed)
    return removed


async def _answer(current: Process, event: dict[str, Any], seconds: float) -> HttpResponse:
    response: HttpResponse | None = None
    try:
        async with asyncio.timeout(seconds):
            api = await current.http_api()
            response = await api.handle(request_of(event))
            # The process sleeps after the answer, and with it imports and exports.
            await api.settle()
            return response
    except TimeoutError as error:
        if response is not None:
            logger.warning("an import or export goes on with the next request")
            return response
        raise _too_late(seconds) from error


def _too_late(seconds: float) -> UnavailableError:
    return UnavailableError(
        "RequestTimedOut",
        f"The request did not end within {seconds:.0f} s, the longest that the HTTP API waits. "
        "What it began may have happened: look before doing it again.",
    )

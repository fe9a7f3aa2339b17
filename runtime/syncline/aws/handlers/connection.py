"""$connect and $disconnect: tells a connection's lane that it opened or went.

The lane is ordered, so Opened, put in before the client is let in, is its first message.
"""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from syncline.aws.process import process
from syncline.errors import CallerError, UnavailableError
from syncline.sync.client_kind import client_kind
from syncline.sync.delivery import Left, Opened

logger = Logger()
tracer = Tracer()


@logger.inject_lambda_context(correlation_id_path="requestContext.connectionId")
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, object]:
    """API Gateway's WebSocket event to its answer: 200 lets the client in."""
    del context
    request = APIGatewayProxyEvent(event)
    connection = request.request_context.connection_id
    assert connection is not None, "WebSocket events name their connection"
    queue = process().deployed.session_queue
    if request.request_context.event_type == "DISCONNECT":
        process().run(queue.put(connection, Left()))
        return {"statusCode": 200}
    try:
        kind = client_kind(_version(request.query_string_parameters), _client(request))
        process().run(queue.put(connection, Opened(kind)))
    except CallerError as error:
        logger.info("refused", code=error.code)
        return {"statusCode": 400, "body": error.message}
    except UnavailableError as error:
        logger.warning("refused", code=error.code, reason=error.message)
        return {"statusCode": 503, "body": error.message}
    return {"statusCode": 200}


def _version(query: Mapping[str, str] | None) -> str | None:
    """The version in the path of npm clients, as CloudFront's function carries it along."""
    return (query or {}).get("client")


def _client(request: APIGatewayProxyEvent) -> str | None:
    return request.headers.get("convex-client")

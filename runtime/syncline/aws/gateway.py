"""The port ConnectionGateway over API Gateway's @connections endpoint.

A post is never sent twice: the SDK's own retries are off, and only an answer that says that nothing
was delivered (429) is tried again (protocols.md rule 19). The endpoint names the stage and is never
CloudFront's, where signatures break (aws-facts.md 1.4).
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import SystemRandom
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's name for what it could not reach
    HTTPClientError,
)
from botocore.parsers import ResponseParserError

from syncline.errors import CallerError, DeveloperError, SynclineError, UnavailableError
from syncline.ports import ConnectionGone, DeliveryInDoubt

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

MESSAGE_BYTES_MAX: Final = 128 * 1024
"""Bytes of one message to a client; an AWS quota that can't be raised (aws-facts.md 1.1)."""

THROTTLE_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Greatest pauses in seconds before each new attempt after a 429; ours: 1.6 s in all at most."""

CONNECT_SECONDS_MAX: Final = 2.0
ANSWER_SECONDS_MAX: Final = 5.0
"""Ours: both together, and all pauses, are a small part of a handler's time."""

_RANDOM: Final = SystemRandom()
"""Asks the operating system each time, so that restored snapshots don't pause in step."""

_UNANSWERED: Final = (ConnectionError, HTTPClientError, ResponseParserError)
"""What the SDK raises when no answer, or none that makes sense, came back."""


class ApiGateway:
    """Posts to and closes the connections of one stage of a WebSocket API."""

    def __init__(
        self,
        client: "ApiGatewayManagementApiClient",
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        share: Callable[[], float] = _RANDOM.random,
    ) -> None:
        """`client` must not retry by itself; `share` draws each pause's part of its greatest."""
        self._client = client
        self._pause = pause
        self._share = share

    @classmethod
    def at(cls, endpoint: str) -> "ApiGateway":
        """A gateway for the stage's https address, below which /@connections lies."""
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=CONNECT_SECONDS_MAX,
            read_timeout=ANSWER_SECONDS_MAX,
            max_pool_connections=32,
        )
        client = boto3.client(  # pyright: ignore[reportUnknownMemberType] # other services' overloads
            "apigatewaymanagementapi", endpoint_url=endpoint, config=config
        )
        return cls(client)

    async def post(self, connection: str, frame: bytes) -> None:
        """Send one text frame.

        Raises:
            CallerError: FrameTooLarge: above MESSAGE_BYTES_MAX; nothing was sent.
            ConnectionGone: the client has left (410).
            DeliveryInDoubt: no answer in time, a 5xx, or throttled until patience ended; the
                connection has to be closed (rule 19).
            DeveloperError: the role may not post, or the endpoint is wrong.
        """
        if len(frame) > MESSAGE_BYTES_MAX:
            raise _too_large(len(frame))
        for longest in (*THROTTLE_PAUSES, None):
            try:
                await asyncio.to_thread(
                    self._client.post_to_connection, ConnectionId=connection, Data=frame
                )
            except ClientError as error:
                if _status(error) != 429 or longest is None:
                    raise _post_failure(error, len(frame)) from error
                await self._pause(longest * self._share())
            except _UNANSWERED as error:
                raise DeliveryInDoubt(
                    "DeliveryInDoubt", f"The gateway did not answer a post: {error}"
                ) from error
            else:
                return

    async def disconnect(self, connection: str) -> None:
        """Close the connection; one that is gone already is fine.

        Closing twice does no harm, so everything that may pass is tried again.

        Raises:
            UnavailableError: GatewayUnavailable: it could not be closed now.
            DeveloperError: the role may not close, or the endpoint is wrong.
        """
        for longest in (*THROTTLE_PAUSES, None):
            try:
                await asyncio.to_thread(self._client.delete_connection, ConnectionId=connection)
            except ClientError as error:
                status = _status(error)
                if status == 410:
                    return
                if status != 429 and status < 500:
                    raise _refusal(error) from error
                await self._pause_or_give_up(longest, error)
            except _UNANSWERED as error:
                await self._pause_or_give_up(longest, error)
            else:
                return

    async def _pause_or_give_up(self, longest: float | None, error: Exception) -> None:
        if longest is None:
            raise UnavailableError(
                "GatewayUnavailable", f"The gateway can't close a connection now: {error}"
            ) from error
        await self._pause(longest * self._share())


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def _post_failure(error: ClientError, size: int) -> SynclineError:
    match _status(error):
        case 410:
            return ConnectionGone("ConnectionGone", "The client has left.")
        case 413:
            return _too_large(size)
        case 429:
            return DeliveryInDoubt(
                "GatewayThrottles",
                "The gateway refuses posts: too many at once, or the client reads too slowly.",
            )
        case status if 400 <= status < 500:
            return _refusal(error)
        case _:
            return DeliveryInDoubt("DeliveryInDoubt", f"The gateway failed at a post: {error}")


def _refusal(error: ClientError) -> DeveloperError:
    return DeveloperError(
        "GatewayRefuses",
        f"{error}. The role needs execute-api:ManageConnections on the stage's @connections, and "
        "SYNCLINE_GATEWAY_ENDPOINT must be the stage's own execute-api address.",
    )


def _too_large(size: int) -> CallerError:
    return CallerError(
        "FrameTooLarge",
        f"A frame of {size} bytes can't be sent: the gateway takes {MESSAGE_BYTES_MAX}. Send it in "
        "chunks, or fail the query.",
    )

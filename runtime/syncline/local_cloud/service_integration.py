"""The `$default` route's integration: a client's message becomes one request to SQS.

Sent once, as API Gateway does; passthrough is NEVER, so nothing goes out but what the template
says.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from syncline.local_cloud.mapping_template import MappingTemplate
from syncline.local_cloud.ports import SocketRoute

_SQS_PATH: Final = re.compile(r"arn:[\w-]+:apigateway:(?P<region>[\w-]+):sqs:path/(?P<path>.+)")
_HEADER_PREFIX: Final = "integration.request.header."


class IntegrationError(Exception):
    """The service refused or could not be reached; the message is lost."""


@dataclass(frozen=True, slots=True)
class ServiceCall:
    """A call that the gateway itself made as a role, for the check of permissions."""

    role: str
    action: str
    """As in a policy: `sqs:SendMessage`."""
    resource: str
    """ARN."""


@dataclass(frozen=True, slots=True)
class ServiceAccess:
    """Where SQS is on this machine, and as whom the gateway calls it."""

    sqs_endpoint: str
    credentials: Callable[[str], Credentials]
    """Those of a role, by its ARN."""
    record: Callable[[ServiceCall], None] | None = None
    """Told of each call before it is made."""


class ServiceIntegration:
    """A route of type AWS.

    Raises:
        ValueError: the route is no such one, or has what is not known here.
    """

    def __init__(self, route: SocketRoute, services: ServiceAccess) -> None:
        place = _SQS_PATH.fullmatch(route.uri)
        if place is None or route.role is None or route.request_template is None:
            raise ValueError(
                f"The route {route.uri} is no integration with SQS by a role and a template."
            )
        self._role = route.role
        self._template = MappingTemplate(route.request_template)
        self._headers = _static_headers(route.headers)
        self._region = place["region"]
        self._url = f"{services.sqs_endpoint.rstrip('/')}/{place['path']}"
        self._call = ServiceCall(
            route.role,
            "sqs:SendMessage",
            f"arn:aws:sqs:{place['region']}:{place['path'].replace('/', ':')}",
        )
        self._services = services
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the connections to the service."""
        connector = aiohttp.TCPConnector(limit=64)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)

    async def stop(self) -> None:
        """Close them."""
        if self._session is not None:
            await self._session.close()

    async def send(self, body: str, context: Mapping[str, object]) -> None:
        """Send one message of a client.

        Raises:
            IntegrationError: it did not get there, or was refused.
        """
        if self._session is None:
            raise IntegrationError("The gateway is not started.")
        content = self._template.render(body, context)
        request = AWSRequest("POST", self._url, headers=dict(self._headers), data=content)
        signer = SigV4Auth(self._services.credentials(self._role), "sqs", self._region)
        signer.add_auth(request)
        if self._services.record is not None:
            self._services.record(self._call)
        try:
            async with self._session.post(
                self._url, data=content.encode(), headers=dict(request.headers.items())
            ) as answer:
                refusal = await answer.text() if answer.status >= 300 else None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise IntegrationError(f"SQS did not answer: {error}") from error
        if refusal is not None:
            raise IntegrationError(f"SQS refused a message: {refusal[:500]}")


def _static_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers as request parameters of the template: static values stand in single quotes."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        if value.startswith(("$", "route.", "context.", "stageVariables.")):
            raise ValueError(
                f"The header {name} is mapped from {value}; only texts are known here."
            )
        found[name.removeprefix(_HEADER_PREFIX)] = value.removeprefix("'").removesuffix("'")
    return found

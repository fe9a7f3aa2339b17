"""What the front door and the stack runner know of each other.

Everything that the front door knows about integrations comes out of the synthesised template;
nothing of it is written a second time in Python.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol


class FunctionFailed(Exception):  # noqa: N818 - says what happened
    """A Lambda function raised, ended or ran out of time: what `Invoke` answers as FunctionError.

    `payload` is the error as Lambda words it: errorType, errorMessage, often stackTrace.
    """

    def __init__(self, payload: Mapping[str, object]) -> None:
        super().__init__(f"{payload.get('errorType')}: {payload.get('errorMessage')}")
        self.payload = payload


class Functions(Protocol):
    """The Lambda service."""

    async def invoke(self, function: str, event: Mapping[str, object]) -> object:
        """Call a function, named by ARN or name, and give its answer as parsed JSON.

        Raises:
            FunctionFailed: the function did not answer.
        """
        ...


@dataclass(frozen=True)
class SocketRoute:
    """A route of the WebSocket API with its integration."""

    kind: Literal["function", "service"]
    function: str | None
    uri: str
    role: str | None
    request_template: str | None
    headers: Mapping[str, str]


@dataclass(frozen=True)
class SocketApi:
    """The WebSocket API; routes by key: `$connect`, `$disconnect`, `$default`."""

    api_id: str
    stage: str
    account: str
    region: str
    routes: Mapping[str, SocketRoute]


@dataclass(frozen=True)
class HttpApi:
    """The HTTP API, whose every request goes to one function."""

    api_id: str
    function: str
    timeout_ms: int

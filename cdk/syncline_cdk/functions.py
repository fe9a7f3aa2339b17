"""The Lambda functions: what each is for, how long and how large it may get."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

GATEWAY_SECONDS: Final = 30
"""Seconds after which an HTTP API gives up (API Gateway, "Quotas for HTTP APIs")."""

SOCKET_GATEWAY_SECONDS: Final = 29
"""The same for a WebSocket API (aws-facts 1.1)."""


@dataclass(frozen=True, slots=True)
class FunctionShape:
    """What the stacks must know of a function.

    `memory` in MiB: 1,769 are one processor. `uses_log`: it reaches the log as the settings say,
    from inside the database's network if directly. `is_awaited`: clients wait for what it does, so
    its start matters.
    """

    purpose: str
    memory: int
    timeout_seconds: int
    uses_log: bool = False
    is_awaited: bool = False

    def handler(self, name: str) -> str:
        """The path that Lambda calls."""
        return f"syncline.aws.handlers.{name}.handler"


FUNCTIONS: Final = MappingProxyType({
    "connection": FunctionShape(
        "tells a connection's lane that it opened or went", 256, 10, is_awaited=True
    ),
    "session": FunctionShape(
        "handles the messages of connections", 1769, 60, uses_log=True, is_awaited=True
    ),
    "follower": FunctionShape(
        "applies the log, matches it, wakes", 1769, 60, uses_log=True, is_awaited=True
    ),
    # Below the gateway's time, so that a late call is answered by us and not by the gateway.
    "http": FunctionShape(
        "answers the HTTP API", 1769, GATEWAY_SECONDS - 2, uses_log=True, is_awaited=True
    ),
    # Lambda's 15 minutes. It reaches no data; what it asks for it gets from "http".
    "action": FunctionShape("runs actions, which have the network and no data", 1769, 900),
    # As long as a few hundred mutations take; what is left then is the next notice's.
    "scheduler": FunctionShape("runs scheduled functions and crons", 1769, 60, uses_log=True),
    "sweeper": FunctionShape("sends ticks, looks at the marker and ahead, every minute", 256, 30),
    "ticker": FunctionShape("sends a tick to every connection that needs one", 512, 50),
    # A little below Lambda's 15 minutes: time to tell CloudFormation of a failure.
    # It reaches the log as its owner, through the Data API, whatever the settings say.
    "push": FunctionShape("pushes functions when a stack changes", 3008, 840),
})  # fmt: skip
"""Every function by the name of its handler's module."""

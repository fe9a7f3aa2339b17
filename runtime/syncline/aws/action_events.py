"""What the function that runs actions is invoked with, and what it asks of the one that has data.

Payloads of Lambda are JSON; what goes in them is MessagePack in base64, so that bytes stay bytes.
"""

import base64
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from syncline.action_ports import ActionCall, ActionOutcome, ActionReply, ActionRequest

ASKING: Final = "syncline.action"
"""The `source` of what an action asks. API Gateway makes its events itself, so no client can."""

EVENT_BYTES_MAX: Final = 1_000_000
"""Bytes of a payload that is not waited for; a little below what Lambda takes (1 MB)."""

S = TypeVar("S", bound=msgspec.Struct)


class StartAction(msgspec.Struct, frozen=True):
    """Run an action; who waits for it is on a connection, or is the caller itself (None)."""

    call: ActionCall
    connection: str | None = None
    request_id: int = 0
    scheduled: "ScheduledAttempt | None" = None
    """Whose end is to be recorded."""


class ScheduledAttempt(msgspec.Struct, frozen=True):
    """The claim of a scheduled function that allowed this one start (protocols.md rule 22)."""

    job: str
    attempt: str


class EndedAction(msgspec.Struct, frozen=True):
    """What a caller that waits is answered: the outcome, and the pieces of an HTTP answer."""

    outcome: ActionOutcome
    status: int = 0
    headers: list[tuple[bytes, bytes]] = []
    body: bytes = b""
    is_complete: bool = False


class Asking(msgspec.Struct, frozen=True):
    """An action wants something, on behalf of its caller."""

    request: ActionRequest
    identity: bytes | None
    is_admin: bool
    written: int
    """The newest ts that the action has caused: what it asks must show it."""


class Answering(msgspec.Struct, frozen=True):
    """The answer, and the newest ts that the action has caused by now."""

    reply: ActionReply
    written: int


def encode(payload: msgspec.Struct) -> dict[str, str]:
    """As it stands in an event."""
    return {"payload": base64.b64encode(msgspec.msgpack.encode(payload)).decode()}


def decode(event: Mapping[str, Any], kind: type[S]) -> S:
    """From an event. ValueError or msgspec.DecodeError: not one of ours."""
    return msgspec.msgpack.decode(base64.b64decode(event["payload"]), type=kind)

"""What a connection's queue carries when any executor may handle the session (protocols.md 19, 20).

One queue group per connection: messages come in order and at least once.
"""

from typing import TypeAlias

import msgspec

from syncline.sync.client_kind import ClientKind
from syncline.sync.results import CallResult


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """The client is connected."""

    client: ClientKind


class Received(msgspec.Struct, frozen=True, tag="received"):
    """A text frame of the client."""

    text: str


class Refresh(msgspec.Struct, frozen=True, tag="refresh"):
    """Data that the client is shown may have changed."""

    ts: int | None = None
    """Up to here; a session that has looked at it since need not look again. None: unknown."""


class Tick(msgspec.Struct, frozen=True, tag="tick"):
    """Time has passed: a Ping may be due, a message may have been missing for too long."""


class Left(msgspec.Struct, frozen=True, tag="left"):
    """The connection is gone."""


class ActionEnded(msgspec.Struct, frozen=True, tag="action"):
    """An action that the session had started has come to its end."""

    request_id: int
    result: CallResult


Event: TypeAlias = Opened | Received | Refresh | Tick | Left | ActionEnded


class QueueMessage(msgspec.Struct, frozen=True):
    """One message of a connection's queue."""

    sequence: int
    """Rises within a connection, and stays the same when the message is given out again."""
    receives: int
    """How often it has been given out, this time included."""
    event: Event

"""What clients say: each message as a typed value, decoded straight from its text.

The shapes are convex-protocol.md 1.2. Arguments and identities stay raw JSON; whether a function
takes them is not decided here. Unknown fields are ignored, as the reference does.
"""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw

from syncline.errors import CallerError, ProtocolError
from syncline.timestamps import decode_timestamp

U32: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1)]
I64: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
SessionId: TypeAlias = Annotated[
    str, Meta(pattern=r"\A[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
]

_ABSENT: Final = Raw()


class Connect(msgspec.Struct, tag=True, tag_field="type", rename="camel", frozen=True):
    """The first message on a socket."""

    session_id: SessionId
    connection_count: U32 = 0
    last_close_reason: str | None = "unknown"
    max_observed_timestamp: str | None = None
    client_ts: I64 | None = None


class Authenticate(msgspec.Struct, tag=True, tag_field="type", rename="camel", frozen=True):
    """A change of identity; `value` is a token (User) or an admin key (Admin)."""

    base_version: U32
    token_type: Literal["User", "Admin", "None"]
    value: str | None = None
    impersonating: Raw = _ABSENT
    acting_as_attributes: Raw = msgspec.field(name="acting_as", default=_ABSENT)

    @property
    def lacks_value(self) -> bool:
        """Whether there should be a token and is none."""
        return self.value is None and self.token_type in ("User", "Admin")

    @property
    def acting_as(self) -> bytes | None:
        """UserIdentityAttributes as JSON, under either of the names that clients use."""
        for raw in (self.impersonating, self.acting_as_attributes):
            text = bytes(raw)
            if text not in (b"", b"null"):
                return text
        return None


class Add(msgspec.Struct, tag=True, tag_field="type", rename="camel", frozen=True):
    """Subscribe to a query."""

    query_id: U32
    udf_path: str
    args: Raw
    journal: str | None = None
    component_path: str | None = None


class Remove(msgspec.Struct, tag=True, tag_field="type", rename="camel", frozen=True):
    """Unsubscribe."""

    query_id: U32


class ModifyQuerySet(msgspec.Struct, tag=True, tag_field="type", rename="camel", frozen=True):
    """The query set moves from `base_version` to `new_version`."""

    base_version: U32
    new_version: U32
    modifications: list[Add | Remove]


class Mutation(msgspec.Struct, tag=True, tag_field="type", rename="camel", frozen=True):
    """Run a mutation."""

    request_id: U32
    udf_path: str
    args: Raw
    component_path: str | None = None


class Action(msgspec.Struct, tag=True, tag_field="type", rename="camel", frozen=True):
    """Run an action."""

    request_id: U32
    udf_path: str
    args: Raw
    component_path: str | None = None


class Event(msgspec.Struct, tag=True, tag_field="type", frozen=True):
    """Telemetry; never answered."""


ClientMessage: TypeAlias = Connect | Authenticate | ModifyQuerySet | Mutation | Action | Event

_decoder: Final = msgspec.json.Decoder(ClientMessage)


def read_text(frame: str | bytes) -> str:
    """The text of a frame; raw parts of messages are passed on unread, so it has to be UTF-8.

    Raises:
        ProtocolError: InvalidMessage.
    """
    if isinstance(frame, str):
        return frame
    try:
        return frame.decode()
    except UnicodeDecodeError as error:
        raise _invalid(str(error)) from None


def decode_message(text: str) -> ClientMessage:
    """The message in one text frame.

    Raises:
        ProtocolError: InvalidMessage, with the text of the FatalError that answers it.
    """
    try:
        message = _decoder.decode(text)
    except RecursionError:
        raise _invalid("nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise _invalid(str(error)) from None
    if isinstance(message, Mutation | Action):
        _check_arguments(message.args)
    elif isinstance(message, ModifyQuerySet):
        _check_modifications(message)
    elif isinstance(message, Authenticate) and message.lacks_value:
        raise _invalid("Object missing required field `value`")
    return message


def decode_observed_ts(text: str) -> int:
    """The ts in `maxObservedTimestamp`.

    Raises:
        ProtocolError: InvalidMessage.
    """
    try:
        return decode_timestamp(text)
    except CallerError as error:
        raise _invalid(error.message) from None


def _check_arguments(args: Raw) -> None:
    if bytes(args)[:1] != b"[":
        raise _invalid("Expected `array` - at `$.args`")


def _check_modifications(message: ModifyQuerySet) -> None:
    for modification in message.modifications:
        if isinstance(modification, Add):
            _check_arguments(modification.args)
    if message.new_version <= message.base_version:
        raise ProtocolError(
            "InvalidQuerySetVersion",
            f"New version {message.new_version} is not greater than the base version "
            f"{message.base_version}",
        )


def _invalid(reason: str) -> ProtocolError:
    return ProtocolError("InvalidMessage", f"Received Invalid JSON on websocket: {reason}")

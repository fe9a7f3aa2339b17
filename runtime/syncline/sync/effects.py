"""What a session asks its driver to do, and the plans of updates that it makes with it."""

from typing import Literal, TypeAlias

import msgspec


class RunMutation(msgspec.Struct, frozen=True):
    """Run a mutation; the next one is asked for when this one is reported finished."""

    request_id: int
    path: str
    """As the client wrote it: "dir/mod:fn", "dir/mod.js:fn" or "mod"."""
    arguments: bytes
    """JSON: an array."""
    identity: bytes | None
    """The identity at arrival: UserIdentityAttributes as JSON; None: not signed in."""
    is_admin: bool
    maybe_resent: bool
    """An outcome may be recorded already: the client has been connected before."""


class RunAction(msgspec.Struct, frozen=True):
    """Run an action beside everything else; fields as in RunMutation."""

    request_id: int
    path: str
    arguments: bytes
    identity: bytes | None
    is_admin: bool


class VerifyToken(msgspec.Struct, frozen=True):
    """Find out whose token this is; the session holds all later messages until it is told."""

    base_version: int
    token_type: Literal["User", "Admin"]
    value: str
    acting_as: bytes | None
    """Whom an admin wants to be: UserIdentityAttributes as JSON."""


class Send(msgspec.Struct, frozen=True):
    """Send text frames, in order, with no other frame but Ping between them."""

    frames: tuple[bytes, ...]
    transitions: int = 0
    """How many Transitions the frames hold; tell `Session.sent` when they have left."""


class Close(msgspec.Struct, frozen=True):
    """Close the connection after what was sent before; the session is over.

    `code` None: a close frame without a body. The reason has at most 123 bytes.
    """

    code: int | None
    reason: str


Effect: TypeAlias = RunMutation | RunAction | VerifyToken | Send | Close


class QuerySpec(msgspec.Struct, frozen=True):
    """A query that needs a result."""

    query_id: int
    path: str
    arguments: bytes
    journal: str | None


class UpdatePlan(msgspec.Struct, frozen=True):
    """An update to compute: the queries' results at one ts, for one version of the query set."""

    number: int
    query_set: int
    identity_version: int
    identity: bytes | None
    is_admin: bool
    queries: tuple[QuerySpec, ...]
    """Those that need a result: new, invalidated, or all after a change of identity."""
    refused: tuple[int, ...]
    """Those that the session answers with an error itself."""
    removed: tuple[int, ...]
    minimum_ts: int
    """The ts must be at or past it: everything that this client has been shown or answered."""
    owes_transition: bool
    """The client waits for a Transition, also for an empty one."""

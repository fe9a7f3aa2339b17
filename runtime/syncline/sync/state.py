"""The whole state of a session as one value, which bytes can hold between two steps.

Held-back messages are kept as their text, so that nothing in here depends on how messages are read.
"""

import msgspec

from syncline.limits import CLIENT_MESSAGE_BYTES_MAX, SESSION_ACTIONS_MAX, SESSION_MUTATIONS_MAX
from syncline.sync.client_kind import ClientKind
from syncline.sync.effects import UpdatePlan
from syncline.sync.phases import Phase
from syncline.sync.query_set import QuerySet
from syncline.sync.requests import Requests


class SessionLimits(msgspec.Struct, frozen=True):
    """Bounds of a session, by the transport that it lives on."""

    chunk_bytes: int = 5_000_000
    """A larger Transition leaves in chunks of at most this size (convex-protocol.md 1.9)."""
    frame_bytes: int | None = None
    """The largest frame that the transport takes (API Gateway: 128 KB); None: no limit."""
    mutations: int = SESSION_MUTATIONS_MAX
    actions: int = SESSION_ACTIONS_MAX
    """Waiting and running ones together; more close the connection (convex-protocol.md 1.5)."""
    unsent_transitions: int = 2
    """No update is computed while so many wait to leave (convex-protocol.md 1.5)."""
    held_messages: int = 1_000
    held_characters: int = 2 * CLIENT_MESSAGE_BYTES_MAX
    """Room for two of the largest messages; more close the connection."""
    orders_requests: bool = False
    """The transport may swap messages: requests of a new session are taken in the order of their
    ids, which clients count up from 0. What a client repeats when it comes back has gaps."""
    settling_ms: int = 0
    """So long after Connect requests wait for an Authenticate that they may have overtaken, where
    the transport may swap messages: they are meant for its identity."""
    admin_ms: int = 0
    """So long after Connect queries that only an admin may ask wait for an Authenticate that they
    may have overtaken, where the transport may swap messages: official tools end on their error."""
    held_ms: int = 10_000
    """So long an early message waits for an earlier one that is missing."""
    idle_ms: int | None = 120_000
    """Closed when nothing, not even a pong, was heard for so long; None: never."""
    sends_pings: bool = True
    """False: somebody outside keeps the connection alive (protocols.md rule 19)."""
    life_ms: int | None = None
    """Closed after so long at most, up to a tenth earlier so that not all come back at once; only
    an action in flight puts it off. None: the transport has no such limit."""


class Identity(msgspec.Struct, frozen=True):
    """Who the client is: UserIdentityAttributes as JSON, None if not signed in."""

    attributes: bytes | None = None
    is_admin: bool = False
    expires_ms: int | None = None


class Held(msgspec.Struct):
    """Messages that arrived too early."""

    inbox: list[str] = []
    """In the order of arrival, taken when the phase allows."""
    query_sets: dict[int, str] = {}
    authentications: dict[int, str] = {}
    """By their base versions, which are ahead of ours."""
    requests: dict[int, str] = {}
    """By their request ids, where the transport may swap messages."""
    characters: int = 0
    """The length of all of them."""
    since_ms: int | None = None
    """When a message began to wait for a missing one; None: none does."""

    @property
    def count(self) -> int:
        """How many messages are held."""
        ahead = len(self.query_sets) + len(self.authentications) + len(self.requests)
        return len(self.inbox) + ahead


class SessionState(msgspec.Struct):
    """Everything that a session remembers. Times are milliseconds by the driver's clock."""

    client: ClientKind
    last_heard_ms: int
    last_sent_ms: int
    now_ms: int
    opened_ms: int = 0
    connected_ms: int = 0
    phase: Phase = Phase.AWAITING_CONNECT

    session_id: str = ""
    connection_count: int = 0
    max_observed_ts: int = 0
    clock_skew_ms: int | None = None

    # The version that the client holds: that of the last Transition.
    sent_query_set: int = 0
    sent_identity: int = 0
    sent_ts: int = 0

    identity: Identity = Identity()
    identity_version: int = 0
    query_set: QuerySet = msgspec.field(default_factory=QuerySet)
    requests: Requests = msgspec.field(default_factory=Requests)
    held: Held = msgspec.field(default_factory=Held)

    update_wanted: bool = False
    owes_transition: bool = False
    """Something was received or answered that a Transition must confirm, even an empty one."""
    answered_ts: int = 0
    """The newest ts named in a response."""
    computing: UpdatePlan | None = None
    plans: int = 0
    unsent_transitions: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SessionState)


def encode_session_state(state: SessionState) -> bytes:
    """The state as bytes."""
    return _encoder.encode(state)


def decode_session_state(data: bytes) -> SessionState:
    """The state that was encoded.

    Raises:
        msgspec.DecodeError: if the bytes are not such a state.
    """
    return _decoder.decode(data)

"""All I/O that this system does, as protocols on one page.

Drivers see these and nothing else; adapters live in `postgres`, `local`, `simulated` and `aws`,
and one contract suite per port runs against each of them (tests/contract).
"""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import msgspec

from syncline.bundle_spec import BundleSpec
from syncline.commit.record import (
    AppendReply,
    Commit,
    CommitRequest,
    DocumentChange,
    Duplicate,
    Loaded,
    Position,
    Reset,
    TailReply,
)
from syncline.environment_ports import EnvironmentRead
from syncline.errors import UnavailableError
from syncline.index.key_encoding import values_range
from syncline.index.key_range import KeyRange

if TYPE_CHECKING:
    from syncline.schema.catalog import Catalog


class Clock(Protocol):
    """The wall clock."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch; may step backwards."""
        ...


class Entropy(Protocol):
    """Randomness that nobody can guess."""

    def bits(self, count: int) -> int:
        """A random number of `count` bits: 0 to 2^count - 1."""
        ...


class LogUnavailable(UnavailableError):  # noqa: N818 - says what the log is, like "closed"
    """The connection to the log is lost; what was in flight is in doubt (look it up by request).

    The adapter connects again on the next call.
    """


class Log(Protocol):
    """The totally ordered log of commits (protocols.md rules 1 to 8). One object per process.

    Calls raise LogUnavailable when the log can't be reached; an `append` that raised it may have
    happened or not.
    """

    async def append(
        self,
        batch: Sequence[CommitRequest],
        *,
        standing_on: Position,
        exclusive: bool,
        mark: int | None = None,
    ) -> AppendReply:
        """Commit a batch in order, in one round trip, durably.

        With `exclusive` nothing is appended unless the head IS `standing_on` and every proposed ts
        can be kept; validation in the caller's memory is then enough, and the items after one that
        is not stored are left out, because they may stand on it. Otherwise each item's read ranges
        are validated against the write keys in (begin_ts, head] under the head lock.
        A proposed ts is kept if it is above the head and at most 1 s ahead of the database's clock.
        `mark` is the caller's n of rule 16: a closed one is refused with Closed. None: nobody
        follows this log by a marker.
        """
        ...

    async def close_mark(self, mark: int) -> Position:
        """Refuse every append with a mark up to this one, durably, from now on (rule 16).

        Returns the head at that moment, under its lock: no refused caller's commit follows it.
        """
        ...

    async def tail(self, after: Position, *, bytes_max: int) -> TailReply | Reset:
        """Commits after a position, paged by bytes (at least one); completes once durable."""
        ...

    async def outcome(self, session: str, request: int) -> Duplicate | None:
        """What was recorded under (session, request): the answer to an append in doubt."""
        ...

    async def load(self) -> Loaded:
        """The snapshot at the folded position; add the tail after it to reach the head."""
        ...

    async def fold(self, up_to: int, *, commits_max: int) -> Position:
        """Move versions up to `up_to` into the snapshot table; returns the new folded position.

        At most `commits_max` commits at a time; repeat until the position stops moving.
        """
        ...

    async def prune(self, *, keep_after: int, records_before: int) -> int:
        """Forget commits with ts <= `keep_after` and request records with ts < `records_before`.

        Only what is folded goes, a bounded step at a time; returns how many rows went, 0 when
        nothing is left to do.
        """
        ...

    async def add_index_keys(self, keys: Sequence[tuple[str, int, bytes]]) -> None:
        """Backfill: add an entry key to stored versions given as (document id, ts, key).

        Snapshot and history; doing it again changes nothing.
        """
        ...

    async def report_applied(self, view: str, ts: int) -> None:
        """A view has applied everything up to `ts` (protocols.md rule 8).

        Nothing after it is pruned, and `append` answers SlowDown when the view lags too far behind.
        """
        ...

    async def close(self) -> None:
        """Close connections; nothing may be in flight."""
        ...


class RangeRead(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=0):
    """Asks for at most `limit` (>= 1) rows with lo <= key < hi, in key order or reversed."""

    lo: bytes
    hi: bytes
    limit: int
    reverse: bool = False

    @property
    def covers(self) -> KeyRange:
        """All keys that the answer can depend on."""
        return KeyRange(self.lo, self.hi)


class TextRead(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=1):
    """Asks for at most `limit` (>= 1) of the documents that match best, best first.

    The key of a row is its rank (search/scoring.py: rank_key).
    """

    index_id: bytes
    terms: tuple[str, ...]
    """Different ones, at least one; the last also counts as the beginning of a term."""
    filters: tuple[tuple[int, bytes], ...]
    """Places of filter fields in the index, and the encoded values that they must have."""
    after: bytes
    """Only what ranks after this; b"": everything."""
    limit: int

    @property
    def covers(self) -> KeyRange:
        """All keys that the answer can depend on, without regard to the filters."""
        return values_range(self.index_id)


class VectorRead(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=2):
    """Asks for the `limit` (>= 1) documents whose vectors are nearest, nearest first, or fewer.

    The key of a row is its nearness (search/vectors.py: nearness_key).
    """

    index_id: bytes
    vector: bytes
    """A unit vector: numbers of 32 bits in the machine's order."""
    filters: tuple[tuple[int, bytes], ...]
    """Places of filter fields, and encoded values of which one must fit; none: all fit."""
    limit: int
    with_documents: bool
    """Otherwise the rows' documents are empty."""

    @property
    def covers(self) -> KeyRange:
        """All keys that the answer can depend on, without regard to the filters."""
        return values_range(self.index_id)


Read: TypeAlias = RangeRead | TextRead | VectorRead | EnvironmentRead


class Row(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A live document as one index entry shows it, or as a search has found it."""

    key: bytes
    ts: int
    document: bytes


class Page(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The answer to a RangeRead; `done`: nothing is left in the range after these rows."""

    rows: tuple[Row, ...]
    done: bool


class SnapshotReads(Protocol):
    """All reads at one ts."""

    async def read(self, reads: Sequence[Read]) -> Sequence[Page]:
        """One page a read, in the order asked."""
        ...


class StoredRow(msgspec.Struct, frozen=True, gc=False):
    """An index entry as the document store has it; document None: a tombstone."""

    key: bytes
    ts: int
    document: bytes | None


class StoredPage(msgspec.Struct, frozen=True, gc=False):
    """Entries and tombstones of a range; `done`: nothing is left in the range after them."""

    rows: tuple[StoredRow, ...]
    done: bool


class Documents(Protocol):
    """The newest version of every index entry up to a watermark (protocols.md rules 9, 13)."""

    async def watermark(self) -> int:
        """The ts up to which every commit has been applied, read strongly."""
        ...

    async def read(self, reads: Sequence[RangeRead]) -> Sequence[StoredPage]:
        """One page a read, strongly consistent; tombstones count towards the limit."""
        ...

    async def apply(self, commits: Sequence[Commit]) -> None:
        """Apply durable commits in ts order; applying one twice changes nothing."""
        ...

    async def add_index_rows(self, rows: Sequence[StoredRow]) -> None:
        """Backfill entries of an index, each unless a newer one is stored."""
        ...

    async def drop_index(self, index_id: bytes) -> None:
        """Remove every entry of one index (its id is never used again)."""
        ...

    async def collect_tombstones(self, before: int) -> None:
        """Forget tombstones older than `before`: no snapshot below it is read any more."""
        ...


class InterestStore(Protocol):
    """Which queries read which key ranges (protocols.md rules 17, 18); a query is any hashable."""

    async def register(self, query: Hashable, ranges: Sequence[KeyRange]) -> None:
        """The query's interest from now on; what it was interested in before goes afterwards."""
        ...

    async def match(self, write_keys: Collection[bytes]) -> Collection[Hashable]:
        """Every query that has one of the keys in its ranges, read strongly."""
        ...

    def unregister(self, query: Hashable) -> None:
        """The query is no longer interested; may take effect later."""
        ...


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One connection's session between two messages (protocols.md rule 19)."""

    version: int
    """Counts up by one with every stored change; 1 is the first."""
    sequence: int
    """The queue's number of the newest message that the state has taken in."""
    sending: bool
    """The frames of this version are being posted: by whoever stored it, or by nobody any more."""
    interest: int
    """Names the registered read set of what the client is shown; 0: none."""
    tick_ms: int | None
    """The session wants a Tick then (ms since the epoch) at the latest; None: never."""
    silence_ms: int
    """So long the client bears without a frame; 0: the session is over."""
    state: bytes
    """The session itself, as whoever handles it encodes it."""


class SessionStore(Protocol):
    """Sessions of connections whose messages any executor may handle."""

    async def load(self, connection: str) -> SessionRecord | None:
        """The newest record, read strongly; None: never opened."""
        ...

    async def put(self, connection: str, record: SessionRecord) -> bool:
        """Store a record if the stored version is the one before it (0: none); else False."""
        ...


class ConnectionGone(UnavailableError):  # noqa: N818 - says what the connection is
    """The client has left: nothing will reach it."""


class DeliveryInDoubt(UnavailableError):  # noqa: N818 - says what the delivery is
    """A post that may have arrived or not (a timeout, a 5xx): never to be sent again (rule 19)."""


class ConnectionGateway(Protocol):
    """Holds the sockets and posts to them."""

    async def post(self, connection: str, frame: bytes) -> None:
        """Send one text frame. Raises ConnectionGone and DeliveryInDoubt."""
        ...

    async def disconnect(self, connection: str) -> None:
        """Close the connection; one that is gone already is fine."""
        ...


class SessionWakeups(Protocol):
    """Asks for a session to be looked at: its data may have changed."""

    async def wake(self, connection: str, ts: int | None = None) -> None:
        """Put a refresh behind the messages of this connection: commits up to `ts` touch it."""
        ...


class Marker(Protocol):
    """Whether the log may have something that its views lack (protocols.md rule 16)."""

    async def mark(self, above: int) -> int:
        """Say that it may, under a number greater than `above`; returns it for every append."""
        ...

    async def settled(self) -> Position | None:
        """The watermark if nothing is left to do, which proves it to be the durable head."""
        ...

    async def dirty(self) -> int | None:
        """The mark under which something may be left to do; None: nothing is."""
        ...

    async def clear(self, mark: int, at: Position) -> bool:
        """Nothing is left to do: watermark and matcher stand at the head `at` that closed `mark`.

        False: somebody has marked again, or one of them stands elsewhere.
        """
        ...


class MatchCursor(Protocol):
    """Up to where the log has been matched with the interests (protocols.md rule 17)."""

    async def load(self) -> Position:
        """The stored position, read strongly."""
        ...

    async def advance(self, position: Position) -> None:
        """Move forward; a position that lies behind the stored one changes nothing."""
        ...


class FunctionCall(msgspec.Struct, frozen=True, gc=False):
    """One run of a query or mutation: everything that decides its outcome."""

    kind: Literal["query", "mutation"]
    path: str
    """ "dir/mod:fn"."""
    arguments: bytes
    """JSON: an object, or an array of one object."""
    identity: bytes | None
    """JSON UserIdentityAttributes, camelCase; None: not signed in."""
    is_admin: bool
    """May call internal and `_system/` functions and sees system tables."""
    begin_ts: int
    now_ns: int
    seed: int
    journal: str | None
    bundle: str
    """Content hash of the deployed functions."""
    catalog: "Catalog"
    request_id: str
    """16 hex digits, shown to clients in error messages."""
    is_inner: bool = False
    """Called by a function: internal ones may be called too."""
    scheduled: str | None = None
    """The id of the scheduled function that this run is: its row has the arguments."""


class FunctionError(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Why a run failed."""

    message: str
    """Full text for clients, without the "[Request ID: ...] Server Error" line."""
    is_server_made: bool
    """The message is ours and may be shown in production too."""
    data: bytes | None
    """JSON of an application error's data."""


class FunctionOutcome(msgspec.Struct, frozen=True, gc=False):
    """What a run did and saw; `value` (JSON) is None exactly if `error` is not."""

    value: bytes | None
    error: FunctionError | None
    log_lines: tuple[str, ...]
    """Each with its level first: "[LOG] ..."."""
    read_ranges: tuple[KeyRange, ...]
    """Merged."""
    changes: tuple[DocumentChange, ...]
    journal: str | None
    read_identity: bool
    read_time: bool
    read_random: bool
    documents_read: int
    bytes_read: int
    own_seconds: float
    """Time in user code, without waiting for reads."""


class FunctionRunner(Protocol):
    """Runs user functions in executors apart from the sockets."""

    async def load(self, bundle: str, folder: Path) -> BundleSpec:
        """Import and check a bundle; DeveloperError names file, line and what to do."""
        ...

    async def run(self, call: FunctionCall, reads: SnapshotReads) -> FunctionOutcome:
        """Run one call to its end; reads are asked for in pages."""
        ...

    async def close(self) -> None:
        """Stop the executors."""
        ...


class KeySets(Protocol):
    """The web as far as tokens need it: discovery documents and key sets of their issuers."""

    async def fetch(self, address: str) -> bytes:
        """The document at an https:// address.

        Raises:
            UnavailableError: not reachable, too slow, or failing (5xx, 429): it may work later.
            CallerError: there is no such document, or none of a sensible size.
        """
        ...

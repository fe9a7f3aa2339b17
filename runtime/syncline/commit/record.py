"""Shapes of the log: what a commit asks for, what is stored of it, and what the log answers.

All timestamps (`ts`) are nanoseconds since the epoch by the database's clock, strictly increasing
along the log; 0 means "before the first commit". Nonces are 63-bit random numbers that tell two
commits with the same ts apart when a crash has taken one of them back (protocols.md rule 4).
Documents are encoded JSON bytes (convex_encoded_json) and are never decoded here.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import msgspec

from syncline.index.key_range import KeyRange


class DocumentChange(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One document before and after a commit; a commit changes a document at most once."""

    document_id: str
    table: int
    """Table number."""
    before: bytes | None
    """Encoded JSON; None: the document did not exist."""
    after: bytes | None
    """Encoded JSON; None: the commit deletes the document."""
    before_ts: int
    """The ts of the version before; 0 if there was none."""
    keys_before: tuple[bytes, ...]
    """Its entry keys in every index of the table before, in ordinal order; empty if absent."""
    keys_after: tuple[bytes, ...]
    """Its entry keys after; empty if deleted."""

    @property
    def write_keys(self) -> frozenset[bytes]:
        """Every key that this change touches: a read range holding one of them is overtaken."""
        return frozenset(self.keys_before).union(self.keys_after)


class CommitRequest(msgspec.Struct, frozen=True, gc=False):
    """One finished mutation run that wants to become a commit, or a validated failure."""

    begin_ts: int
    """The snapshot that the run read."""
    read_ranges: tuple[KeyRange, ...]
    """What the run's reads covered; sorted and merged is cheapest, any order is right."""
    changes: tuple[DocumentChange, ...]
    session: str
    request: int
    """Exactly-once key, unique with `session`; 0 to 2^63 - 1."""
    identity: str
    """Whose call it was, "" for anonymous; a recorded outcome is given to nobody else."""
    call: bytes
    """JSON of function, arguments, identity, seed, now and bundle: for replay and audit."""
    outcome: bytes
    """JSON of result or error and log lines, recorded and replayed as it is."""
    failed: bool
    """A validated failure: recorded under (session, request), changes nothing, gets no ts."""
    ts: int
    """Proposed ts, above every earlier one of the same caller."""
    nonce: int
    """Random, 1 to 2^63 - 1."""


class Commit(msgspec.Struct, frozen=True, gc=False):
    """A commit as it is read back from the log."""

    ts: int
    nonce: int
    previous_ts: int
    """The ts of the commit before it in the chain; 0 for the first."""
    changes: tuple[DocumentChange, ...]
    session: str
    request: int
    call: bytes


def payload_bytes(call: bytes, changes: Sequence[DocumentChange]) -> int:
    """How much a commit weighs in a page of the tail: its bytes and some for its numbers."""
    size = len(call) + 200
    for change in changes:
        size += 100 + len(change.before or b"") + len(change.after or b"")
        size += sum(map(len, change.keys_before)) + sum(map(len, change.keys_after))
    return size


class Position(msgspec.Struct, frozen=True, gc=False):
    """A commit that a caller stands on; Position(0, 0) is before the first."""

    ts: int
    nonce: int


class StoredDocument(msgspec.Struct, frozen=True, gc=False):
    """The newest version of a document at or before `folded`, from the snapshot table."""

    document_id: str
    table: int
    ts: int
    document: bytes
    keys: tuple[bytes, ...]


class Committed(msgspec.Struct, frozen=True, gc=False):
    """The item is in the log; ts is the proposed one or the one that replaced it."""

    ts: int
    nonce: int


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """The validated failure is recorded; ts is the head that it was validated at."""

    ts: int


REFUSED_IDENTITY = "This request id belongs to a call of another identity."
"""Why Refused: (session, request) is recorded under another identity."""

REFUSED_PRUNED = "This request id is older than what the log remembers; it is never run again."
"""Why Refused: the request lies at or below the floor that pruning raised for its session."""


class Duplicate(msgspec.Struct, frozen=True, gc=False):
    """(session, request) was settled before; this is what was recorded then."""

    ts: int
    identity: str
    outcome: bytes
    failed: bool


class Conflict(msgspec.Struct, frozen=True, gc=False):
    """A later write touches what the item read: the newer commit's ts and one key of it."""

    ts: int
    key: bytes


class TooOld(msgspec.Struct, frozen=True, gc=False):
    """begin_ts lies below the write-key horizon (protocols.md rule 8): run again."""

    floor_ts: int


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Never to be run: another identity's request, or one whose record has been pruned.

    `reason` is REFUSED_IDENTITY or REFUSED_PRUNED.
    """

    reason: str


ItemResult = Committed | Recorded | Duplicate | Conflict | TooOld | Refused
"""What became of one item of a batch."""


class Appended(msgspec.Struct, frozen=True, gc=False):
    """The batch was judged item by item. Everything that the results tell of is durable."""

    results: tuple[ItemResult, ...]
    """One an item; in an exclusive batch they end with the first that is not stored."""
    position: Position
    """The head after the batch."""
    missing: tuple[Commit, ...]
    """Others' commits after `standing_on`, in ts order, without the batch's own. They reach up to
    `base` unless they were too many for a reply: then `Log.tail` has the rest."""
    base: Position
    """The head before the batch: the batch's own first commit follows it."""


class HeadMoved(msgspec.Struct, frozen=True, gc=False):
    """Exclusive append only: somebody else committed; nothing was appended."""

    position: Position
    missing: tuple[Commit, ...]
    """As far as they fit; empty when a proposed ts could not be kept."""


class Reset(msgspec.Struct, frozen=True, gc=False):
    """The commit that the caller stands on is not in the log: load again (protocols.md rule 4)."""


class SlowDown(msgspec.Struct, frozen=True, gc=False):
    """The views lag behind the head by too much (protocols.md rule 8): wait and append again."""


class Closed(msgspec.Struct, frozen=True, gc=False):
    """The caller's mark has been closed: mark again above this one (protocols.md rule 16)."""

    mark: int


AppendReply = Appended | HeadMoved | Reset | SlowDown | Closed
"""What `Log.append` answers."""


class TailReply(msgspec.Struct, frozen=True, gc=False):
    """Commits after a position, in ts order, and the head; all of it is durable."""

    commits: tuple[Commit, ...]
    """A page by bytes; ask again after the last one while its ts is below the head's."""
    head: Position


@dataclass(frozen=True, slots=True)
class Loaded:
    """The snapshot at the folded position, to be completed by the tail after it."""

    position: Position
    documents: AsyncIterator[Sequence[StoredDocument]]
    """Batches in no particular order; must be read to the end, or closed."""

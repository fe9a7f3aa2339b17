"""The log in memory: an exact model of the adapters on Postgres, with a disk that can be lost.

What has been written is visible to everybody at once and durable only after the next flush, as in
Postgres: `crash` takes back what was not flushed, and every call under way fails. The steps of a
call between two pauses are atomic; the simulation interleaves calls and crashes at the pauses.

Each rule can be switched off, to show that the simulation would notice (protocols.md, head).
"""

from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import msgspec

from syncline.commit.conflict import MergedRanges
from syncline.commit.record import (
    REFUSED_IDENTITY,
    REFUSED_PRUNED,
    Appended,
    AppendReply,
    Closed,
    Commit,
    CommitRequest,
    Committed,
    Conflict,
    Duplicate,
    HeadMoved,
    ItemResult,
    Loaded,
    Position,
    Recorded,
    Refused,
    Reset,
    SlowDown,
    StoredDocument,
    TailReply,
    TooOld,
    payload_bytes,
)
from syncline.ports import Clock, LogUnavailable

FAULTS: Final = frozenset(
    {
        "conflicts",  # rule 1: nothing is validated
        "flush",  # rule 2: append replies before anything is flushed
        "tail flush",  # rule 3: reading does not make durable
        "nonces",  # rule 4: a position is recognised by its ts alone
        "chain",  # rule 4: every position is taken for one of this log
        "duplicates",  # rule 5: a request that was settled runs again
        "lookups",  # rule 5: a recorded outcome is not found
        "identity",  # rule 5: a recorded outcome is given to anybody
        "exclusive",  # rule 6: a batch is appended though the head has moved
        "floors",  # rules 5, 8: what was pruned is taken for what never was
        "marks",  # rule 16: a closed mark is not refused
    }
)
"""Rules that can be switched off, as `faults` names them."""

_SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class _Record:
    duplicate: Duplicate
    recorded_ns: int


async def _go_on(_point: str) -> None:
    """Never pauses."""


class MemoryLog:
    """One log; processes of a simulation share the object.

    Args:
        clock: the database's clock.
        faults: members of FAULTS.
        pause: awaited at "append: begin", "append: ordered" (visible, not durable yet), "append:
            flushed" (durable, not answered yet), "tail: begin" and "tail: read".
        horizon_ns, lag_ns_max: as of `syncline.postgres.log.PostgresLog`.
        missing_bytes_max: payload of missing commits that a reply carries.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        faults: frozenset[str] = frozenset(),
        pause: Callable[[str], Awaitable[None]] = _go_on,
        horizon_ns: int = 600 * _SECOND_NS,
        lag_ns_max: int | None = None,
        missing_bytes_max: int = 64 * 1024,
    ) -> None:
        assert faults <= FAULTS, f"unknown faults: {sorted(faults - FAULTS)}"
        self._clock = clock
        self._faults = faults
        self._pause = pause
        self._horizon_ns = horizon_ns
        self._lag_ns_max = lag_ns_max
        self._missing_bytes_max = missing_bytes_max
        self._crashes = 0
        self._commits: list[Commit] = []
        self._requests: dict[tuple[str, int], _Record] = {}
        self._unflushed: list[Callable[[], object]] = []
        self._session_floors: dict[str, int] = {}
        self._views: dict[str, int] = {}
        self._pruned = 0
        self._closed = 0
        self._folded = Position(0, 0)
        self._documents: dict[str, StoredDocument] = {}

    @property
    def head(self) -> Position:
        """The newest commit, durable or not."""
        if not self._commits:
            return Position(0, 0)
        return Position(self._commits[-1].ts, self._commits[-1].nonce)

    @property
    def folded(self) -> Position:
        """Up to where versions are in the snapshot."""
        return self._folded

    @property
    def holds_unflushed(self) -> bool:
        """Whether a crash would take something back now."""
        return bool(self._unflushed)

    @property
    def commits(self) -> Sequence[Commit]:
        """Every commit that is still kept, in ts order."""
        return self._commits

    def crash(self) -> None:
        """Lose what was not flushed; every call under way fails at its next step."""
        self._crashes += 1
        while self._unflushed:
            self._unflushed.pop()()

    def restore(self, ts: int) -> None:
        """Go back to a backup that ends at `ts`, with the head above every ts ever issued (rule 8).

        Everything later is lost, acknowledged or not; `ts` lies at or past the folded position.
        """
        newest = self.head.ts
        assert self._folded.ts <= ts <= newest, "a backup holds the snapshot, and nothing newer"
        self.crash()
        del self._commits[self._count_up_to(ts) :]
        for key, record in list(self._requests.items()):
            if record.duplicate.ts > ts:
                del self._requests[key]
        head = max(newest + 1, self._clock.now_ns())
        call = b'{"function":"_system/restore","arguments":{}}'
        self._commits.append(Commit(head, head, self.head.ts, (), "restore", head, call))

    def _flush(self) -> None:
        self._unflushed.clear()

    async def _step(self, point: str, crashes: int) -> None:
        await self._pause(point)
        if self._crashes != crashes:
            raise LogUnavailable("LogUnavailable", "The simulated log crashed.")

    async def append(
        self,
        batch: Sequence[CommitRequest],
        *,
        standing_on: Position,
        exclusive: bool,
        mark: int | None = None,
    ) -> AppendReply:
        """Commit a batch; see `syncline.ports.Log.append`."""
        crashes = self._crashes
        await self._step("append: begin", crashes)
        if mark is not None and mark <= self._closed and "marks" not in self._faults:
            return Closed(self._closed)
        reply = self._judge_batch(batch, standing_on, exclusive=exclusive)
        await self._step("append: ordered", crashes)
        if "flush" not in self._faults:
            self._flush()
        await self._step("append: flushed", crashes)
        return reply

    def _judge_batch(
        self, batch: Sequence[CommitRequest], standing_on: Position, *, exclusive: bool
    ) -> AppendReply:
        base = self.head
        if not self._is_in_log(standing_on):
            return Reset()
        missing = self._missing(standing_on.ts)
        if exclusive and base != standing_on and "exclusive" not in self._faults:
            return HeadMoved(base, missing)
        if self._is_lagging(base.ts):
            return SlowDown()
        if not exclusive:
            results = [self._validate_and_store(request, base.ts) for request in batch]
            return Appended(tuple(results), self.head, missing, base)
        proposed = [request.ts for request in batch if not request.failed]
        is_rising = all(left < right for left, right in pairwise([base.ts, *proposed]))
        if not is_rising or max(proposed, default=0) > self._clock.now_ns() + _SECOND_NS:
            return HeadMoved(base, ())
        return Appended(self._store_as_proposed(batch), self.head, missing, base)

    def _is_in_log(self, position: Position) -> bool:
        if "chain" in self._faults:
            return True
        if position.ts == 0:
            return position.nonce == 0 and self._pruned == 0
        at = self._count_up_to(position.ts) - 1
        if at < 0 or self._commits[at].ts != position.ts:
            return False
        return "nonces" in self._faults or self._commits[at].nonce == position.nonce

    def _count_up_to(self, ts: int) -> int:
        return bisect_right(self._commits, ts, key=_ts)

    def _missing(self, after_ts: int) -> tuple[Commit, ...]:
        page = self._page(after_ts, self._missing_bytes_max)
        weight = sum(payload_bytes(commit.call, commit.changes) for commit in page)
        return page if weight <= self._missing_bytes_max else page[:-1]

    def _page(self, after_ts: int, bytes_max: int) -> tuple[Commit, ...]:
        """Commits after a ts until their weight reaches a bound."""
        page: list[Commit] = []
        weight = 0
        for commit in self._commits[self._count_up_to(after_ts) :]:
            if weight >= bytes_max:
                break
            page.append(commit)
            weight += payload_bytes(commit.call, commit.changes)
        return tuple(page)

    def _is_lagging(self, head_ts: int) -> bool:
        if self._lag_ns_max is None:
            return False
        for applied in self._views.values():
            lacking = self._commits[self._count_up_to(applied) :][:1]
            if lacking and lacking[0].ts < head_ts - self._lag_ns_max:
                return True
        return False

    def _store_as_proposed(self, batch: Sequence[CommitRequest]) -> tuple[ItemResult, ...]:
        results: list[ItemResult] = []
        for request in batch:
            known = self._settled(request)
            results.append(known or self._store(request, request.ts))
            if known:
                break
        return tuple(results)

    def _validate_and_store(self, request: CommitRequest, base_ts: int) -> ItemResult:
        verdict = self._settled(request) or self._overtaken(request, base_ts)
        if verdict is not None:
            return verdict
        now, head_ts = self._clock.now_ns(), self.head.ts
        is_kept = head_ts < request.ts <= now + _SECOND_NS
        return self._store(request, request.ts if is_kept else max(head_ts + 1, now))

    def _settled(self, request: CommitRequest) -> Duplicate | Refused | None:
        if "duplicates" in self._faults:
            return None
        record = self._requests.get((request.session, request.request))
        if record is not None:
            is_own = record.duplicate.identity == request.identity
            if is_own or "identity" in self._faults:
                return record.duplicate
            return Refused(REFUSED_IDENTITY)
        if request.request <= self._session_floors.get(request.session, -1):
            return None if "floors" in self._faults else Refused(REFUSED_PRUNED)
        return None

    def _overtaken(self, request: CommitRequest, base_ts: int) -> TooOld | Conflict | None:
        floor = max(self._pruned, base_ts - self._horizon_ns)
        if request.begin_ts < floor and "floors" not in self._faults:
            return TooOld(floor)
        if "conflicts" in self._faults:
            return None
        ranges = MergedRanges(request.read_ranges)
        for commit in self._commits[self._count_up_to(request.begin_ts) :]:
            keys = (key for change in commit.changes for key in change.write_keys)
            key = ranges.least_of(keys)
            if key is not None:
                return Conflict(commit.ts, key)
        return None

    def _store(self, request: CommitRequest, ts: int) -> Committed | Recorded:
        head_ts = self.head.ts
        key = request.session, request.request
        earlier = self._requests.get(key)
        if earlier is None:
            self._unflushed.append(lambda: self._requests.pop(key))
        else:
            self._unflushed.append(lambda: self._requests.update({key: earlier}))
        at = head_ts if request.failed else ts
        duplicate = Duplicate(at, request.identity, request.outcome, failed=request.failed)
        self._requests[key] = _Record(duplicate, self._clock.now_ns())
        if request.failed:
            return Recorded(at)
        self._commits.append(
            Commit(ts, request.nonce, head_ts, request.changes, *key, request.call)
        )  # fmt: skip
        self._unflushed.append(self._commits.pop)
        return Committed(ts, request.nonce)

    async def close_mark(self, mark: int) -> Position:
        """Refuse appends with a mark up to this one; returns the head."""
        crashes = self._crashes
        await self._step("close: begin", crashes)
        self._closed = max(self._closed, mark)
        head = self.head
        self._flush()
        await self._step("close: flushed", crashes)
        return head

    async def tail(self, after: Position, *, bytes_max: int) -> TailReply | Reset:
        """Commits after a position; complete means durable (protocols.md rule 3)."""
        crashes = self._crashes
        await self._step("tail: begin", crashes)
        known = self._is_in_log(after)
        reply = TailReply(self._page(after.ts, bytes_max), self.head)
        if "tail flush" not in self._faults:
            self._flush()
        await self._step("tail: read", crashes)
        return reply if known else Reset()

    async def outcome(self, session: str, request: int) -> Duplicate | None:
        """What was recorded under (session, request), made durable by looking."""
        crashes = self._crashes
        record = self._requests.get((session, request))
        if "lookups" in self._faults:
            record = None
        if record is not None:
            self._flush()
        await self._step("outcome: read", crashes)
        return record.duplicate if record else None

    def recorded(self, session: str, request: int) -> Duplicate | None:
        """What is recorded under (session, request), for checkers: at once, and without a flush."""
        record = self._requests.get((session, request))
        return record.duplicate if record else None

    async def load(self) -> Loaded:
        """The snapshot at the folded position."""
        documents = list(self._documents.values())

        async def batches() -> AsyncIterator[Sequence[StoredDocument]]:
            for at in range(0, len(documents), 100):
                yield documents[at : at + 100]

        return Loaded(self._folded, batches())

    async def fold(self, up_to: int, *, commits_max: int) -> Position:
        """Move versions up to `up_to` into the snapshot."""
        start = self._count_up_to(self._folded.ts)
        stop = min(self._count_up_to(up_to), start + commits_max)
        for commit in self._commits[start:stop]:
            for change in commit.changes:
                if change.after is None:
                    self._documents.pop(change.document_id, None)
                else:
                    self._documents[change.document_id] = StoredDocument(
                        change.document_id, change.table, commit.ts, change.after, change.keys_after
                    )
            self._folded = Position(commit.ts, commit.nonce)
        self._flush()
        return self._folded

    async def prune(self, *, keep_after: int, records_before: int) -> int:
        """Forget folded and applied commits, and old request records, in one step."""
        bounds = [keep_after, self._folded.ts - 1, *(ts - 1 for ts in self._views.values())]
        gone = self._commits[: self._count_up_to(min(bounds))]
        if gone:
            self._pruned = gone[-1].ts
            del self._commits[: len(gone)]
        old = [k for k, record in self._requests.items() if record.recorded_ns < records_before]
        for key in old:
            session, request = key
            del self._requests[key]
            floor = self._session_floors.get(session, request)
            self._session_floors[session] = max(floor, request)
        self._flush()
        return len(gone) + len(old)

    async def add_index_keys(self, keys: Sequence[tuple[str, int, bytes]]) -> None:
        """Add entry keys to stored versions; again changes nothing."""
        for document_id, ts, key in keys:
            stored = self._documents.get(document_id)
            if stored is not None and stored.ts == ts and key not in stored.keys:
                self._documents[document_id] = msgspec.structs.replace(
                    stored, keys=(*stored.keys, key)
                )
            at = self._count_up_to(ts) - 1
            if at >= 0 and self._commits[at].ts == ts:
                changes = tuple(
                    msgspec.structs.replace(each, keys_after=(*each.keys_after, key))
                    if each.document_id == document_id
                    and each.after is not None
                    and key not in each.keys_after
                    else each
                    for each in self._commits[at].changes
                )
                self._commits[at] = msgspec.structs.replace(self._commits[at], changes=changes)
        self._flush()

    async def report_applied(self, view: str, ts: int) -> None:
        """A view has applied everything up to `ts`."""
        self._views[view] = max(self._views.get(view, 0), ts)

    async def close(self) -> None:
        """Nothing to close."""


def _ts(commit: Commit) -> int:
    return commit.ts

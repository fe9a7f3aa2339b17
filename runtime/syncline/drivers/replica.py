"""This process's view of the log: documents, tail, catalog and deployed bundle at each ts.

The durable part moves forward only; speculative layers lie on top of it and may be dropped again
(protocols.md rule 6). Catalog and deployment are values derived from system documents, one per
ts at which they changed, so every call sees those of its own snapshot.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import msgspec

from syncline.bundle_spec import ProviderSpec
from syncline.commit.record import Commit, DocumentChange, Position, Reset
from syncline.commit.tail import Tail
from syncline.drivers.snapshot_reader import (
    EnvironmentReads,
    SearchReads,
    Snapshot,
    SnapshotReader,
    TailSource,
)
from syncline.drivers.table_rows import dropped_ordinals, integer
from syncline.errors import UnavailableError
from syncline.index.index_definition import BY_ID, index_id
from syncline.index.key_encoding import prefix_successor
from syncline.index.key_range import KeyRange
from syncline.limits import TAIL_REPLY_BYTES_MAX
from syncline.ports import Documents, Log, RangeRead, SnapshotReads
from syncline.schema.catalog import Catalog
from syncline.values import wire_json
from syncline.values.value import Value

TABLES = 512
MODULES = 513
DEPLOYMENT = 514

_T = TypeVar("_T")


class Timeline(Generic[_T]):
    """A value that changes at some timestamps: (ts, value) in ts order, newest last."""

    def __init__(self, ts: int, value: _T) -> None:
        self._stamps = [ts]
        self._values = [value]

    def at(self, ts: int) -> _T:
        """The value in force at `ts` (the oldest kept one for anything before it)."""
        return self._values[max(bisect_right(self._stamps, ts) - 1, 0)]

    @property
    def newest(self) -> _T:
        """The value at the head, speculative layers included."""
        return self._values[-1]

    def push(self, ts: int, value: _T) -> None:
        """Set the value from `ts` on; ts is newer than every earlier one."""
        self._stamps.append(ts)
        self._values.append(value)

    def truncate(self, after: int) -> None:
        """Forget what was set after `after` (dropped layers)."""
        while len(self._stamps) > 1 and self._stamps[-1] > after:
            self._stamps.pop()
            self._values.pop()

    def forget(self, before: int) -> None:
        """Forget values that ended before `before`."""
        keep = max(bisect_right(self._stamps, before) - 1, 0)
        del self._stamps[:keep]
        del self._values[:keep]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is deployed at a ts: the bundle's content hash, each module's hash, and providers."""

    bundle: str = ""
    modules: Mapping[str, str] = field(default_factory=dict[str, str])
    auth: tuple[ProviderSpec, ...] = ()

    def module_hash(self, path: str) -> str:
        """The hash of the module of function `path` ("dir/mod:fn"); "" when there is none."""
        return self.modules.get(path.rpartition(":")[0], "")

    def changed(self, changes: Sequence[DocumentChange]) -> "Deployment":
        """The deployment after these changes of system documents."""
        bundle, modules, auth = self.bundle, dict(self.modules), self.auth
        for change in changes:
            after = _row(change.after)
            if change.table == DEPLOYMENT:
                bundle, auth = _bundle_and_auth(after)
            elif change.table == MODULES:
                before = _row(change.before)
                if before:
                    modules.pop(str(before["path"]), None)
                if after:
                    modules[str(after["path"])] = str(after["hash"])
        return replace(self, bundle=bundle, modules=modules, auth=auth)


def _bundle_and_auth(row: dict[str, Value] | None) -> tuple[str, tuple[ProviderSpec, ...]]:
    if row is None:
        return "", ()
    # Deployments of before there were providers have no such field.
    auth = msgspec.convert(row.get("auth", []), tuple[ProviderSpec, ...])
    return str(row["bundle"]), auth


def _row(document: bytes | None) -> dict[str, Value] | None:
    if document is None:
        return None
    value = wire_json.decode(document)
    assert isinstance(value, dict)
    return value


class Replica:
    """Documents and tail of one process, and what is derived from them."""

    def __init__(self, documents: Documents, tail: Tail, position: Position) -> None:
        self.documents = documents
        self.tail = tail
        self._sizes: deque[tuple[int, int]] = deque()
        self._tail_bytes = 0
        self.durable = position
        self.reader = SnapshotReader(documents, tail)
        self._searches: SearchReads | None = None
        self._environment: EnvironmentReads | None = None
        self.source: TailSource | None = None
        """Set where others apply commits to the documents too."""
        self.epoch = 0
        """Counts how often everything was loaded anew."""
        self._catalogs = Timeline(position.ts, Catalog.from_rows([], 0))
        self._deployments = Timeline(position.ts, Deployment())
        self._dropped: deque[tuple[int, bytes]] = deque()

    async def load(self, position: Position, commits: Sequence[Commit]) -> None:
        """Begin again: the documents hold everything up to `position`, `commits` follow it.

        Raises:
            UnavailableError: others have applied still newer ones meanwhile; load again.
        """
        tail = Tail(position.ts)
        for commit in commits:
            tail.append(commit)
        source = self.source
        reader = SnapshotReader(self.documents, tail, _Complete(tail.head) if source else None)
        catalogs, deployments = await _derive(reader.at(position.ts), position.ts)
        if source is None:
            await _drop_stale_indexes(self.documents, catalogs.newest)
        # All at once: whoever reads meanwhile sees the old state, and is told that it is over.
        self.reader.is_retired = True
        self.epoch += 1
        self.tail, self.reader, self.durable = tail, reader, position
        self._catalogs, self._deployments = catalogs, deployments
        reader.source, reader.searches = source, self._searches
        reader.environment = self._environment
        self._dropped.clear()
        self._sizes.clear()
        self._tail_bytes = 0
        for commit in commits:
            self._weigh(commit)
            self._derive_from(commit)
        await self.make_durable(commits)

    def serve_searches(self, searches: SearchReads) -> None:
        """Let functions search."""
        self._searches = self.reader.searches = searches

    def serve_environment(self, environment: EnvironmentReads) -> None:
        """Let functions read environment variables."""
        self._environment = self.reader.environment = environment

    @property
    def head(self) -> int:
        """The newest ts, speculative layers included."""
        return max(self.tail.head, self.durable.ts)

    def reads(self, ts: int) -> Snapshot:
        """Reads at `ts`."""
        return self.reader.at(ts)

    def catalog_at(self, ts: int) -> Catalog:
        """The tables at `ts`."""
        return self._catalogs.at(ts)

    def deployment_at(self, ts: int) -> Deployment:
        """The deployed bundle at `ts`."""
        return self._deployments.at(ts)

    def overtaken_at(self, ts: int, read_ranges: Sequence[KeyRange]) -> int | None:
        """The first ts after `ts` at which a read set was, or may have been, written; or None."""
        if ts < self.tail.floor:
            # The tail has forgotten what followed.
            return ts + 1
        hit = self.tail.conflict_since(ts, read_ranges)
        return hit[0] if hit else None

    def add(self, commit: Commit) -> None:
        """Put a commit, speculative or durable, on top."""
        self.tail.append(commit)
        self._weigh(commit)
        self._derive_from(commit)

    def _weigh(self, commit: Commit) -> None:
        size = sum(len(change.after or b"") + _CHANGE_BYTES for change in commit.changes)
        self._sizes.append((commit.ts, size))
        self._tail_bytes += size

    def _derive_from(self, commit: Commit) -> None:
        system = [change for change in commit.changes if change.table in _SYSTEM]
        if not system:
            return
        rows = {
            change.document_id: _row(change.after) for change in system if change.table == TABLES
        }
        if rows:
            before = self._catalogs.newest
            catalog = before.with_rows(rows, commit.ts)
            self._catalogs.push(commit.ts, catalog)
            self._dropped.extend((commit.ts, gone) for gone in _dropped_between(before, catalog))
        if len(rows) < len(system):
            self._deployments.push(commit.ts, self._deployments.newest.changed(system))

    def drop_after(self, ts: int) -> None:
        """Drop every speculative layer newer than `ts`."""
        assert ts >= self.durable.ts, "a durable commit can't be dropped"
        self.tail.truncate(ts)
        while self._sizes and self._sizes[-1][0] > ts:
            self._tail_bytes -= self._sizes.pop()[1]
        while self._dropped and self._dropped[-1][0] > ts:
            self._dropped.pop()
        self._catalogs.truncate(ts)
        self._deployments.truncate(ts)

    async def make_durable(self, commits: Sequence[Commit]) -> None:
        """These commits, already added, are on disk: apply them to the documents."""
        if not commits:
            return
        await self.documents.apply(commits)
        self.durable = Position(commits[-1].ts, commits[-1].nonce)

    async def shorten(self, before: int, bytes_max: int, needed_after: int) -> None:
        """Shorten the tail to snapshots from `before` on, and to `bytes_max` of documents.

        Commits after `needed_after` stay, and those that the documents lack.
        """
        newest = min(self.durable.ts, needed_after, await self.documents.watermark())
        while self._sizes and (self._sizes[0][0] <= before or self._tail_bytes > bytes_max):
            last = self._sizes[0][0]
            for _ in range(min(_FORGOTTEN_AT_ONCE, len(self._sizes))):
                ts, size = self._sizes[0]
                if ts > newest or (ts > before and self._tail_bytes <= bytes_max):
                    break
                self._sizes.popleft()
                self._tail_bytes -= size
                last = ts
            if last > newest:
                return
            await self._forget(last)
            await asyncio.sleep(0)

    async def _forget(self, before: int) -> None:
        self.tail.forget(before)
        self._catalogs.forget(before)
        self._deployments.forget(before)
        # Snapshots from before it was dropped could still be read through the index till now.
        while self._dropped and self._dropped[0][0] <= before:
            await self.documents.drop_index(self._dropped.popleft()[1])
        await self.documents.collect_tombstones(before)


_FORGOTTEN_AT_ONCE = 200
"""Commits forgotten between two turns of the event loop; ours: about 2 ms."""

_CHANGE_BYTES = 1000
"""What a change costs in the tail besides its document, measured with three keys."""

_SYSTEM = frozenset({TABLES, MODULES, DEPLOYMENT})


def _dropped_between(before: Catalog, after: Catalog) -> list[bytes]:
    """Indexes of tables that are still there; a table only goes while it has no documents."""
    gone: list[bytes] = []
    for table in before.user_tables():
        now = after.table_by_number(table.number)
        if now is not None and now is not table:
            kept = {index.index_id for index in now.all_indexes}
            gone += [each.index_id for each in table.all_indexes if each.index_id not in kept]
    return gone


async def _derive(reads: SnapshotReads, ts: int) -> tuple[Timeline[Catalog], Timeline[Deployment]]:
    """Catalog and deployment from the system documents at `ts`."""
    tables = await _all_rows(reads, TABLES)
    modules = {str(row["path"]): str(row["hash"]) for row in await _all_rows(reads, MODULES)}
    rows = await _all_rows(reads, DEPLOYMENT)
    bundle, auth = _bundle_and_auth(rows[0] if rows else None)
    return (
        Timeline(ts, Catalog.from_rows(tables, ts)),
        Timeline(ts, Deployment(bundle, modules, auth)),
    )


async def _drop_stale_indexes(documents: Documents, catalog: Catalog) -> None:
    """Remove the entries of indexes that had been dropped before the log's snapshot.

    The log keeps the entry keys that documents were written with.
    """
    for row in catalog.rows():
        for ordinal in dropped_ordinals(row):
            await documents.drop_index(index_id(integer(row["number"]), ordinal))


async def _all_rows(reads: SnapshotReads, table: int) -> list[dict[str, Value]]:
    lo = index_id(table, BY_ID)
    hi = prefix_successor(lo)
    assert hi is not None
    rows: list[dict[str, Value]] = []
    while True:
        (page,) = await reads.read([RangeRead(lo, hi, 1000)])
        rows.extend(row for item in page.rows if (row := _row(item.document)))
        if page.done:
            return rows
        lo = page.rows[-1].key + b"\x00"


class _Complete:
    """The source of a tail that is complete up to `ts` while it is being loaded."""

    def __init__(self, ts: int) -> None:
        self._ts = ts

    def durable_ts(self) -> int:
        return self._ts

    async def fetch(self) -> None:
        raise UnavailableError("SnapshotOvertaken", "Newer commits were applied; load again.")


async def read_tail(log: Log, after: Position) -> Sequence[Commit] | None:
    """Every commit after a position up to the durable head; None: the log was reset."""
    commits: list[Commit] = []
    position = after
    while True:
        reply = await log.tail(position, bytes_max=TAIL_REPLY_BYTES_MAX)
        if isinstance(reply, Reset):
            return None
        commits.extend(reply.commits)
        if commits:
            position = Position(commits[-1].ts, commits[-1].nonce)
        if position.ts >= reply.head.ts:
            return commits


async def catch_up(
    replica: Replica, log: Log, make_room: Callable[[], None]
) -> Sequence[Commit] | None:
    """Add every commit that the log has beyond the durable position; None: the log was reset.

    `make_room` drops the speculative layers; it is called whenever there is something to add.
    """
    added: list[Commit] = []
    while True:
        reply = await log.tail(replica.durable, bytes_max=TAIL_REPLY_BYTES_MAX)
        if isinstance(reply, Reset):
            return None
        if reply.commits:
            make_room()
        for commit in reply.commits:
            replica.add(commit)
        await replica.make_durable(reply.commits)
        added.extend(reply.commits)
        if replica.durable.ts >= reply.head.ts:
            return added

"""One search index as a view of the log: a segment up to a watermark, and the tail over it.

The segment holds every document as it was at the watermark. A search at ts T takes what the segment
finds, leaves out the documents that commits between the watermark and T have changed (in either
direction: a snapshot may be older than the segment), and judges those one by one as they are at T.
So its result is exact at any snapshot that the tail reaches, however far the segment lags behind.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from syncline.commit.record import Commit, Position, Reset
from syncline.drivers.replica import Replica
from syncline.errors import UnavailableError
from syncline.index.index_definition import BY_ID, index_id
from syncline.index.key_encoding import prefix_successor
from syncline.limits import TAIL_REPLY_BYTES_MAX
from syncline.ports import Log, RangeRead
from syncline.values import wire_json
from syncline.values.value import Value

ADVANCE_COMMITS = 256
"""The segment takes up commits when it lags by so many; ours: 20 ms, and a search's share 2 ms."""

_BUILD_PAGE_ROWS = 256
"""Documents taken in between two turns of the event loop."""

_Entry = TypeVar("_Entry")
_Entry_contra = TypeVar("_Entry_contra", contravariant=True)


class Segment(Protocol[_Entry_contra]):
    """What finds candidates (package segments)."""

    def put(self, document_id: str, entry: _Entry_contra) -> None:
        """Add a document that is not there."""
        ...

    def remove(self, document_id: str) -> None:
        """Take a document out, if it is there."""
        ...

    def publish(self) -> None:
        """Let searches see what was put and removed."""
        ...


class SearchView(Generic[_Entry]):
    """The documents of one index; `entry_of` says what it holds of a document, None: nothing."""

    def __init__(
        self,
        replica: Replica,
        table: int,
        segment: Segment[_Entry],
        entry_of: Callable[[dict[str, Value]], _Entry | None],
    ) -> None:
        self._replica = replica
        self._table = table
        self._segment = segment
        self._entry_of = entry_of
        self._tail = replica.tail
        self._analysed: dict[tuple[str, int], _Entry | None] = {}
        self.watermark = 0
        """The segment holds every document as it was then."""
        self.taken = 0
        """Changes taken up since the segment was built or stored."""

    @property
    def is_lost(self) -> bool:
        """The log was reset, or the tail has forgotten what the segment lacks: build anew."""
        return self._replica.tail is not self._tail or self._tail.floor > self.watermark

    async def build(self) -> None:
        """Take in every document, page by page, each at the newest durable ts.

        What was written behind the cursor meanwhile is taken up as changes.
        """
        lo = index_id(self._table, BY_ID)
        hi = prefix_successor(lo)
        assert hi is not None
        self.watermark = self._replica.durable.ts
        ahead: set[str] = set()
        done = False
        while not done:
            ahead |= self._take_changes(self._replica.durable.ts)
            reads = self._replica.reads(self.watermark)
            (page,) = await reads.read([RangeRead(lo, hi, _BUILD_PAGE_ROWS)])
            for row in page.rows:
                document = _decode(row.document)
                document_id = str(document["_id"])
                entry = None if document_id in ahead else self._entry_of(document)
                if entry is not None:
                    self._segment.put(document_id, entry)
            done = page.done
            if not done:
                lo = page.rows[-1].key + b"\x00"
            await asyncio.sleep(0)
        self._segment.publish()

    async def resume(self, position: Position, log: Log) -> bool:
        """Go on from a segment stored at a commit.

        False: the log does not have that commit any more, or this process has not heard of it.
        """
        durable = self._replica.durable
        while position != durable:
            # Also where the tail would do: whether the commit is still in the log only it can tell.
            reply = await log.tail(position, bytes_max=TAIL_REPLY_BYTES_MAX)
            if isinstance(reply, Reset) or position.ts > durable.ts:
                return False
            commits = [commit for commit in reply.commits if commit.ts <= durable.ts]
            if not commits:
                break
            changes = [change for commit in commits for change in commit.changes]
            self._take(
                {each.document_id: each.after for each in changes if each.table == self._table}
            )
            position = Position(commits[-1].ts, commits[-1].nonce)
        self.watermark = durable.ts
        self._segment.publish()
        return not self.is_lost

    async def advance(self) -> None:
        """Take up every durable commit, a bounded number between two turns of the event loop."""
        while not self.is_lost and self.watermark < self._replica.durable.ts:
            self.step()
            await asyncio.sleep(0)

    def step(self) -> None:
        """Take up some durable commits."""
        commits = self._durable_changes()[:ADVANCE_COMMITS]
        up_to = commits[-1].ts if len(commits) == ADVANCE_COMMITS else self._replica.durable.ts
        if self._take_changes(up_to):
            self._segment.publish()
        self._analysed.clear()

    def _durable_changes(self) -> Sequence[Commit]:
        durable = self._replica.durable.ts
        commits = self._tail.changes_since(self.watermark)
        return [commit for commit in commits if commit.ts <= durable]

    def _take_changes(self, up_to: int) -> set[str]:
        """Bring the segment to `up_to`; the ids of what has changed."""
        if self.is_lost:
            raise UnavailableError("SearchInterrupted", "The log was loaded again; search again.")
        changed = self.changed(up_to)
        self._take(changed)
        self.watermark = up_to
        return set(changed)

    def _take(self, changed: Mapping[str, bytes | None]) -> None:
        self.taken += len(changed)
        for document_id, document in changed.items():
            self._segment.remove(document_id)
            entry = self._entry_of(_decode(document)) if document is not None else None
            if entry is not None:
                self._segment.put(document_id, entry)

    def is_behind(self) -> bool:
        """Whether a `step` would make searches cheaper."""
        return len(self._tail.changes_since(self.watermark)) > ADVANCE_COMMITS

    def changed(self, ts: int) -> dict[str, bytes | None]:
        """The documents that commits between watermark and `ts` have changed, as they are at `ts`.

        UnavailableError: the tail does not reach there.
        """
        since, until = min(ts, self.watermark), max(ts, self.watermark)
        if since < self._tail.floor:
            raise UnavailableError("OutOfRetention", f"The snapshot at {ts} is too old to search.")
        found: dict[str, bytes | None] = {}
        for commit in self._tail.changes_since(since):
            if commit.ts > until:
                break
            for change in commit.changes:
                if change.table == self._table and change.document_id not in found:
                    found[change.document_id] = self._document_at(change.document_id, ts)
        return found

    def _document_at(self, document_id: str, ts: int) -> bytes | None:
        versions = self._tail.versions(document_id)
        document = versions[0][1].before
        for changed, change in versions:
            if changed > ts:
                break
            document = change.after
        return document

    def entry_at(self, document_id: str, document: bytes, ts: int) -> _Entry | None:
        """The entry of a changed document as it is at `ts`."""
        versions = self._tail.versions(document_id)
        version = max([changed for changed, _ in versions if changed <= ts], default=0)
        key = (document_id, version)
        if key not in self._analysed:
            self._analysed[key] = self._entry_of(_decode(document))
        return self._analysed[key]


def _decode(document: bytes) -> dict[str, Value]:
    value = wire_json.decode(document)
    assert isinstance(value, dict)
    return value

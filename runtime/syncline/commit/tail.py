"""The log's tail in memory: the newest commits, durable ones and speculative layers on top.

It answers three questions without any I/O: was this read set overtaken (`conflict_since`), what
did a document or an index entry look like at a recent ts (`versions`, `state_at`), and which
entries of a key range changed recently (`entries`). A reader lays it over stored documents: entries
newer than its snapshot are undone, those not applied yet are added (protocols.md rule 9).

The tail reaches back to `floor`: every snapshot at or after it can be restored exactly, provided
that the stored documents contain everything up to the floor. Commits are added at the end and
dropped from either end only. It is on the hot path: one append costs a few dictionary entries and
one sorted insertion per key that is new to the tail.
"""

from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter

from sortedcontainers import SortedList

from syncline.commit.conflict import MergedRanges
from syncline.commit.record import Commit, DocumentChange
from syncline.index.key_range import KeyRange

_SCAN_PER_RANGE = 2
"""Commits that are looked through in the time that finding the entries of one range takes."""

_stamp = itemgetter(0)

_History = list[tuple[int, DocumentChange]]


class Tail:
    """Commits with ts > floor, in ts order, indexed by stored key and by document."""

    def __init__(self, floor: int = 0) -> None:
        self._floor = floor
        self._commits: list[Commit] = []
        self._stamps: list[int] = []
        self._written: list[frozenset[bytes]] = []
        self._keys: SortedList[bytes] = SortedList()
        self._entries: dict[bytes, _History] = {}
        self._documents: dict[str, _History] = {}

    @property
    def floor(self) -> int:
        """The oldest ts whose snapshot the tail can restore."""
        return self._floor

    @property
    def head(self) -> int:
        """The ts of the newest commit; the floor if there is none."""
        return self._stamps[-1] if self._stamps else self._floor

    def __len__(self) -> int:
        return len(self._commits)

    def append(self, commit: Commit) -> None:
        """Add a commit that is newer than all others."""
        ts = commit.ts
        assert ts > self.head, "a commit must be newer than the head of the tail"
        entries = self._entries
        written = frozenset[bytes]()
        for change in commit.changes:
            version = (ts, change)
            self._documents.setdefault(change.document_id, []).append(version)
            keys = change.write_keys
            written = written | keys if written else keys
            for key in keys:
                history = entries.get(key)
                if history is None:
                    entries[key] = [version]
                    self._keys.add(key)
                else:
                    history.append(version)
        self._commits.append(commit)
        self._stamps.append(ts)
        self._written.append(written)

    def changes_since(self, ts: int) -> Sequence[Commit]:
        """The commits newer than `ts`, in order; ts must not lie below the floor."""
        assert ts >= self._floor, "the tail has forgotten changes after this ts"
        return self._commits[bisect_right(self._stamps, ts) :]

    def conflict_since(
        self, begin_ts: int, read_ranges: Sequence[KeyRange]
    ) -> tuple[int, bytes] | None:
        """The first (ts, key) written after `begin_ts` inside a read range, or None.

        begin_ts must not lie below the floor: what was forgotten can't be judged.
        """
        assert begin_ts >= self._floor, "the tail has forgotten changes after this begin_ts"
        if begin_ts >= self.head or not read_ranges:
            return None
        since = bisect_right(self._stamps, begin_ts)
        ranges = MergedRanges(read_ranges)
        commits = len(self._stamps) - since
        if (
            commits > _SCAN_PER_RANGE * len(ranges.starts)
            and self._count(ranges, commits) < commits
        ):
            return self._conflict_in_ranges(begin_ts, ranges)
        for at in range(since, len(self._stamps)):
            key = ranges.least_of(self._written[at])
            if key is not None:
                return self._stamps[at], key
        return None

    def _count(self, ranges: MergedRanges, enough: int) -> int:
        """How many entries of the tail lie in the ranges, counted up to `enough`."""
        keys = self._keys
        total = 0
        for lo, hi in zip(ranges.starts, ranges.ends, strict=True):
            total += keys.bisect_left(hi) - keys.bisect_left(lo)
            if total >= enough:
                break
        return total

    def _conflict_in_ranges(self, begin_ts: int, ranges: MergedRanges) -> tuple[int, bytes] | None:
        first: tuple[int, bytes] | None = None
        for lo, hi in zip(ranges.starts, ranges.ends, strict=True):
            for key in self._keys.irange(lo, hi, inclusive=(True, False)):
                history = self._entries[key]
                if history[-1][0] <= begin_ts:
                    continue
                ts = history[bisect_right(history, begin_ts, key=_stamp)][0]
                if first is None or (ts, key) < first:
                    first = (ts, key)
        return first

    def versions(self, document_id: str) -> Sequence[tuple[int, DocumentChange]]:
        """Every (ts, change) of a document that the tail holds, in ts order."""
        return self._documents.get(document_id, ())

    def entries(self, lo: bytes, hi: bytes) -> list[bytes]:
        """The stored keys in [lo, hi) that any commit of the tail wrote, sorted."""
        if not self._keys:
            return []
        return list(self._keys.irange(lo, hi, inclusive=(True, False)))

    def state_at(self, key: bytes, ts: int) -> tuple[int, bytes | None]:
        """What the entry `key` held at `ts`: (the version's ts, document), None for nothing.

        Before the first change in the tail, that is the change's own `before`: the undo of rule 9.

        Raises:
            KeyError: no commit of the tail wrote the key; the stored entry is the answer.
        """
        history = self._entries[key]
        at = bisect_right(history, ts, key=_stamp)
        if at == 0:
            change = history[0][1]
            return change.before_ts, change.before if key in change.keys_before else None
        since, change = history[at - 1]
        return since, change.after if key in change.keys_after else None

    def before(self, key: bytes, ts: int) -> tuple[int, bytes | None] | None:
        """The state of the entry just before its first change after `ts`.

        None if it has not changed since: then the stored entry is its state at `ts`.
        """
        history = self._entries.get(key)
        if history is None or history[-1][0] <= ts:
            return None
        change = history[bisect_right(history, ts, key=_stamp)][1]
        return change.before_ts, change.before if key in change.keys_before else None

    def truncate(self, after_ts: int) -> None:
        """Drop every commit newer than `after_ts`, newest first: speculative layers that failed."""
        assert after_ts >= self._floor, "what lies below the floor is not a layer"
        keep = bisect_right(self._stamps, after_ts)
        for at in range(len(self._commits) - 1, keep - 1, -1):
            for key in self._written[at]:
                history = self._entries[key]
                history.pop()
                if not history:
                    self._forget_key(key)
            for change in self._commits[at].changes:
                versions = self._documents[change.document_id]
                versions.pop()
                if not versions:
                    del self._documents[change.document_id]
        del self._commits[keep:], self._stamps[keep:], self._written[keep:]

    def forget(self, up_to_ts: int) -> None:
        """Raise the floor to `up_to_ts` and drop the commits at or before it.

        Costs as much as was appended, and moves what is kept once: call it now and then, not per
        commit.
        """
        self._floor = max(self._floor, up_to_ts)
        drop = bisect_right(self._stamps, up_to_ts)
        for key in frozenset[bytes]().union(*self._written[:drop]):
            history = self._entries[key]
            del history[: bisect_right(history, up_to_ts, key=_stamp)]
            if not history:
                self._forget_key(key)
        forgotten = (change for commit in self._commits[:drop] for change in commit.changes)
        for document_id in {change.document_id for change in forgotten}:
            versions = self._documents[document_id]
            del versions[: bisect_right(versions, up_to_ts, key=_stamp)]
            if not versions:
                del self._documents[document_id]
        del self._commits[:drop], self._stamps[:drop], self._written[:drop]

    def _forget_key(self, key: bytes) -> None:
        del self._entries[key]
        self._keys.remove(key)

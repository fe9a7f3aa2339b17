"""Reads at a snapshot against a naive history: store, tail, and whatever happens in between."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.commit.record import Commit, DocumentChange
from syncline.commit.tail import Tail
from syncline.drivers.snapshot_reader import SnapshotReader
from syncline.errors import UnavailableError
from syncline.local.memory_documents import MemoryDocuments
from syncline.ports import Page, RangeRead, Row, StoredPage

NAMES = "abcdefg"
COMMITS = st.lists(
    st.dictionaries(st.sampled_from(NAMES), st.none() | st.integers(0, 3), max_size=4), max_size=12
)
"""Per commit, documents by name and the value that each is set to; None: deleted."""


def entry_keys(name: str, value: int) -> tuple[bytes, ...]:
    """By id, and by value with the name."""
    return b"0" + name.encode(), b"1%d" % value + name.encode()


def commits_of(steps: Sequence[dict[str, int | None]]) -> list[Commit]:
    """Commits at ts 10, 20, 30, ..."""
    state: dict[str, tuple[int, int]] = {}
    commits: list[Commit] = []
    for step in steps:
        ts = 10 * (len(commits) + 1)
        changes: list[DocumentChange] = []
        for name, value in step.items():
            before_ts, before = state.pop(name, (0, None))
            if before is None and value is None:
                continue
            changes.append(
                DocumentChange(
                    name, 1,
                    None if before is None else text(name, before),
                    None if value is None else text(name, value),
                    before_ts,
                    () if before is None else entry_keys(name, before),
                    () if value is None else entry_keys(name, value),
                )
            )  # fmt: skip
            if value is not None:
                state[name] = (ts, value)
        commits.append(Commit(ts, ts + 1, ts - 10, tuple(changes), "s", ts, b"{}"))
    return commits


def text(name: str, value: int) -> bytes:
    return b'{"name":"%s","value":%d}' % (name.encode(), value)


def rows_at(commits: Sequence[Commit], ts: int) -> list[Row]:
    """Every entry at `ts`, in key order."""
    entries: dict[bytes, Row] = {}
    for commit in commits:
        if commit.ts > ts:
            break
        for change in commit.changes:
            for key in change.keys_before:
                del entries[key]
            for key in change.keys_after:
                assert change.after is not None
                entries[key] = Row(key, commit.ts, change.after)
    return [entries[key] for key in sorted(entries)]


KEYS = [key for name in NAMES for value in range(4) for key in entry_keys(name, value)]
BOUNDS = st.sampled_from([b"", b"0", b"1", b"2", *KEYS, *(key + b"\x00" for key in KEYS)])
READS = st.lists(
    st.builds(RangeRead, BOUNDS, BOUNDS, st.integers(1, 6), st.booleans()), min_size=1, max_size=3
)


def require_right(commits: Sequence[Commit], ts: int, read: RangeRead, page: Page) -> None:
    """The page has the first rows of the range at `ts`, and knows whether it is the last one."""
    expected = [row for row in rows_at(commits, ts) if read.lo <= row.key < read.hi]
    if read.reverse:
        expected.reverse()
    assert list(page.rows) == expected[: read.limit]
    if page.done:
        assert len(expected) <= read.limit
    else:
        assert len(page.rows) == read.limit


class PartlyApplied(MemoryDocuments):
    """A store in the middle of applying: some of what is newer than its watermark is there."""

    def __init__(self, applied: int, commits: Sequence[Commit], early: Sequence[int]) -> None:
        super().__init__()
        self.applied = applied
        self._fill(commits, early)

    def _fill(self, commits: Sequence[Commit], early: Sequence[int]) -> None:
        puts = [
            (key, commit.ts, change.after if key in change.keys_after else None)
            for commit in commits
            for change in commit.changes
            for key in sorted(change.write_keys)
        ]
        later = [put for put in puts if put[1] > 10 * self.applied]
        for put in puts[: len(puts) - len(later)]:
            self._put(*put)
        for put in [later[at % len(later)] for at in early if later]:
            self._put(*put)

    async def watermark(self) -> int:
        return 10 * self.applied


@given(
    COMMITS,
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(0, 12),
    st.lists(st.integers(0, 50), max_size=8),
    READS,
)
def test_a_snapshot_is_what_replaying_the_log_up_to_it_gives(
    steps, floor, applied, at, early, reads
):
    commits = commits_of(steps)
    floor, applied, at = (min(each, len(commits)) for each in (floor, applied, at))
    applied, at = max(applied, floor), max(at, floor)
    store = PartlyApplied(applied, commits, early)
    tail = tail_from(commits, floor)

    async def scenario() -> None:
        await store.collect_tombstones(10 * floor)
        pages = await SnapshotReader(store, tail).at(10 * at).read(reads)
        for read, page in zip(reads, pages, strict=True):
            require_right(commits, 10 * at, read, page)

    asyncio.run(scenario())


def tail_from(commits: Sequence[Commit], floor: int) -> Tail:
    tail = Tail()
    for commit in commits:
        tail.append(commit)
    tail.forget(10 * floor)
    return tail


@given(COMMITS, st.integers(0, 12), COMMITS, READS)
def test_layers_that_were_dropped_are_not_read(steps, durable, others, reads):
    durable = min(durable, len(steps))
    commits, instead = commits_of(steps), commits_of([*steps[:durable], *others])
    store = PartlyApplied(durable, commits[:durable], ())
    tail = tail_from(commits, 0)
    tail.truncate(10 * durable)
    for commit in instead[durable:]:
        tail.append(commit)

    async def scenario() -> None:
        for at in (durable, len(instead)):
            pages = await SnapshotReader(store, tail).at(10 * at).read(reads)
            for read, page in zip(reads, pages, strict=True):
                require_right(instead, 10 * at, read, page)

    asyncio.run(scenario())


@dataclass
class Busy(MemoryDocuments):
    """A store elsewhere: something may have happened before its answer arrives."""

    meanwhile: list[Callable[[], object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        MemoryDocuments.__init__(self)

    async def watermark(self) -> int:
        answer = await super().watermark()
        await self._happen()
        return answer

    async def read(self, reads: Sequence[RangeRead]) -> Sequence[StoredPage]:
        answer = await super().read(reads)
        await self._happen()
        return answer

    async def _happen(self) -> None:
        if self.meanwhile:
            result = self.meanwhile.pop(0)()
            if asyncio.iscoroutine(result):
                await result


MOVES = st.lists(
    st.tuples(st.sampled_from(["append", "apply", "forget"]), st.integers(1, 4)), max_size=8
)


@given(COMMITS, st.integers(0, 12), st.integers(0, 12), MOVES, READS)
def test_what_happens_during_a_read_changes_nothing_or_ends_it(steps, known, at, moves, reads):
    commits = commits_of(steps)
    known = min(known, len(commits))
    at = min(at, known)
    tail = tail_from(commits[:known], 0)
    store = Busy()
    applied = forgotten = 0

    def append(count: int) -> None:
        nonlocal known
        for commit in commits[known : known + count]:
            tail.append(commit)
        known = min(known + count, len(commits))

    async def apply(count: int) -> None:
        nonlocal applied
        upto = min(applied + count, known)
        await store.apply(commits[applied:upto])
        applied = upto

    async def forget(count: int) -> None:
        nonlocal forgotten
        forgotten = min(forgotten + count, applied)
        tail.forget(10 * forgotten)
        await store.collect_tombstones(10 * forgotten)

    actions = {"append": append, "apply": apply, "forget": forget}

    async def scenario() -> None:
        snapshot = SnapshotReader(store, tail).at(10 * at)
        store.meanwhile += [
            lambda kind=kind, count=count: actions[kind](count) for kind, count in moves
        ]
        try:
            pages = await snapshot.read(reads)
        except UnavailableError:
            # The floor has passed the snapshot, or what the store was known to have at first.
            assert forgotten > 0
            return
        for read, page in zip(reads, pages, strict=True):
            require_right(commits, 10 * at, read, page)

    asyncio.run(scenario())


def test_what_the_tail_has_forgotten_is_out_of_retention():
    commits = commits_of([{"a": 1}, {"a": 2}, {"a": 3}])
    everything = [RangeRead(b"", b"9", 10)]

    async def scenario() -> None:
        store = PartlyApplied(3, commits, ())
        reader = SnapshotReader(store, tail_from(commits, 2))
        assert len((await reader.at(20).read(everything))[0].rows) == 2
        with pytest.raises(UnavailableError, match="newer"):
            reader.at(19)
        snapshot = reader.at(20)
        reader.tail.forget(30)
        with pytest.raises(UnavailableError, match="newer"):
            await snapshot.read(everything)
        behind = SnapshotReader(PartlyApplied(1, commits, ()), tail_from(commits, 2))
        with pytest.raises(UnavailableError, match="newer"):
            await behind.at(30).read(everything)

    asyncio.run(scenario())


@pytest.mark.parametrize("applied_before", [1, 3])
def test_a_tail_that_is_shortened_while_a_page_reads_on_ends_the_read(applied_before):
    commits = commits_of([{"a": 1, "b": 1}, {"a": None, "b": 2}, {"b": 3}])
    tail = tail_from(commits, 0)
    store = Busy()

    async def move_on() -> None:
        await store.apply(commits)
        tail.forget(30)

    async def scenario() -> None:
        await store.apply(commits[:applied_before])
        store.meanwhile += [lambda: None, lambda: None, move_on]
        reads = [RangeRead(b"0", b"1", 1), RangeRead(b"1", b"2", 5)]
        with pytest.raises(UnavailableError, match="newer"):
            await SnapshotReader(store, tail).at(20).read(reads)
        assert not store.meanwhile

    asyncio.run(scenario())


@pytest.mark.parametrize("reverse", [False, True])
def test_a_page_reads_on_over_any_number_of_deleted_and_undone_entries(reverse):
    names = [f"{number:03}" for number in range(500)]
    first = Commit(
        10, 1, 0,
        tuple(DocumentChange(n, 1, None, b"{}", 0, (), (b"0" + n.encode(),)) for n in names),
        "s", 1, b"{}",
    )  # fmt: skip
    gone = tuple(
        DocumentChange(n, 1, b"{}", None, 10, (b"0" + n.encode(),), ()) for n in names[1:-1]
    )
    second = Commit(20, 2, 10, gone, "s", 2, b"{}")
    more = tuple(
        DocumentChange(n, 1, None, b"{}", 0, (), (b"0" + n.encode() + b"!",)) for n in names
    )
    third = Commit(30, 3, 20, more, "s", 3, b"{}")

    async def scenario() -> None:
        store = MemoryDocuments()
        tail = tail_from([first, second, third], 0)
        await store.apply([first, second, third])
        (page,) = await SnapshotReader(store, tail).at(20).read([RangeRead(b"0", b"1", 2, reverse)])
        ends = [b"0000", b"0499"]
        assert [row.key for row in page.rows] == (ends[::-1] if reverse else ends)

    asyncio.run(scenario())

"""The tail in memory against a plain history of every entry."""

from hypothesis import given
from hypothesis import strategies as st

from syncline.commit.record import Commit, DocumentChange
from syncline.commit.tail import Tail
from syncline.index.key_range import KeyRange

DOCUMENTS = ("a", "b", "c", "d")


def entry_keys(document_id: str, value: int) -> tuple[bytes, ...]:
    """A by-id key and a key by value, as a table with one index has them."""
    return b"0" + document_id.encode(), b"1" + bytes([value]) + document_id.encode()


@st.composite
def histories(draw: st.DrawFn) -> list[Commit]:
    """Commits at ts 10, 20, 30, ... each changing some of four documents."""
    state: dict[str, tuple[int, int]] = {}
    commits: list[Commit] = []
    for step in draw(st.lists(st.dictionaries(
        st.sampled_from(DOCUMENTS), st.none() | st.integers(0, 3), max_size=3
    ), max_size=12)):  # fmt: skip
        ts = 10 * (len(commits) + 1)
        changes: list[DocumentChange] = []
        for name, value in step.items():
            before = state.get(name)
            if before is None and value is None:
                continue
            changes.append(
                DocumentChange(
                    name, 1,
                    None if before is None else b"%d" % before[1],
                    None if value is None else b"%d" % value,
                    0 if before is None else before[0],
                    () if before is None else entry_keys(name, before[1]),
                    () if value is None else entry_keys(name, value),
                )
            )  # fmt: skip
            if value is None:
                del state[name]
            else:
                state[name] = (ts, value)
        commits.append(Commit(ts, ts + 1, ts - 10, tuple(changes), "s", ts, b"{}"))
    return commits


def state_by_replay(commits: list[Commit], ts: int) -> dict[bytes, tuple[int, bytes]]:
    """Every live entry at `ts`: key -> (ts of the version, document)."""
    entries: dict[bytes, tuple[int, bytes]] = {}
    for commit in commits:
        if commit.ts > ts:
            break
        for change in commit.changes:
            for key in change.keys_before:
                del entries[key]
            if change.after is not None:
                entries.update((key, (commit.ts, change.after)) for key in change.keys_after)
    return entries


def tail_of(commits: list[Commit]) -> Tail:
    tail = Tail()
    for commit in commits:
        tail.append(commit)
    return tail


@given(histories(), st.integers(0, 12), st.integers(0, 13))
def test_every_entry_has_the_state_that_replaying_the_log_gives(commits, floor, at):
    tail = tail_of(commits)
    tail.forget(10 * floor)
    ts = max(10 * at, 10 * floor)
    expected = state_by_replay(commits, ts)
    now = state_by_replay(commits, 1_000)
    known = tail.entries(b"", b"\xff")
    assert known == sorted(known)
    for key in known:
        document = tail.state_at(key, ts)[1]
        assert document == expected.get(key, (0, None))[1]
        if key in expected:
            assert tail.state_at(key, ts) == expected[key]
    for key in expected.keys() - set(known):
        assert expected[key] == now[key]


@given(histories(), st.integers(0, 13))
def test_undoing_what_is_newer_than_a_snapshot_restores_it(commits, at):
    tail = tail_of(commits)
    ts = 10 * at
    entries = state_by_replay(commits, 1_000)
    for key in tail.entries(b"", b"\xff"):
        undone = tail.before(key, ts)
        if undone is None:
            continue
        entries.pop(key, None)
        if undone[1] is not None:
            entries[key] = (undone[0], undone[1])
    assert entries == state_by_replay(commits, ts)


ONE_RANGE = st.tuples(st.binary(max_size=2), st.binary(max_size=2)).map(sorted)
READ_RANGES = st.lists(ONE_RANGE, max_size=3).map(
    lambda pairs: [KeyRange(b"1" + lo, b"1" + hi) for lo, hi in pairs]
)


@given(histories(), READ_RANGES, st.integers(0, 13))
def test_the_first_write_after_begin_in_a_read_range_is_found(commits, ranges, at):
    begin_ts = 10 * at
    hits = [
        (commit.ts, key)
        for commit in commits
        if commit.ts > begin_ts
        for change in commit.changes
        for key in change.write_keys
        if any(each.lo <= key < each.hi for each in ranges)
    ]
    assert tail_of(commits).conflict_since(begin_ts, ranges) == min(hits, default=None)


def observed(tail: Tail) -> object:
    known = tail.entries(b"", b"\xff")
    return (
        tail.head,
        [[tail.state_at(key, ts) for ts in range(0, 130, 10)] for key in known],
        [tail.versions(name) for name in DOCUMENTS],
        tail.changes_since(0),
    )


@given(histories(), st.integers(0, 13))
def test_dropping_layers_leaves_no_trace_of_them(commits, keep):
    tail = tail_of(commits)
    tail.truncate(10 * keep)
    assert observed(tail) == observed(tail_of(commits[:keep]))


@given(histories(), st.integers(0, 13))
def test_forgetting_leaves_only_what_is_newer(commits, up_to):
    tail = tail_of(commits)
    tail.forget(10 * up_to)
    assert list(tail.changes_since(10 * up_to)) == commits[up_to:]
    assert len(tail) == len(commits[up_to:])
    assert tail.floor == 10 * up_to
    for name in DOCUMENTS:
        assert [ts for ts, _ in tail.versions(name)] == [
            commit.ts
            for commit in commits[up_to:]
            if any(change.document_id == name for change in commit.changes)
        ]

"""The contract of the document store (protocols.md rules 9, 11 to 13), for every adapter."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.commit.record import Commit, DocumentChange
from syncline.index.index_definition import index_id
from syncline.limits import DOCUMENT_BYTES_MAX
from syncline.ports import Documents, RangeRead, StoredRow
from tests.contract.documents_backends import (
    DOCUMENTS,
    TABLE,
    OpenDocuments,
    change,
    commit,
    key,
    page_of,
    rows_of,
    whole,
)

Scenario = Callable[[Documents], Awaitable[None]]

EVERY_ADAPTER = pytest.mark.parametrize("backend", DOCUMENTS.values(), ids=DOCUMENTS.keys())


def with_store(backend: OpenDocuments, scenario: Scenario) -> None:
    """Run a scenario on an empty store."""

    async def run() -> None:
        async with backend() as store:
            await scenario(store)

    asyncio.run(run())


async def all_rows(store: Documents, ordinal: int = 2) -> list[StoredRow]:
    return list(await rows_of(store, *whole(ordinal)))


@EVERY_ADAPTER
def test_an_empty_store_has_nothing_and_stands_before_the_first_commit(backend):
    async def scenario(store: Documents) -> None:
        assert await store.watermark() == 0
        assert await all_rows(store) == []
        assert (await page_of(store, *whole(), 1, reverse=True)).done
        assert await store.read([]) == []

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_a_document_is_found_under_each_of_its_keys_with_the_ts_of_its_commit(backend):
    async def scenario(store: Documents) -> None:
        keys = key("a", ordinal=0), key(5, "a", ordinal=2), key("x", "a", ordinal=3)
        await store.apply([commit(10, change("a", b'{"n":1}', keys))])
        for ordinal, each in zip((0, 2, 3), keys, strict=True):
            assert await all_rows(store, ordinal) == [StoredRow(each, 10, b'{"n":1}')]
        assert await all_rows(store, 1) == []

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_a_change_takes_a_document_out_of_its_old_place_with_a_tombstone(backend):
    async def scenario(store: Documents) -> None:
        by_id, old, new = key("a", ordinal=0), key(1, "a"), key(2, "a")
        await store.apply([commit(10, change("a", b"1", (by_id, old)))])
        moved = change("a", b"2", (by_id, new), (10, b"1", (by_id, old)))
        await store.apply([commit(20, moved, previous_ts=10)])
        assert await all_rows(store, 0) == [StoredRow(by_id, 20, b"2")]
        assert await all_rows(store) == [StoredRow(old, 20, None), StoredRow(new, 20, b"2")]

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_a_delete_leaves_a_tombstone_with_its_ts_which_a_newer_document_replaces(backend):
    async def scenario(store: Documents) -> None:
        place = key(1)
        await store.apply([commit(10, change("a", b"1", (place,)))])
        gone = change("a", None, (), (10, b"1", (place,)))
        await store.apply([commit(20, gone, previous_ts=10)])
        assert await all_rows(store) == [StoredRow(place, 20, None)]
        await store.apply([commit(30, change("a", b"3", (place,)), previous_ts=20)])
        assert await all_rows(store) == [StoredRow(place, 30, b"3")]

    with_store(backend, scenario)


def a_life(place: bytes) -> list[Commit]:
    """A document inserted, changed, deleted and inserted again at one key."""
    return [
        commit(10, change("a", b"1", (place,))),
        commit(20, change("a", b"2", (place,), (10, b"1", (place,))), previous_ts=10),
        commit(30, change("a", None, (), (20, b"2", (place,))), previous_ts=20),
        commit(40, change("a", b"4", (place,)), previous_ts=30),
    ]


@EVERY_ADAPTER
@pytest.mark.parametrize("applied", [1, 2, 3, 4])
@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_applying_commits_again_changes_nothing(backend, applied, first):
    async def scenario(store: Documents) -> None:
        commits = a_life(key(1))
        await store.apply(commits[:applied])
        before = await all_rows(store), await store.watermark()
        for last in range(first + 1, applied + 1):
            await store.apply(commits[first:last])
            assert (await all_rows(store), await store.watermark()) == before

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_an_older_put_changes_neither_a_newer_row_nor_a_newer_tombstone(backend):
    async def scenario(store: Documents) -> None:
        live, gone = key(1), key(2)
        await store.apply([commit(20, change("a", b"1", (live,)), change("b", b"1", (gone,)))])
        dead = change("b", None, (), (20, b"1", (gone,)))
        await store.apply([commit(30, dead, previous_ts=20)])
        await store.apply([commit(10, change("a", b"0", (live,)), change("b", b"0", (gone,)))])
        assert await all_rows(store) == [StoredRow(live, 20, b"1"), StoredRow(gone, 30, None)]

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_an_older_delete_changes_nothing(backend):
    async def scenario(store: Documents) -> None:
        place = key(1)
        await store.apply([commit(20, change("a", b"2", (place,)))])
        await store.apply([commit(15, change("a", None, (), (10, b"1", (place,))))])
        assert await all_rows(store) == [StoredRow(place, 20, b"2")]

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_several_versions_in_one_call_leave_the_newest(backend):
    async def scenario(store: Documents) -> None:
        place = key(1)
        await store.apply(a_life(place)[:3])
        assert await all_rows(store) == [StoredRow(place, 30, None)]
        await store.apply(a_life(place)[3:])
        assert await all_rows(store) == [StoredRow(place, 40, b"4")]

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_the_watermark_moves_forward_only(backend):
    async def scenario(store: Documents) -> None:
        await store.apply([commit(10), commit(20, previous_ts=10)])
        assert await store.watermark() == 20
        await store.apply([commit(10)])
        assert await store.watermark() == 20
        await store.apply([])
        assert await store.watermark() == 20
        await store.apply([commit(2**60, previous_ts=20)])
        assert await store.watermark() == 2**60

    with_store(backend, scenario)


async def fill(store: Documents, *keys: bytes, ts: int = 10) -> None:
    """Rows at these keys, each holding its number."""
    changes = [change(f"d{at}", b"%d" % at, (each,)) for at, each in enumerate(keys)]
    await store.apply([commit(ts, *changes)])


@EVERY_ADAPTER
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 9, 100])
def test_pages_go_through_a_range_in_order_whatever_their_size(backend, reverse, limit):
    async def scenario(store: Documents) -> None:
        keys = [key(number) for number in range(8)]
        await fill(store, *keys)
        rows = await rows_of(store, *whole(), limit, reverse=reverse)
        assert [row.key for row in rows] == (keys[::-1] if reverse else keys)
        page = await page_of(store, *whole(), limit, reverse=reverse)
        assert list(page.rows) == list(rows[: len(page.rows)])

    with_store(backend, scenario)


@EVERY_ADAPTER
@pytest.mark.parametrize("reverse", [False, True])
def test_a_range_holds_its_lower_bound_and_not_its_upper_one(backend, reverse):
    async def scenario(store: Documents) -> None:
        keys = [key(number) for number in range(6)]
        await fill(store, *keys)

        async def found(lo: bytes, hi: bytes) -> list[bytes]:
            return sorted(row.key for row in await rows_of(store, lo, hi, 2, reverse=reverse))

        assert await found(keys[1], keys[4]) == keys[1:4]
        assert await found(keys[1] + b"\x00", keys[4]) == keys[2:4]
        assert await found(keys[1], keys[4] + b"\x00") == keys[1:5]
        assert await found(keys[3], keys[3] + b"\x00") == [keys[3]]
        assert await found(keys[3], keys[3]) == []
        assert await found(keys[4], keys[1]) == []
        assert await found(keys[5] + b"\x00", whole()[1]) == []

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_several_reads_are_answered_in_the_order_asked(backend):
    async def scenario(store: Documents) -> None:
        keys = [key(number) for number in range(6)]
        await fill(store, *keys)
        asked = [
            RangeRead(keys[4], keys[5], 10),
            RangeRead(*whole(), 2, reverse=True),
            RangeRead(*whole(3), 10),
            RangeRead(keys[4], keys[5], 10),
        ]
        first, second, third, fourth = await store.read(asked)
        assert [row.key for row in first.rows] == [keys[4]]
        assert [row.key for row in second.rows] == [keys[5], keys[4]][: len(second.rows)]
        assert third.rows == ()
        assert third.done
        assert fourth == first

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_tombstones_are_rows_of_a_page(backend):
    async def scenario(store: Documents) -> None:
        keys = [key(number) for number in range(5)]
        await fill(store, *keys)
        dead = [change(f"d{at}", None, (), (10, b"%d" % at, (keys[at],))) for at in (0, 1, 3)]
        await store.apply([commit(20, *dead, previous_ts=10)])
        page = await page_of(store, *whole(), 2)
        assert all(row.document is None for row in page.rows)
        assert not page.done
        rows = await rows_of(store, *whole(), 2)
        assert [row.document for row in rows] == [None, None, b"2", None, b"4"]
        assert [row.ts for row in rows] == [20, 20, 10, 20, 10]

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_values_of_every_type_are_in_the_order_of_their_bytes(backend):
    async def scenario(store: Documents) -> None:
        values = [
            None,
            -1.5,
            0,
            7,
            False,
            True,
            "",
            "\x00",
            "a",
            "a\x00",
            "b",
            b"",
            b"\xff",
            [],
            {},
        ]
        keys = [key(value, "d") for value in values]
        assert keys == sorted(keys)
        await fill(store, *reversed(keys))
        assert [row.key for row in await all_rows(store)] == keys
        backwards = await rows_of(store, *whole(), 4, reverse=True)
        assert [row.key for row in backwards] == keys[::-1]

    with_store(backend, scenario)


LONG = "l" * 894
"""With the index id and the tag of a string: the first 900 and some bytes of a key."""


def long_keys() -> list[bytes]:
    """Short keys around groups of long ones that are equal for 900 bytes (rule 12)."""
    texts = ["a", LONG[:-20], *(LONG + "m" * 300 + end for end in "abcdefg")]
    texts += [LONG + "n" * length for length in (1, 200, 3000)] + ["z"]
    keys = [key(text, "d") for text in texts]
    assert keys == sorted(keys)
    return keys


@EVERY_ADAPTER
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_keys_that_are_equal_for_900_bytes_are_told_apart_and_in_order(backend, reverse, limit):
    async def scenario(store: Documents) -> None:
        keys = long_keys()
        order = [(at * 7) % len(keys) for at in range(len(keys))]
        assert sorted(order) == list(range(len(keys)))
        await fill(store, *(keys[at] for at in order))
        rows = await rows_of(store, *whole(), limit, reverse=reverse)
        assert [row.key for row in rows] == (keys[::-1] if reverse else keys)
        for lo in range(0, len(keys), 3):
            for hi in range(lo, len(keys), 2):
                rows = await rows_of(store, keys[lo], keys[hi], limit, reverse=reverse)
                found = [row.key for row in rows]
                assert found == (keys[lo:hi][::-1] if reverse else keys[lo:hi])

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_one_of_many_long_keys_is_replaced_and_deleted_alone(backend):
    async def scenario(store: Documents) -> None:
        keys = long_keys()
        await fill(store, *keys)
        changed = change("d4", b"40", (keys[4],), (10, b"4", (keys[4],)))
        dead = change("d5", None, (), (10, b"5", (keys[5],)))
        await store.apply([commit(20, changed, dead, previous_ts=10)])
        rows = {row.key: row for row in await all_rows(store)}
        assert rows.pop(keys[4]) == StoredRow(keys[4], 20, b"40")
        assert rows.pop(keys[5]) == StoredRow(keys[5], 20, None)
        assert {row.ts for row in rows.values()} == {10}
        assert len(rows) == len(keys) - 2
        await store.collect_tombstones(21)
        assert [row.key for row in await all_rows(store)] == keys[:5] + keys[6:]

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_the_largest_documents_come_back_whole_from_every_index(backend):
    async def scenario(store: Documents) -> None:
        texts = [b'{"text":"%s"}' % (letter * (DOCUMENT_BYTES_MAX - 11)) for letter in (b"x", b"y")]
        changes = [
            change(name, text, (key(name, ordinal=0), key(1, name)))
            for name, text in zip("ab", texts, strict=True)
        ]
        await store.apply([commit(10, *changes)])
        for ordinal in (0, 2):
            rows = await rows_of(store, *whole(ordinal), 10)
            assert [row.document == text for row, text in zip(rows, texts, strict=True)] == [
                True
            ] * 2
        small = change("a", b"{}", changes[0].keys_after, (10, texts[0], changes[0].keys_after))
        await store.apply([commit(20, small, previous_ts=10)])
        rows = await rows_of(store, *whole(0), 10, reverse=True)
        assert [(row.ts, len(row.document or b"")) for row in rows] == [
            (10, len(texts[1])),
            (20, 2),
        ]

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_a_commit_may_change_many_documents(backend):
    async def scenario(store: Documents) -> None:
        keys = [key(number) for number in range(1000)]
        await fill(store, *keys)
        rows = await rows_of(store, *whole(), 300)
        assert [(row.key, row.document) for row in rows] == [
            (each, b"%d" % at) for at, each in enumerate(keys)
        ]

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_backfilled_entries_give_way_to_newer_ones_and_can_be_written_again(backend):
    async def scenario(store: Documents) -> None:
        fresh, changed, gone = key(1), key(2), key(3)
        before = (5, b"old", (gone,))
        await store.apply(
            [commit(20, change("b", b"new", (changed,)), change("c", None, (), before))]
        )
        backfill = [StoredRow(each, 5, b"old") for each in (fresh, changed, gone)]
        for _ in range(2):
            await store.add_index_rows(backfill)
            assert await all_rows(store) == [
                StoredRow(fresh, 5, b"old"),
                StoredRow(changed, 20, b"new"),
                StoredRow(gone, 20, None),
            ]
        assert await store.watermark() == 20
        await store.apply([commit(30, change("a", b"new", (fresh,)), previous_ts=20)])
        assert (await all_rows(store))[0] == StoredRow(fresh, 30, b"new")

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_dropping_an_index_removes_its_entries_and_no_others(backend):
    async def scenario(store: Documents) -> None:
        others = [
            (TABLE, 0),
            (TABLE, 2),
            (TABLE, 4),
            (TABLE, 0x3FF),
            (TABLE - 1, 3),
            (TABLE + 1, 3),
        ]
        kept = [key("a", ordinal=ordinal, table=table) for table, ordinal in others]
        dropped = [key(value, ordinal=3) for value in (None, 1, "x" * 2000, {"a": [b"\xff"]})]
        await fill(store, *kept, *dropped)
        dead = change("d9", None, (), (10, b"9", (dropped[3],)))
        await store.apply([commit(20, dead, previous_ts=10)])
        for _ in range(2):
            await store.drop_index(index_id(TABLE, 3))
            assert await all_rows(store, 3) == []
            found = [
                row.key
                for table, ordinal in others
                for row in await rows_of(store, *whole(ordinal, table))
            ]
            assert found == kept
        await store.drop_index(index_id(TABLE, 77))
        await store.collect_tombstones(100)
        assert await all_rows(store, 3) == []

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_tombstones_go_when_they_are_older_than_asked_and_documents_stay(backend):
    async def scenario(store: Documents) -> None:
        keys = [key(number) for number in range(4)]
        await fill(store, *keys)
        for at, ts in ((0, 20), (1, 30), (2, 40)):
            dead = change(f"d{at}", None, (), (10, b"%d" % at, (keys[at],)))
            await store.apply([commit(ts, dead, previous_ts=ts - 10)])
        again = change("d0", b"again", (keys[0],))
        await store.apply([commit(50, again, previous_ts=40)])
        await store.collect_tombstones(40)
        assert await all_rows(store) == [
            StoredRow(keys[0], 50, b"again"),
            StoredRow(keys[2], 40, None),
            StoredRow(keys[3], 10, b"3"),
        ]
        await store.collect_tombstones(41)
        assert [row.key for row in await all_rows(store)] == [keys[0], keys[3]]

    with_store(backend, scenario)


NAMES = ("a", "b", "c", "d", "e")
LAYOUT = st.tuples(st.sampled_from([-1, 0, 1, "", "x", LONG * 2, LONG * 2 + "y", None]))
STEPS = st.one_of(
    st.tuples(
        st.just("commit"),
        st.dictionaries(st.sampled_from(NAMES), st.none() | LAYOUT, max_size=3),
    ),
    st.tuples(st.just("again"), st.integers(0, 5)),
    st.tuples(st.just("backfill"), st.sampled_from(NAMES)),
    st.tuples(st.just("collect"), st.integers(0, 3)),
    st.tuples(st.just("drop"), st.sampled_from([3, 4])),
    st.tuples(
        st.just("read"), st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 5))
    ),
)


class Model:
    """What the port says, over a plain dict."""

    def __init__(self) -> None:
        self.entries: dict[bytes, tuple[int, bytes | None]] = {}
        self.state: dict[str, tuple[int, bytes, tuple[bytes, ...]]] = {}
        self.commits: list[Commit] = []
        self.collected = 0

    def commit(self, wanted: dict[str, tuple[object] | None]) -> Commit:
        """The next commit: documents to new places, or deleted."""
        ts = 10 * (len(self.commits) + 1)
        changes: list[DocumentChange] = []
        for name, place in wanted.items():
            before = self.state.pop(name, None)
            if place is not None:
                keys = key(name, ordinal=0), *(key(place[0], name, ordinal=at) for at in (3, 4))
                after = b'{"at":%d,"name":"%s"}' % (ts, name.encode())
                self.state[name] = (ts, after, keys)
                changes.append(change(name, after, keys, before))
            elif before is not None:
                changes.append(change(name, None, (), before))
        self.commits.append(commit(ts, *changes, previous_ts=ts - 10))
        return self.commits[-1]

    def put(self, place: bytes, ts: int, document: bytes | None) -> None:
        """A conditional put or delete."""
        if place not in self.entries or self.entries[place][0] < ts:
            self.entries[place] = (ts, document)

    def apply(self, commits: list[Commit]) -> None:
        for each in commits:
            for one in each.changes:
                for place in set(one.keys_before) - set(one.keys_after):
                    self.put(place, each.ts, None)
                for place in one.keys_after:
                    self.put(place, each.ts, one.after)

    def rows(self, lo: bytes, hi: bytes, *, reverse: bool = False) -> list[StoredRow]:
        places = sorted((each for each in self.entries if lo <= each < hi), reverse=reverse)
        return [StoredRow(each, *self.entries[each]) for each in places]

    def keep(self, stays: Callable[[bytes, int, bytes | None], bool]) -> None:
        self.entries = {k: entry for k, entry in self.entries.items() if stays(k, *entry)}


async def take_step(store: Documents, model: Model, step: str, argument) -> None:
    match step:
        case "commit":
            made = [model.commit(argument)]
            model.apply(made)
            await store.apply(made)
        case "again":
            # Nobody applies anything older than the tombstones that are gone (rule 13).
            old = [each for each in model.commits if each.ts >= model.collected][-argument:]
            model.apply(old)
            await store.apply(old)
        case "backfill":
            if argument in model.state:
                ts, document, keys = model.state[argument]
                for place in keys:
                    model.put(place, ts, document)
                await store.add_index_rows([StoredRow(place, ts, document) for place in keys])
        case "collect":
            model.collected = max(model.collected, 10 * (len(model.commits) - argument))
            bound = model.collected
            model.keep(lambda _, ts, document: document is not None or ts >= bound)
            await store.collect_tombstones(bound)
        case "drop":
            dropped = index_id(TABLE, argument)
            model.keep(lambda each, _ts, _document: not each.startswith(dropped))
            await store.drop_index(dropped)
        case _:
            first, second, limit = argument
            bounds = sorted(each for each in model.entries if each.startswith(index_id(TABLE, 3)))
            if bounds:
                lo, hi = (bounds[at % len(bounds)] for at in (first, second))
                for reverse in (False, True):
                    found = await rows_of(store, lo, hi, limit, reverse=reverse)
                    assert list(found) == model.rows(lo, hi, reverse=reverse)


@EVERY_ADAPTER
@settings(max_examples=60)
@given(st.lists(STEPS, max_size=25))
def test_a_store_is_a_dict_of_conditional_puts(backend, steps):
    async def scenario(store: Documents) -> None:
        model = Model()
        for step, argument in steps:
            await take_step(store, model, step, argument)
        for ordinal in (0, 3, 4):
            for reverse in (False, True):
                found = await rows_of(store, *whole(ordinal), 2, reverse=reverse)
                assert list(found) == model.rows(*whole(ordinal), reverse=reverse)
        assert await store.watermark() == 10 * len(model.commits)

    with_store(backend, scenario)

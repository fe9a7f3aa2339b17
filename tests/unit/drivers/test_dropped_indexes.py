"""Entries of removed indexes go in steps, when no snapshot can read them any more."""

import asyncio
from collections.abc import Awaitable, Callable

from syncline.commit.record import Commit
from syncline.drivers import follower as following
from syncline.drivers.follower import Follower
from syncline.drivers.replica import TABLES
from syncline.index.index_definition import index_id
from syncline.limits import TOMBSTONE_SECONDS
from syncline.local.memory_documents import MemoryDocuments
from syncline.ports import RangeRead
from syncline.simulated.memory_log import MemoryLog
from syncline.values import wire_json
from tests.contract.documents_backends import TABLE, change, key, whole

DROPPED_AT = 20
NOW = DROPPED_AT + TOMBSTONE_SECONDS * 10**9
"""From the next nanosecond on, no snapshot from before the push is read."""


class NoClock:
    def now_ns(self) -> int:
        return 0


class CountingView(MemoryDocuments):
    """Knows how much was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[bytes, int]] = []

    async def drop_entries(self, index_id: bytes, at_most: int) -> int:
        self.steps.append((index_id, at_most))
        return await super().drop_entries(index_id, at_most)

    async def count(self, ordinal: int) -> int:
        (page,) = await self.read([RangeRead(*whole(ordinal), 1_000)])
        return len(page.rows)


def table_row(ordinals: list[int], next_ordinal: int) -> bytes:
    indexes = [{"ordinal": ordinal} for ordinal in ordinals]
    return wire_json.encode({"number": TABLE, "indexes": indexes, "nextOrdinal": next_ordinal})


async def view_with(documents: int) -> CountingView:
    """A table whose index of ordinal 3 is taken away by the second commit."""
    view = CountingView()
    place = index_id(TABLES, 0) + b"\x10t\x00"
    written = [
        change(f"d{at}", b"{}", [key(at, f"d{at}", ordinal=ordinal) for ordinal in (0, 2, 3)])
        for at in range(documents)
    ]
    first = change("t", table_row([2, 3], 4), [place])
    second = change("t", table_row([2], 4), [place], (10, first.after, (place,)))
    await view.apply([Commit(10, 1, 0, (first, *written), "s", 1, b"{}")])
    await view.apply([Commit(DROPPED_AT, 2, 10, (second,), "s", 2, b"{}")])
    return view


def run(documents: int, scenario: Callable[[CountingView], Awaitable[None]]) -> None:
    async def whole_scenario() -> None:
        await scenario(await view_with(documents))

    asyncio.run(whole_scenario())


def test_an_index_stays_while_a_snapshot_from_before_the_push_may_be_read():
    async def scenario(view: CountingView) -> None:
        await Follower(MemoryLog(NoClock()), view).forget_indexes(NOW)
        assert view.steps == []
        assert await view.count(3) == 4

    run(4, scenario)


def test_then_its_entries_go_and_no_others():
    async def scenario(view: CountingView) -> None:
        follower = Follower(MemoryLog(NoClock()), view)
        await follower.forget_indexes(NOW + 1)
        assert [await view.count(ordinal) for ordinal in (0, 2, 3)] == [4, 4, 0]
        # What was seen to be empty is not looked at again.
        steps = len(view.steps)
        await follower.forget_indexes(NOW + 2)
        assert len(view.steps) == steps

    run(4, scenario)


def test_a_large_index_goes_in_bounded_steps_whoever_makes_them():
    async def scenario(view: CountingView) -> None:
        most = following.ENTRIES_DROPPED_MAX
        for at in range(most + 5):
            await view.apply(
                [
                    Commit(
                        NOW + at,
                        1,
                        0,
                        (change(f"e{at}", b"{}", [key(at, f"e{at}", ordinal=3)]),),
                        "s",
                        at,
                        b"{}",
                    )
                ]
            )
        log = MemoryLog(NoClock())
        await Follower(log, view).forget_indexes(NOW + 1)
        (page,) = await view.read([RangeRead(*whole(3), most)])
        assert len(page.rows) == 5 + 4
        # Another process goes on where the first one ended.
        await Follower(log, view).forget_indexes(NOW + 1)
        assert await view.count(3) == 0
        assert all(step <= most for _, step in view.steps)

    run(4, scenario)

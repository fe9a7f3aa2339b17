"""Readers of the newest logs see every call once and in order, whenever they ask."""

import asyncio

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from syncline.drivers.log_events import LogEvent
from syncline.drivers.recent_logs import RecentLogs


def event(number: int, line: str = "") -> LogEvent:
    return LogEvent(
        path="notes:list",
        kind="query",
        request_id=f"{number:016x}",
        duration_seconds=0.001,
        cached=False,
        documents_read=0,
        bytes_read=0,
        retries=0,
        log_lines=(line,) if line else (),
        error=None,
        now_ms=number,
    )


class Clock:
    """Goes as it is told, backwards too."""

    def __init__(self) -> None:
        self.ms = 1_000

    def now_ns(self) -> int:
        return self.ms * 1_000_000


@given(
    st.lists(st.one_of(st.just("add"), st.just("read"), st.integers(-5, 50)), max_size=60),
)
def test_a_reader_sees_every_call_once_and_in_order(steps: list[str | int]):
    async def story() -> None:
        clock = Clock()
        logs = RecentLogs(clock)
        added = 0
        page = await logs.after(0, 0)
        seen = [each.now_ms for each in page.events]
        for step in [*steps, "read"]:
            if step == "add":
                logs.add(event(added))
                added += 1
            elif step == "read":
                page = await logs.after(page.cursor, 0)
                seen += [each.now_ms for each in page.events]
            else:
                clock.ms += int(step)
        assert seen == list(range(added))

    asyncio.run(story())


@given(st.integers(1, 20), st.integers(0, 40))
def test_the_newest_are_kept(kept: int, added: int):
    async def story() -> None:
        logs = RecentLogs(Clock(), kept_max=kept)
        for number in range(added):
            logs.add(event(number))
        found = [each.now_ms for each in (await logs.after(0, 0)).events]
        assert found == list(range(max(0, added - kept), added))

    asyncio.run(story())


def test_bytes_are_limited_too():
    async def story() -> None:
        logs = RecentLogs(Clock(), bytes_max=2 * (512 + 100))
        for number in range(2):
            logs.add(event(number, "x" * 100))
        assert len((await logs.after(0, 0)).events) == 2
        logs.add(event(2, "x" * 101))
        assert [each.now_ms for each in (await logs.after(0, 0)).events] == [2]

    asyncio.run(story())


def test_whoever_waits_is_answered_by_the_next_call_and_by_the_end():
    async def story() -> None:
        logs = RecentLogs(Clock())
        cursor = (await logs.after(0, 60)).cursor
        assert cursor > 0, "0 would ask for everything again"
        waiting = [asyncio.create_task(logs.after(cursor, 60)) for _ in range(2)]
        await asyncio.sleep(0)
        logs.add(event(7))
        pages = await asyncio.gather(*waiting)
        assert [[each.now_ms for each in page.events] for page in pages] == [[7], [7]]
        last = asyncio.create_task(logs.after(pages[0].cursor, 60))
        await asyncio.sleep(0)
        logs.close()
        assert (await last).events == []
        assert (await logs.after(pages[0].cursor, 60)).events == []

    asyncio.run(story())


def test_who_comes_with_a_cursor_of_a_process_before_is_shown_everything():
    async def story() -> None:
        logs = RecentLogs(Clock())
        logs.add(event(3))
        page = await logs.after(10**12, 60)
        assert [each.now_ms for each in page.events] == [3]
        assert (await logs.after(page.cursor, 0)).events == []

    asyncio.run(story())


def test_the_system_s_own_calls_are_nobody_s_business():
    async def story() -> None:
        logs = RecentLogs(Clock())
        logs.add(msgspec.structs.replace(event(1), path="_system/cli/tables:default"))
        assert (await logs.after(0, 0)).events == []

    asyncio.run(story())

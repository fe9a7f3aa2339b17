"""Marks before commits, hints after, and reading a clean marker instead of the log (rule 16)."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from syncline.commit.record import (
    Appended,
    CommitRequest,
    DocumentChange,
    Position,
    TailReply,
)
from syncline.drivers.follower import Follower
from syncline.drivers.marked_log import MarkedLog
from syncline.drivers.matcher import Matcher
from syncline.drivers.memory_interest import MemoryInterest
from syncline.drivers.replica import TABLES
from syncline.drivers.upkeep import Upkeep
from syncline.errors import UnavailableError
from syncline.index.index_definition import index_id
from syncline.limits import TOMBSTONE_SECONDS
from syncline.local.memory_documents import MemoryDocuments
from syncline.ports import RangeRead
from syncline.simulated.memory_log import MemoryLog
from syncline.values import wire_json
from tests.contract.log_backends import ask, put

SECOND_NS = 10**9
START = Position(0, 0)


@dataclass
class FixedClock:
    ns: int = 1_790_000_000 * SECOND_NS

    def now_ns(self) -> int:
        return self.ns


@dataclass
class PlainMarker:
    """The marker item, and what else a control item holds."""

    view: MemoryDocuments
    matched: Position = START
    number: int = 0
    is_dirty: bool = False
    marks: list[int] = field(default_factory=list[int])

    async def mark(self, above: int) -> int:
        self.marks.append(above)
        if not self.is_dirty or self.number <= above:
            self.number = max(self.number, above) + 1
            self.is_dirty = True
        return self.number

    async def settled(self) -> Position | None:
        return None if self.is_dirty else await self.view.position()

    async def dirty(self) -> int | None:
        return self.number if self.is_dirty else None

    async def clear(self, mark: int, at: Position) -> bool:
        if (self.number, self.matched, await self.view.position()) != (mark, at, at):
            return False
        self.is_dirty = False
        return True

    async def load(self) -> Position:
        return self.matched

    async def advance(self, position: Position) -> None:
        self.matched = position


class CountingLog(MemoryLog):
    """Counts what would wake a database."""

    calls = 0

    async def _step(self, point: str, crashes: int) -> None:
        self.calls += point.endswith("begin")
        await super()._step(point, crashes)


class Deployment:
    def __init__(self) -> None:
        self.clock = FixedClock()
        self.log = CountingLog(self.clock)
        self.view = MemoryDocuments()
        self.marker = PlainMarker(self.view)
        self.hints: list[int] = []
        self.upkeep = Upkeep(
            self.log,
            follower=Follower(self.log, self.view),
            matcher=Matcher(
                self.log, interest=MemoryInterest(), cursor=self.marker, wakeups=NoSessions()
            ),
            marker=self.marker,
            clock=self.clock,
        )

    def process(self, hint: Callable[[int], Coroutine[Any, Any, None]] | None = None) -> MarkedLog:
        return MarkedLog(self.log, self.marker, hint=hint or self.hint)

    async def hint(self, ts: int) -> None:
        self.hints.append(ts)


class NoSessions:
    async def wake(self, connection: str, ts: int | None = None) -> None:
        raise AssertionError(connection)


async def commit(log: MarkedLog, on: Position, request: CommitRequest) -> Position:
    reply = await log.append([request], standing_on=on, exclusive=False)
    assert isinstance(reply, Appended)
    return reply.position


def test_a_process_marks_once_and_hints_at_every_commit():
    async def scenario() -> None:
        deployment = Deployment()
        log = deployment.process()
        first = await commit(log, START, ask(1, put("a", 1), begin=0))
        second = await commit(log, first, ask(2, put("b", 1), begin=first.ts))
        failed = ask(3, begin=second.ts, failed=True)
        assert await commit(log, second, failed) == second
        await log.settle()
        assert deployment.marker.marks == [0]
        assert deployment.hints == [first.ts, second.ts]

    asyncio.run(scenario())


def test_an_idle_deployment_is_read_without_its_log():
    async def scenario() -> None:
        deployment = Deployment()
        log = deployment.process()
        assert await log.tail(START, bytes_max=1000) == TailReply((), START)
        assert await deployment.upkeep.sweep()
        assert deployment.log.calls == 0

    asyncio.run(scenario())


def test_the_sweep_closes_a_mark_when_all_is_quiet_and_the_next_commit_marks_again():
    async def scenario() -> None:
        deployment = Deployment()
        log = deployment.process()
        head = await commit(log, START, ask(1, put("a", 1), begin=0))
        assert not await deployment.upkeep.sweep()
        assert await deployment.marker.settled() is None
        deployment.clock.ns += 61 * SECOND_NS
        assert await deployment.upkeep.sweep()
        assert await deployment.marker.settled() == head
        calls = deployment.log.calls
        assert await log.tail(head, bytes_max=1000) == TailReply((), head)
        assert await deployment.upkeep.sweep()
        assert deployment.log.calls == calls
        newer = await commit(log, head, ask(2, put("b", 1), begin=head.ts))
        assert deployment.marker.is_dirty
        assert deployment.marker.marks == [0, 1]
        reply = await log.tail(head, bytes_max=1000)
        assert isinstance(reply, TailReply)
        assert [each.ts for each in reply.commits] == [newer.ts]

    asyncio.run(scenario())


def test_who_lags_behind_a_clean_marker_asks_the_log():
    async def scenario() -> None:
        deployment = Deployment()
        head = await commit(deployment.process(), START, ask(1, put("a", 1), begin=0))
        deployment.clock.ns += 61 * SECOND_NS
        assert await deployment.upkeep.sweep()
        reply = await deployment.process().tail(START, bytes_max=1000)
        assert isinstance(reply, TailReply)
        assert reply.head == head

    asyncio.run(scenario())


def test_a_lost_hint_is_told_and_the_commit_stands():
    async def lose(ts: int) -> None:
        raise UnavailableError("QueueUnavailable", f"no hint of {ts}")

    async def scenario() -> None:
        deployment = Deployment()
        log = deployment.process(lose)
        head = await commit(log, START, ask(1, put("a", 1), begin=0))
        with pytest.raises(UnavailableError, match="no hint"):
            await log.settle()
        await log.settle()
        assert deployment.log.head == head
        assert deployment.marker.is_dirty

    asyncio.run(scenario())


def test_a_sweep_empties_indexes_that_are_gone():
    async def scenario() -> None:
        deployment = Deployment()
        log = deployment.process()
        row = wire_json.encode({"number": 10_001, "indexes": [], "nextOrdinal": 3})
        table = DocumentChange("t", TABLES, None, row, 0, (), (index_id(TABLES, 0) + b"\x10t\x00",))
        entry = index_id(10_001, 2) + b"\x10d\x00"
        document = DocumentChange("d", 10_001, None, b"{}", 0, (), (entry,))
        await commit(log, START, ask(1, table, document, begin=0))
        await deployment.upkeep.sweep()
        (page,) = await deployment.view.read([RangeRead(entry, entry + b"\xff", 1)])
        assert len(page.rows) == 1
        deployment.clock.ns += (TOMBSTONE_SECONDS + 1) * SECOND_NS
        assert await deployment.upkeep.sweep()
        (page,) = await deployment.view.read([RangeRead(entry, entry + b"\xff", 1)])
        assert page.rows == ()

    asyncio.run(scenario())

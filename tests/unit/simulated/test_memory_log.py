"""The modelled disk of the log in memory: what a crash takes back, and what each fault lets in."""

import asyncio

import pytest

from syncline.commit.record import (
    Appended,
    AppendReply,
    Commit,
    CommitRequest,
    Committed,
    Conflict,
    DocumentChange,
    Duplicate,
    HeadMoved,
    Position,
    Refused,
    Reset,
    TailReply,
    TooOld,
)
from syncline.index.key_range import KeyRange
from syncline.ports import LogUnavailable
from syncline.simulated.memory_log import FAULTS, MemoryLog

START = Position(0, 0)


class SteppedClock:
    """A second later at each look."""

    def __init__(self) -> None:
        self._now = 0

    def now_ns(self) -> int:
        self._now += 10**9
        return self._now


def request(
    number: int, key: bytes, *, begin: int = 0, identity: str = "", ts: int = 0, nonce: int = 0
) -> CommitRequest:
    """Reads and writes one key."""
    change = DocumentChange(key.hex(), 1, None, b"{}", 0, (), (key,))
    return CommitRequest(
        begin, (KeyRange.point(key),), (change,), "s", number, identity, b"{}", b"{}",
        failed=False, ts=ts, nonce=nonce or 100 + number,
    )  # fmt: skip


class Crashing:
    """Crashes the log when a call comes to a point for the n-th time."""

    def __init__(self, point: str, times: int) -> None:
        self._point = point
        self._left = times
        self.log: MemoryLog | None = None

    async def __call__(self, point: str) -> None:
        self._left -= point == self._point
        if self._left == 0 and point == self._point:
            assert self.log is not None
            self.log.crash()


def log_that(pause: Crashing | None = None, *faults: str) -> MemoryLog:
    if pause is None:
        return MemoryLog(SteppedClock(), faults=frozenset(faults))
    pause.log = MemoryLog(SteppedClock(), faults=frozenset(faults), pause=pause)
    return pause.log


def one(log: MemoryLog, item: CommitRequest, on: Position = START) -> AppendReply:
    return asyncio.run(log.append([item], standing_on=on, exclusive=False))


def appended(reply: AppendReply) -> Appended:
    assert isinstance(reply, Appended)
    return reply


@pytest.mark.parametrize(
    ("point", "survives"),
    [("append: begin", False), ("append: ordered", False), ("append: flushed", True)],
)
def test_a_crash_keeps_exactly_what_was_flushed(point, survives):
    log = log_that(Crashing(point, 2))
    first = appended(one(log, request(1, b"a")))
    with pytest.raises(LogUnavailable):
        one(log, request(2, b"b", begin=first.position.ts), first.position)
    known = asyncio.run(log.outcome("s", 2))
    assert (known is not None) is survives
    assert [each.request for each in log.commits] == [1, 2][: 1 + survives]
    assert asyncio.run(log.outcome("s", 1)) is not None


def test_a_later_flush_covers_what_came_before_it():
    """Another caller's reply makes an ordered commit durable although its own caller crashed."""

    async def scenario() -> None:
        ordered, gate = asyncio.Event(), asyncio.Event()

        async def pause(point: str) -> None:
            if point == "append: ordered":
                ordered.set()
                await gate.wait()

        log = MemoryLog(SteppedClock(), pause=pause)
        held = asyncio.create_task(
            log.append([request(1, b"a")], standing_on=START, exclusive=False)
        )
        await ordered.wait()
        reply = await log.tail(START, bytes_max=1000)
        assert isinstance(reply, TailReply)
        log.crash()
        gate.set()
        with pytest.raises(LogUnavailable):
            await held
        assert log.head == reply.head
        assert reply.head.ts > 0

    asyncio.run(scenario())


def test_without_the_flush_an_answered_commit_is_lost():
    log = log_that(None, "flush")
    assert isinstance(appended(one(log, request(1, b"a"))).results[0], Committed)
    log.crash()
    assert log.head == START
    assert asyncio.run(log.outcome("s", 1)) is None


def test_without_the_flush_of_the_tail_a_commit_that_was_read_is_lost():
    log = log_that(None, "flush", "tail flush")
    one(log, request(1, b"a"))
    reply = asyncio.run(log.tail(START, bytes_max=1000))
    assert isinstance(reply, TailReply)
    log.crash()
    assert asyncio.run(log.tail(reply.head, bytes_max=1000)) == Reset()


def test_without_validation_a_lost_update_is_let_through():
    for faults, kind in (((), Conflict), (("conflicts",), Committed)):
        log = log_that(None, *faults)
        first = appended(one(log, request(1, b"a")))
        one(log, request(2, b"a", begin=first.position.ts), first.position)
        late = appended(one(log, request(3, b"a", begin=first.position.ts), first.position))
        assert isinstance(late.results[0], kind)


def test_without_the_record_of_requests_one_takes_effect_twice():
    for faults, kind in (((), Duplicate), (("duplicates",), Committed)):
        log = log_that(None, *faults)
        first = appended(one(log, request(1, b"a")))
        again = request(1, b"b", begin=first.position.ts, nonce=7)
        assert isinstance(appended(one(log, again, first.position)).results[0], kind)


def test_a_crash_brings_the_earlier_record_of_a_repeated_request_back():
    log = log_that(Crashing("append: ordered", 2), "duplicates")
    first = appended(one(log, request(1, b"a", identity="first")))
    with pytest.raises(LogUnavailable):
        one(log, request(1, b"a", begin=first.position.ts, identity="again"), first.position)
    known = asyncio.run(log.outcome("s", 1))
    assert known is not None
    assert known.identity == "first"


def test_without_the_identity_check_an_outcome_is_given_away():
    for faults, kind in (((), Refused), (("identity",), Duplicate)):
        log = log_that(None, *faults)
        first = appended(one(log, request(1, b"a", identity="ada")))
        stolen = appended(one(log, request(1, b"a", identity="eve"), first.position))
        assert isinstance(stolen.results[0], kind)


def test_without_nonces_a_commit_that_was_taken_back_is_mistaken_for_its_successor():
    for faults, kind in ((("flush",), Reset), (("flush", "nonces"), Appended)):
        log = log_that(None, *faults)
        lost = appended(one(log, request(1, b"a", ts=10**9)))
        log.crash()
        one(log, request(2, b"b", ts=10**9))
        assert log.head.ts == lost.position.ts
        assert isinstance(one(log, request(3, b"c", begin=10**9), lost.position), kind)


def test_without_the_chain_every_position_counts_as_known():
    for faults, kind in (((), Reset), (("chain",), Appended)):
        log = log_that(None, *faults)
        one(log, request(1, b"a"))
        assert isinstance(one(log, request(2, b"b"), Position(7, 7)), kind)


def test_without_lookups_a_recorded_outcome_is_not_found():
    for faults, is_found in (((), True), (("lookups",), False)):
        log = log_that(None, *faults)
        one(log, request(1, b"a"))
        assert (asyncio.run(log.outcome("s", 1)) is not None) is is_found


def test_a_restore_loses_what_came_after_the_backup_and_raises_the_head():
    log = log_that(None)
    kept = appended(one(log, request(1, b"a")))
    lost = appended(one(log, request(2, b"b"), kept.position))
    log.restore(kept.position.ts)
    assert log.head.ts > lost.position.ts
    assert [commit.ts for commit in log.commits] == [kept.position.ts, log.head.ts]
    assert asyncio.run(log.outcome("s", 1)) is not None
    assert asyncio.run(log.outcome("s", 2)) is None
    assert isinstance(one(log, request(3, b"c"), lost.position), Reset)


def test_without_the_expected_head_a_batch_is_appended_to_one_that_it_never_saw():
    for faults, kind in (((), HeadMoved), (("exclusive",), Appended)):
        log = log_that(None, *faults)
        one(log, request(1, b"a"))
        item = request(2, b"a", ts=log.head.ts + 1)
        reply = asyncio.run(log.append([item], standing_on=START, exclusive=True))
        assert isinstance(reply, kind)


def test_without_floors_what_was_pruned_is_taken_for_what_never_was():
    async def prune(log: MemoryLog) -> list[Commit]:
        await log.fold(log.head.ts, commits_max=10)
        await log.prune(keep_after=2**62, records_before=2**62)
        return list(log.commits)

    for faults, kinds in (((), (Refused, TooOld)), (("floors",), (Committed, Committed))):
        log = log_that(None, *faults)
        first = appended(one(log, request(1, b"a")))
        one(log, request(2, b"b", begin=first.position.ts), first.position)
        assert len(asyncio.run(prune(log))) == 1
        again = request(1, b"c", begin=log.head.ts)
        assert isinstance(appended(one(log, again, log.head)).results[0], kinds[0])
        old = request(9, b"d", begin=first.position.ts - 1)
        assert isinstance(appended(one(log, old, log.head)).results[0], kinds[1])


def test_a_fault_that_does_not_exist_is_a_mistake():
    with pytest.raises(AssertionError, match="unknown faults"):
        log_that(None, "gravity")
    assert len(FAULTS) == 11

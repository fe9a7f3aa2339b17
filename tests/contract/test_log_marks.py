"""The contract of marks (protocols.md rule 16), for every adapter of the log port."""

from syncline.commit.record import Appended, Closed, Committed, Position
from syncline.ports import Log
from tests.contract.log_backends import START, LogBackend, ask, put, with_log
from tests.contract.test_log import backend as backend  # noqa: PLC0414 - the same adapters


def test_an_append_under_a_closed_mark_is_refused_and_leaves_nothing(backend: LogBackend):
    async def scenario(log: Log) -> None:
        assert await log.close_mark(3) == START
        for mark in (2, 3):
            for exclusive in (False, True):
                reply = await log.append(
                    [ask(1, put("a", 1))], standing_on=START, exclusive=exclusive, mark=mark
                )
                assert reply == Closed(3)
        assert await log.outcome("session", 1) is None
        reply = await log.append(
            [ask(1, put("a", 1), begin=0)], standing_on=START, exclusive=False, mark=4
        )
        assert isinstance(reply, Appended)
        assert isinstance(reply.results[0], Committed)

    with_log(backend.open(), scenario)


def test_closing_tells_the_head_that_nothing_marked_can_follow(backend: LogBackend):
    async def scenario(log: Log) -> None:
        reply = await log.append(
            [ask(1, put("a", 1), begin=0)], standing_on=START, exclusive=False, mark=1
        )
        assert isinstance(reply, Appended)
        assert await log.close_mark(1) == reply.position
        again = await log.append(
            [ask(2, put("b", 1), begin=reply.position.ts)],
            standing_on=reply.position,
            exclusive=True,
            mark=1,
        )
        assert again == Closed(1)
        unmarked = await log.append(
            [ask(2, put("b", 1), begin=reply.position.ts)],
            standing_on=reply.position,
            exclusive=False,
        )
        assert isinstance(unmarked, Appended)

    with_log(backend.open(), scenario)


def test_a_lower_mark_does_not_open_a_closed_one(backend: LogBackend):
    async def scenario(log: Log) -> None:
        await log.close_mark(7)
        await log.close_mark(5)
        reply = await log.append([ask(1)], standing_on=Position(0, 0), exclusive=False, mark=6)
        assert reply == Closed(7)

    with_log(backend.open(), scenario)

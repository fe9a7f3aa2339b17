"""The control item: watermark, cursor, generation and marker, each moved on its condition only."""

import asyncio

import boto3
import pytest

from syncline.aws.control import NEW, Control
from syncline.commit.record import Position
from syncline.errors import DeveloperError

START = Position(0, 0)


@pytest.fixture
def control(moto: None) -> Control:
    boto3.client("dynamodb").create_table(
        TableName="control",
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return Control("control", region="eu-central-1")


def test_a_deployment_that_has_done_nothing_has_a_clean_marker(control: Control):
    assert asyncio.run(control.read()) == NEW


def test_the_watermark_moves_only_from_where_its_reader_saw_it(control: Control):
    async def scenario() -> None:
        assert await control.advance_applied(1, Position(0, 0), Position(10, 7))
        assert not await control.advance_applied(1, Position(0, 0), Position(20, 8))
        assert not await control.advance_applied(2, Position(10, 7), Position(20, 8))
        assert not await control.advance_applied(1, Position(10, 6), Position(20, 8))
        assert (await control.read()).applied == Position(10, 7)
        assert await control.advance_applied(1, Position(10, 7), Position(20, 8))

    asyncio.run(scenario())


def test_the_matched_cursor_never_moves_back(control: Control):
    async def scenario() -> None:
        for ts in (5, 9, 7):
            await control.advance_matched(Position(ts, ts))
        assert (await control.read()).matched == Position(9, 9)

    asyncio.run(scenario())


def test_a_mark_is_found_dirty_by_the_next_one(control: Control):
    async def scenario() -> None:
        assert await control.mark(0) == 1
        assert await control.mark(0) == 1
        state = await control.read()
        assert (state.marker, state.is_dirty) == (1, True)

    asyncio.run(scenario())


def test_a_closed_mark_is_followed_by_a_greater_one_which_a_late_clear_leaves(control: Control):
    async def scenario() -> None:
        first = await control.mark(0)
        second = await control.mark(above=first)
        assert second > first
        assert not await control.clear(first, START)
        assert await control.dirty() == second
        assert await control.settled() is None
        assert await control.clear(second, START)
        assert await control.dirty() is None
        assert await control.settled() == START
        assert await control.mark(0) > second

    asyncio.run(scenario())


def test_a_marker_is_cleared_only_where_watermark_and_cursor_stand_at_the_head(control: Control):
    async def scenario() -> None:
        mark = await control.mark(0)
        head = Position(10, 7)
        assert not await control.clear(mark, head)
        await control.advance_applied(1, START, head)
        assert not await control.clear(mark, head)
        await control.advance_matched(head)
        assert not await control.clear(mark, Position(10, 6))
        assert await control.clear(mark, head)
        assert await control.settled() == head

    asyncio.run(scenario())


def test_marks_made_at_once_agree(control: Control):
    async def scenario() -> None:
        marks = await asyncio.gather(*[control.mark(3) for _ in range(8)])
        assert set(marks) == {4}

    asyncio.run(scenario())


def test_a_generation_is_switched_once(control: Control):
    async def scenario() -> None:
        assert await control.switch(1, 2, Position(30, 3))
        assert not await control.switch(1, 3, Position(40, 4))
        state = await control.read()
        assert (state.generation, state.applied) == (2, Position(30, 3))
        assert state.is_dirty

    asyncio.run(scenario())


def test_a_missing_table_is_named(moto: None):
    with pytest.raises(DeveloperError, match="stacks"):
        asyncio.run(Control("nowhere", region="eu-central-1").read())

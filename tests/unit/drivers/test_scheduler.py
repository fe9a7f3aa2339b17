"""Scheduled functions through the whole engine in memory, by its own clock."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from syncline.errors import CallFailedError
from syncline.limits import (
    SCHEDULED_ARGUMENTS_BYTES_MAX,
    SCHEDULED_MUTATIONS_MAX,
    SCHEDULED_PER_CALL_MAX,
)
from syncline.testing import Deployment

JOBS = """
from datetime import UTC, datetime
from typing import Any
from syncline import (
    ActionCtx, ApplicationError, MutationCtx, QueryCtx, action, internal_mutation, mutation, query,
)

@internal_mutation
async def note(ctx: MutationCtx, text: str):
    await ctx.db.insert("notes", {"text": text, "at": ctx.now.timestamp(),
                                  "user": await ctx.auth.get_user_identity() is not None})
    if text == "fail":
        raise ApplicationError("no")

@action
async def act(ctx: ActionCtx, text: str):
    await ctx.run_mutation(note, text=text)
    if text == "fail":
        raise ValueError("broken")
    job = await ctx.scheduler.run_after(2, note, text=f"{text} later")
    gone = await ctx.scheduler.run_after(2, "jobs:note", text="never")
    await ctx.scheduler.cancel(gone)
    return job

@mutation
async def plan(ctx: MutationCtx, seconds: Any, function: str = "jobs:note", text: str = "x"):
    return await ctx.scheduler.run_after(seconds, function, text=text)

@mutation
async def plan_at(ctx: MutationCtx, seconds: float, aware: bool = True):
    moment = datetime.fromtimestamp(ctx.now.timestamp() + seconds, UTC if aware else None)
    return await ctx.scheduler.run_at(moment, note, text="at")

@mutation
async def plan_many(ctx: MutationCtx, count: int, size: int = 1):
    for number in range(count):
        await ctx.scheduler.run_after(0, note, text="x" * size)

@mutation
async def plan_and_fail(ctx: MutationCtx, inner: bool = False):
    await ctx.scheduler.run_after(0, note, text="rolled back")
    raise ApplicationError("after scheduling")

@mutation
async def plan_nested(ctx: MutationCtx):
    try:
        await ctx.run_mutation(plan_and_fail)
    except ApplicationError:
        pass
    await ctx.scheduler.run_after(0, note, text="outer")

@mutation
async def again(ctx: MutationCtx, left: int):
    await ctx.db.insert("notes", {"text": f"left {left}", "at": ctx.now.timestamp(), "user": False})
    if left:
        await ctx.scheduler.run_after(10, again, left=left - 1)

@mutation
async def cancel(ctx: MutationCtx, job: str):
    await ctx.scheduler.cancel(job)

@query
async def notes(ctx: QueryCtx):
    return [n["text"] for n in await ctx.db.query("notes").collect()]

@query
async def moments(ctx: QueryCtx):
    return [[n["at"], n["user"]] for n in await ctx.db.query("notes").collect()]

@query
async def job(ctx: QueryCtx, job: str):
    return await ctx.db.system.get(job)
"""

Scenario = Callable[[Deployment], Awaitable[None]]


def play(tmp_path: Path, scenario: Scenario) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)

    async def whole() -> None:
        async with Deployment(tmp_path) as app:
            await scenario(app)

    asyncio.run(whole())


async def state(app: Deployment, job: Any) -> Any:
    row = await app.query("jobs:job", job=job)
    assert isinstance(row, dict)
    return row["state"]


def test_a_mutation_runs_at_its_time_as_nobody_and_its_state_is_shown_live(tmp_path: Path):
    async def scenario(app: Deployment) -> None:
        began = app.clock.now_ns() / 1e9
        job = await app.as_user("ada").mutation("jobs:plan", seconds=5, text="a")
        async with app.subscribe("jobs:job", job=job) as followed:
            await app.advance(seconds=4)
            assert await app.query("jobs:notes") == []
            await app.advance(seconds=1.1)
        [[at, is_signed_in]] = await app.query("jobs:moments")  # type: ignore[misc] # one note
        assert at == pytest.approx(began + 5, abs=0.01)
        assert not is_signed_in
        pending, done = followed.results
        assert pending["state"] == {"kind": "pending"}  # type: ignore[index] # a row
        assert (done["name"], done["args"]) == ("jobs:note", [{"text": "a"}])  # type: ignore[index] # a row
        assert done["state"] == {"kind": "success"}  # type: ignore[index] # a row
        assert done["completedTime"] >= done["scheduledTime"]  # type: ignore[index] # a row

    play(tmp_path, scenario)


def test_what_fails_has_no_effect_and_says_why(tmp_path: Path):
    async def scenario(app: Deployment) -> None:
        mutation = await app.mutation("jobs:plan", seconds=0, text="fail")
        action = await app.mutation("jobs:plan", seconds=0, function="jobs:act", text="fail")
        wrong = await app.mutation("jobs:plan", seconds=0, function="jobs:again")
        await app.advance(seconds=1)
        assert await app.query("jobs:notes") == []
        assert "no" in (await state(app, mutation))["error"]
        # What an action did before it failed stays, but this note failed by itself.
        assert "no" in (await state(app, action))["error"]
        assert "ArgumentValidationError" in (await state(app, wrong))["error"]

    play(tmp_path, scenario)


def test_an_action_schedules_and_cancels_too(tmp_path: Path):
    async def scenario(app: Deployment) -> None:
        job = await app.mutation("jobs:plan", seconds=1, function="jobs:act", text="acted")
        await app.advance(seconds=1.5)
        assert await state(app, job) == {"kind": "success"}
        assert await app.query("jobs:notes") == ["acted"]
        await app.advance(seconds=2)
        assert await app.query("jobs:notes") == ["acted", "acted later"]

    play(tmp_path, scenario)


def test_what_is_rolled_back_was_never_scheduled(tmp_path: Path):
    async def scenario(app: Deployment) -> None:
        with pytest.raises(Exception, match="after scheduling"):
            await app.mutation("jobs:plan_and_fail")
        await app.mutation("jobs:plan_nested")
        await app.advance(seconds=1)
        assert await app.query("jobs:notes") == ["outer"]

    play(tmp_path, scenario)


def test_what_is_cancelled_does_not_run_and_what_has_ended_stays(tmp_path: Path):
    async def scenario(app: Deployment) -> None:
        cancelled = await app.mutation("jobs:plan", seconds=5)
        done = await app.mutation("jobs:plan", seconds=1, text="done")
        await app.advance(seconds=2)
        for job in (cancelled, cancelled, done):
            await app.mutation("jobs:cancel", job=job)
        await app.advance(seconds=10)
        assert await app.query("jobs:notes") == ["done"]
        assert await state(app, cancelled) == {"kind": "canceled"}
        assert await state(app, done) == {"kind": "success"}

    play(tmp_path, scenario)


def test_what_schedules_itself_goes_on_at_the_right_moments(tmp_path: Path):
    async def scenario(app: Deployment) -> None:
        await app.mutation("jobs:again", left=3)
        await app.advance(seconds=25)
        assert await app.query("jobs:notes") == ["left 3", "left 2", "left 1"]
        moments = [at for at, _ in await app.query("jobs:moments")]  # type: ignore[misc] # rows
        assert moments[2] - moments[0] == pytest.approx(20, abs=0.1)
        await app.advance(seconds=100)
        assert len(await app.query("jobs:notes")) == 4  # type: ignore[arg-type] # a list

    play(tmp_path, scenario)


def test_moments_have_a_time_zone_and_those_that_are_over_mean_at_once(tmp_path: Path):
    async def scenario(app: Deployment) -> None:
        await app.mutation("jobs:plan_at", seconds=-100)
        await app.mutation("jobs:plan_at", seconds=3)
        await app.advance(seconds=1)
        assert await app.query("jobs:notes") == ["at"]
        with pytest.raises(CallFailedError, match="time zone"):
            await app.mutation("jobs:plan_at", seconds=3, aware=False)

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seconds": -1}, "from 0 up; not -1"),
        ({"seconds": "5"}, "from 0 up; not '5'"),
        ({"seconds": True}, "from 0 up; not True"),
        ({"seconds": 6 * 365 * 86_400}, "at most 1825 days away"),
        ({"seconds": 1, "function": "jobs:none"}, "'jobs:none', which does not exist"),
        ({"seconds": 1, "function": "jobs:notes"}, "which is a query"),
        ({"seconds": 1, "function": "_system/environment:set"}, "which does not exist"),
    ],
)
def test_what_can_t_be_scheduled_says_why(
    tmp_path: Path, arguments: dict[str, object], message: str
):
    async def scenario(app: Deployment) -> None:
        with pytest.raises(CallFailedError, match=message):
            await app.mutation("jobs:plan", **arguments)
        with pytest.raises(CallFailedError, match="is not the id of a scheduled function"):
            await app.mutation("jobs:cancel", job="nothing")

    play(tmp_path, scenario)


def test_limits_hold_at_n_and_not_at_n_plus_one(tmp_path: Path):
    async def scenario(app: Deployment) -> None:
        await app.mutation("jobs:plan_many", count=SCHEDULED_PER_CALL_MAX)
        with pytest.raises(CallFailedError, match="Too many functions scheduled"):
            await app.mutation("jobs:plan_many", count=SCHEDULED_PER_CALL_MAX + 1)
        await app.advance(seconds=1)
        assert len(await app.query("jobs:notes")) == SCHEDULED_PER_CALL_MAX  # type: ignore[arg-type] # a list
        fits = SCHEDULED_ARGUMENTS_BYTES_MAX - len('{"text":""}')
        await app.mutation("jobs:plan_many", count=1, size=fits)
        with pytest.raises(CallFailedError, match="Store them and pass an id"):
            await app.mutation("jobs:plan_many", count=1, size=fits + 1)

    play(tmp_path, scenario)


def test_a_function_that_is_gone_when_it_is_due_has_failed(tmp_path: Path):
    async def scenario(app: Deployment) -> None:
        job = await app.mutation("jobs:plan", seconds=5)
        (tmp_path / "jobs.py").write_text(
            JOBS.replace("def note(", "def renamed(")
            .replace(", note,", ', "jobs:renamed",')
            .replace("(note,", '("jobs:renamed",')
        )
        await app.push()
        await app.advance(seconds=6)
        assert "Could not find function for 'jobs:note'" in (await state(app, job))["error"]

    play(tmp_path, scenario)


def test_history_is_kept_for_a_week(tmp_path: Path):
    async def scenario(app: Deployment) -> None:
        job = await app.mutation("jobs:plan", seconds=1)
        await app.advance(seconds=6 * 86_400)
        assert await state(app, job) == {"kind": "success"}
        await app.advance(seconds=86_400 + 2)
        assert await app.query("jobs:job", job=job) is None
        assert await app.scheduler.next_due() is None

    play(tmp_path, scenario)


RULED = """
from syncline import ActionCtx, MutationCtx, QueryCtx, action, mutation, query, rules

async def signed_in(ctx: QueryCtx, document) -> bool:
    return await ctx.auth.get_user_identity() is not None

rules("diary", read=signed_in, insert=signed_in, modify=signed_in)

@mutation
async def write(ctx: MutationCtx):
    await ctx.db.insert("diary", {})

@action
async def act(ctx: ActionCtx):
    await ctx.run_mutation(write)

@mutation
async def later(ctx: MutationCtx):
    await ctx.scheduler.run_after(1, write)
    await ctx.scheduler.run_after(1, act)

@query
async def count(ctx: QueryCtx) -> int:
    return len(await ctx.db.query("diary").collect())
"""


def test_rules_that_ask_for_a_user_do_not_hold_for_what_nobody_has_called(tmp_path: Path):
    (tmp_path / "ruled.py").write_text(RULED)

    async def scenario(app: Deployment) -> None:
        with pytest.raises(Exception, match=r"diary"):
            await app.as_anonymous().mutation("ruled:write")
        await app.as_anonymous().mutation("ruled:later")
        await app.advance(seconds=2)
        assert await app.query("ruled:count") == 2

    play(tmp_path, scenario)


def test_what_one_look_does_not_hold_is_left_for_the_next(tmp_path: Path):
    async def scenario(app: Deployment) -> None:
        await app.mutation("jobs:plan_many", count=SCHEDULED_MUTATIONS_MAX + 3)
        left = await app.scheduler.run_noticed(0)
        assert left is not None
        assert len(await app.query("jobs:notes")) == SCHEDULED_MUTATIONS_MAX  # type: ignore[arg-type] # a list
        assert await app.scheduler.run_noticed(60) is None
        assert len(await app.query("jobs:notes")) == SCHEDULED_MUTATIONS_MAX + 3  # type: ignore[arg-type] # a list
        assert await app.scheduler.run_noticed(60) is None

    play(tmp_path, scenario)

"""Crons through the whole engine in memory, by its own clock."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from syncline.errors import DeveloperError
from syncline.testing import Deployment

JOBS = """
from syncline import ActionCtx, MutationCtx, QueryCtx, action, internal_mutation, mutation, query

@internal_mutation
async def note(ctx: MutationCtx, text: str):
    await ctx.db.insert("notes", {"text": text, "at": ctx.now.timestamp()})
    if text == "fail":
        raise ValueError("broken")

@action
async def act(ctx: ActionCtx, text: str):
    await ctx.run_mutation(note, text=text)

@action
async def slow(ctx: ActionCtx):
    import asyncio
    await ctx.run_mutation(note, text="began")
    while not await ctx.run_query(released):
        await asyncio.sleep(0)

@mutation
async def release(ctx: MutationCtx):
    await ctx.db.insert("released", {})

@query
async def released(ctx: QueryCtx):
    return await ctx.db.query("released").first() is not None

@query
async def moments(ctx: QueryCtx, text: str):
    return [n["at"] for n in await ctx.db.query("notes").collect() if n["text"] == text]

@query
async def runs(ctx: QueryCtx):
    rows = await ctx.db.system.query("_scheduled_functions").collect()
    return [[row.get("cron"), row["name"], row["state"]["kind"]] for row in rows]

@query
async def crons(ctx: QueryCtx):
    rows = await ctx.db.system.query("_cron_jobs").collect()
    return {row["name"]: row["next"] / 1000 for row in rows}
"""

HOUR = 3600


class Stage:
    """A deployment whose `crons.py` changes, and when its functions ran."""

    def __init__(self, app: Deployment, folder: Path) -> None:
        self.app = app
        self._folder = folder
        self.began = app.clock.now_ns() / 1e9

    async def push(self, calls: str) -> None:
        write(self._folder, calls)
        await self.app.push(self._folder)

    async def moments(self, text: str) -> list[float]:
        """Seconds since the beginning at which `note` ran with this text."""
        found: Any = await self.app.query("jobs:moments", text=text)
        return [round(at - self.began, 1) for at in found]

    async def runs(self) -> list[list[str]]:
        """Cron, function and state of every run."""
        found: Any = await self.app.query("jobs:runs")
        return found

    async def next(self, name: str) -> float:
        """When a cron runs next, in seconds since the beginning."""
        found: Any = await self.app.query("jobs:crons")
        return round(found[name] - self.began, 1)


def write(folder: Path, calls: str) -> None:
    (folder / "jobs.py").write_text(JOBS)
    (folder / "crons.py").write_text(
        f"from syncline import Crons\nfrom .jobs import act, note, slow\ncrons = Crons()\n{calls}\n"
    )


def play(tmp_path: Path, calls: str, scenario: Callable[[Stage], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with Deployment(tmp_path) as app:
            await scenario(Stage(app, tmp_path))

    write(tmp_path, calls)
    asyncio.run(whole())


def test_an_interval_runs_when_deployed_and_then_again_and_again(tmp_path: Path):
    async def scenario(stage: Stage) -> None:
        await stage.app.advance(seconds=2.5 * HOUR)
        assert await stage.moments("a") == [0.0, HOUR, 2 * HOUR]
        assert await stage.runs() == [["mine", "jobs:note", "success"]] * 3

    play(tmp_path, 'crons.interval("mine", note, hours=1, args={"text": "a"})', scenario)


def test_an_action_and_a_failing_mutation_go_on_at_their_next_time(tmp_path: Path):
    async def scenario(stage: Stage) -> None:
        await stage.app.advance(seconds=2 * HOUR)
        assert len(await stage.moments("acted")) == 2
        assert sorted(await stage.runs()) == [
            ["acts", "jobs:act", "success"],
            ["acts", "jobs:act", "success"],
            ["fails", "jobs:note", "failed"],
            ["fails", "jobs:note", "failed"],
        ]

    calls = (
        'crons.hourly("acts", "jobs:act", minute_utc=3, args={"text": "acted"})\n'
        'crons.cron("fails", "7 * * * *", note, args={"text": "fail"})'
    )
    play(tmp_path, calls, scenario)


def test_what_was_missed_while_nothing_ran_is_left_out(tmp_path: Path):
    async def scenario(stage: Stage) -> None:
        await stage.app.advance(seconds=1)
        stage.app.clock.advance(5.25 * HOUR)
        await stage.app.advance(seconds=0)
        assert await stage.moments("a") == [0.0, 5.25 * HOUR + 1]
        assert await stage.next("mine") == 6 * HOUR

    play(tmp_path, 'crons.interval("mine", note, hours=1, args={"text": "a"})', scenario)


def test_a_cron_never_runs_beside_itself(tmp_path: Path):
    async def scenario(stage: Stage) -> None:
        app = stage.app
        first = asyncio.create_task(app.advance(seconds=1))
        while not await stage.moments("began"):  # noqa: ASYNC110 - in memory, each look lets it go on
            await asyncio.sleep(0)
        due = await stage.next("slow")
        app.clock.advance(HOUR)
        second = asyncio.create_task(app.advance(seconds=1))
        while await stage.next("slow") == due:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        assert await stage.runs() == [["slow", "jobs:slow", "inProgress"]]
        await app.mutation("jobs:release")
        await asyncio.gather(first, second)
        await app.advance(seconds=HOUR)
        assert await stage.runs() == [["slow", "jobs:slow", "success"]] * 2

    play(tmp_path, 'crons.interval("slow", slow, hours=1)', scenario)


def test_a_push_keeps_the_time_of_what_it_leaves_and_changes_the_rest(tmp_path: Path):
    async def scenario(stage: Stage) -> None:
        await stage.app.advance(seconds=60)
        await stage.push(
            'crons.interval("kept", note, hours=1, args={"text": "kept"})\n'
            'crons.interval("changed", note, hours=3, args={"text": "changed"})\n'
            'crons.interval("new", note, hours=2, args={"text": "new"})'
        )
        await stage.app.advance(seconds=3.5 * HOUR)
        assert await stage.moments("kept") == [0.0, HOUR, 2 * HOUR, 3 * HOUR]
        assert await stage.moments("changed") == [0.0, 60.0, 3 * HOUR + 60]
        assert await stage.moments("new") == [60.0, 2 * HOUR + 60]
        assert await stage.moments("removed") == [0.0]

    play(
        tmp_path,
        'crons.interval("kept", note, hours=1, args={"text": "kept"})\n'
        'crons.interval("changed", note, hours=1, args={"text": "changed"})\n'
        'crons.interval("removed", note, hours=1, args={"text": "removed"})',
        scenario,
    )


def test_a_refused_push_leaves_the_crons_as_they_were(tmp_path: Path):
    async def scenario(stage: Stage) -> None:
        with pytest.raises(DeveloperError, match="no function"):
            await stage.push('crons.interval("mine", "jobs:gone", hours=1)')
        await stage.app.advance(seconds=1.5 * HOUR)
        assert await stage.moments("a") == [0.0, HOUR]

    play(tmp_path, 'crons.interval("mine", note, hours=1, args={"text": "a"})', scenario)

"""Scheduled functions and crons through the handlers: noticed, run once, found all the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from moto import mock_aws

from syncline.aws.lambda_actions import LambdaActions
from syncline.drivers.answers import Caller
from syncline.drivers.scheduler import CLAIM_OVER
from syncline.local_cloud.moto_queues import make_queues_faithful
from tests.integration.kill_points import AFTER, KillSwitch, watching
from tests.integration.little_cloud import LittleCloud, little_cloud
from tests.integration.test_kill_points import READS
from tests.integration.test_lambda_actions import ACTION, Lambda

NOTES = """
from typing import Any
from syncline import ActionCtx, MutationCtx, QueryCtx, action, internal_mutation, mutation, query


@internal_mutation
async def note(ctx: MutationCtx, text: str) -> None:
    await ctx.db.insert("notes", {"text": text})


@action
async def act(ctx: ActionCtx, text: str) -> None:
    await ctx.run_mutation(note, text=text)
    if text == "fail":
        raise ValueError("broken")


@mutation
async def plan(ctx: MutationCtx, function: str, seconds: float, texts: list[str]) -> str:
    for text in texts:
        job = await ctx.scheduler.run_after(seconds, function, text=text)
    return job


@mutation
async def cancel(ctx: MutationCtx, job: str) -> None:
    await ctx.scheduler.cancel(job)


@query
async def notes(ctx: QueryCtx) -> list[str]:
    return [note["text"] for note in await ctx.db.query("notes").collect()]


@query
async def states(ctx: QueryCtx) -> list[Any]:
    rows = await ctx.db.system.query("_scheduled_functions").collect()
    return [[row["name"], row["state"]["kind"], row["state"].get("error")] for row in rows]
"""
CRONS = """
from syncline import Crons

crons = Crons()
crons.interval("hourly", "notes:note", hours=1, args={"text": "cron"})
"""


class Planned:
    """A deployment whose functions are called by an administrator."""

    def __init__(self, cloud: LittleCloud, invoked: Lambda) -> None:
        self.cloud = cloud
        self.invoked = invoked

    def use_actions(self) -> None:
        """As the settings would have it."""
        self.cloud.process.deployed.__dict__["actions"] = LambdaActions(self.invoked, ACTION)

    def call(self, kind: str, name: str, **arguments: Any) -> Any:
        async def call() -> Any:
            engine = await self.cloud.process.engine()
            run = engine.query if kind == "query" else engine.mutation
            answer = await run(f"notes:{name}", orjson.dumps(arguments), Caller(is_admin=True))
            assert answer.value is not None, answer.error_message
            return orjson.loads(answer.value)

        return self.cloud.process.run(call())

    def plan(self, *texts: str, function: str = "notes:note", seconds: float = 0.0) -> str:
        return self.call("mutation", "plan", function=function, seconds=seconds, texts=texts)

    def notes(self) -> list[str]:
        return self.call("query", "notes")

    def states(self) -> list[list[str | None]]:
        return self.call("query", "states")

    def lose_notices(self) -> None:
        self.cloud.sqs.purge_queue(QueueUrl=self.cloud.settings.scheduler_queue_url)


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    (tmp_path / "notes.py").write_text(NOTES)
    return tmp_path


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, functions: Path) -> Iterator[Planned]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    make_queues_faithful()
    with mock_aws(), little_cloud(monkeypatch) as cloud:
        invoked = Lambda(cloud, monkeypatch)
        made = Planned(cloud, invoked)
        made.use_actions()
        cloud.push(functions)
        try:
            yield made
        finally:
            if invoked.data is not None:
                invoked.data.close()


def test_what_is_due_at_once_and_within_the_second_runs_by_its_notice(planned: Planned):
    planned.plan("now", "too")
    planned.plan("soon", seconds=0.3)
    assert planned.notes() == []
    planned.cloud.deliver()
    assert sorted(planned.notes()) == ["now", "soon", "too"]
    assert planned.states() == [["notes:note", "success", None]] * 3


def test_what_is_cancelled_in_time_does_not_run(planned: Planned):
    job = planned.plan("never")
    planned.call("mutation", "cancel", job=job)
    planned.cloud.deliver()
    assert planned.notes() == []
    assert planned.states() == [["notes:note", "canceled", None]]


def test_a_lost_notice_is_found_by_the_minute_s_look_ahead(planned: Planned):
    planned.plan("late")
    planned.cloud.deliver_follower()
    planned.lose_notices()
    planned.cloud.deliver()
    assert planned.notes() == []
    planned.cloud.sweep()
    planned.cloud.deliver()
    assert planned.notes() == ["late"]


def test_a_look_ahead_at_nothing_wakes_nobody(planned: Planned):
    planned.plan("far", seconds=3600)
    planned.cloud.deliver()
    planned.cloud.sweep()
    assert planned.cloud.deliver_notices() == 0


def test_notices_that_come_twice_run_mutations_once_and_start_actions_once(planned: Planned):
    planned.cloud.redelivers = True
    planned.plan("one", "two")
    planned.plan("acted", function="notes:act")
    planned.cloud.deliver()
    assert sorted(planned.notes()) == ["one", "two"]
    assert len(planned.invoked.started) == 1
    assert planned.states()[-1] == ["notes:act", "inProgress", None]
    planned.invoked.run_started()
    planned.cloud.deliver()
    assert sorted(planned.notes()) == ["acted", "one", "two"]
    assert planned.states()[-1] == ["notes:act", "success", None]


def test_an_action_that_fails_or_can_t_be_started_has_failed(planned: Planned):
    planned.plan("fail", function="notes:act")
    planned.cloud.deliver()
    planned.invoked.run_started()
    planned.invoked.is_unreachable = True
    planned.plan("never", function="notes:act")
    planned.cloud.deliver()
    assert planned.notes() == ["fail"]
    [failed, unreachable] = planned.states()
    assert failed[:2] == unreachable[:2] == ["notes:act", "failed"]
    assert "broken" in str(failed[2])
    assert "can't be reached" in str(unreachable[2])


def test_an_action_whose_claim_is_over_has_failed_for_good(planned: Planned):
    async def claims_end_at_once() -> None:
        scheduler = await planned.cloud.process.scheduler()
        scheduler._claim_ms = 0.0

    planned.cloud.process.run(claims_end_at_once())
    planned.plan("late", function="notes:act")
    planned.cloud.deliver()
    assert planned.states() == [["notes:act", "failed", CLAIM_OVER]]
    planned.invoked.run_started()
    assert planned.notes() == ["late"]
    assert planned.states() == [["notes:act", "failed", CLAIM_OVER]]


def test_a_cron_runs_when_it_is_deployed_and_its_next_run_waits(planned: Planned, functions: Path):
    (functions / "crons.py").write_text(CRONS)
    planned.cloud.push(functions)
    planned.cloud.deliver()
    assert planned.notes() == ["cron"]
    planned.cloud.sweep()
    planned.cloud.deliver()
    assert planned.notes() == ["cron"]
    (functions / "crons.py").unlink()


def test_a_death_after_any_call_runs_every_mutation_exactly_once(
    monkeypatch: pytest.MonkeyPatch, functions: Path
):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    make_queues_faithful()
    switch = KillSwitch()
    with mock_aws(), little_cloud(monkeypatch) as cloud, watching(switch):
        cloud.watch(switch)
        cloud.restart()
        cloud.push(functions)
        planned = Planned(cloud, Lambda(cloud, monkeypatch))

        def tell(text: str) -> None:
            planned.plan(text)
            cloud.deliver()

        tell("rehearsal")
        switch.watch()
        tell("recorded")
        points = [at for at, call in enumerate(switch.calls) if not call.endswith(READS)]
        assert any("append" in switch.calls[at] for at in points)
        deaths = 0
        for at in points:
            planned.plan(f"killed {at}")
            switch.arm(at, AFTER)
            cloud.deliver()
            switch.disarm()
            # What a lost hint and a lost notice would have done.
            for _ in range(2):
                cloud.sweep()
                cloud.deliver()
            deaths, cloud.deaths = deaths + cloud.deaths, 0
        print(f"{deaths} deaths after {len(points)} calls")
        assert deaths > len(points) // 2
        told = ["rehearsal", "recorded", *[f"killed {at}" for at in points]]
        assert sorted(planned.notes()) == sorted(told)

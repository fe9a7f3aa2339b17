"""Pushes that are cut off: lost logs, cancelled calls, dead processes, others' pushes, restarts."""

import asyncio

import pytest

from syncline.drivers.engine import Engine
from syncline.errors import DeveloperError, SynclineError, UnavailableError
from syncline.ports import LogUnavailable
from tests.unit.drivers.push_stage import (
    ANYTHING,
    BY_AGE,
    BY_NAME,
    TYPED,
    Hook,
    Stage,
    ask,
    change,
    deployed,
    forget_history,
    known_indexes,
    on_stage,
    stop,
    stored_indexes,
    table,
    users_schema,
)

BOTH = BY_NAME + '.index("by_age", ["age"])'
PEOPLE = (("cyd", 3), ("ada", 2), ("bob", 1))


async def add_people(engine: Engine) -> None:
    for name, age in PEOPLE:
        await change(engine, "add", row={"name": name, "age": age})


async def require_both_indexes(engine: Engine, *extra: str) -> None:
    """Both indexes hold everybody (those in `extra` have no age), and nothing is pending."""
    assert await ask(engine, "names", index="by_name") == sorted(["ada", "bob", "cyd", *extra])
    assert await ask(engine, "names", index="by_age") == [*extra, "bob", "ada", "cyd"]
    info = table(engine)
    assert info is not None
    assert all(index.is_queryable for index in info.all_indexes)
    assert info.pending_validator is None


def test_a_log_that_fails_during_the_backfill_leaves_nothing_pending(tmp_path):
    async def scenario(stage: Stage, engine: Engine) -> None:
        await stage.push(users_schema(BY_NAME))
        await add_people(engine)
        before = deployed(engine)

        async def fail() -> None:
            raise LogUnavailable("LogUnavailable", "gone")

        stage.log.before_backfills.append(fail)
        with pytest.raises(LogUnavailable):
            await stage.push(users_schema(BOTH))
        assert deployed(engine) == before
        await change(engine, "add", row={"name": "dan"})
        await forget_history(stage, engine)
        assert stored_indexes(engine) <= known_indexes(engine)
        await stage.push(users_schema(BOTH))
        await require_both_indexes(engine, "dan")

    on_stage(tmp_path, scenario)


@pytest.mark.parametrize("point", ["append: begin", "append: ordered", "append: flushed"])
@pytest.mark.parametrize("commit", [0, 1])
def test_a_connection_lost_while_a_push_commits_neither_loses_nor_doubles_it(
    tmp_path, commit, point
):
    async def scenario(stage: Stage, engine: Engine) -> None:
        await stage.push(users_schema(BY_NAME))
        await add_people(engine)

        async def crash() -> None:
            stage.log.crash()

        stage.log.at_pauses[point] = [None] * commit + [crash]
        report = await stage.push(users_schema(BOTH))
        assert stage.log.at_pauses[point] == []
        assert report.added_indexes == ("users.by_age",)
        await require_both_indexes(engine)
        await require_both_indexes(await stage.restart())

    on_stage(tmp_path, scenario)


@pytest.mark.parametrize("commit", [0, 1])
def test_a_cancelled_push_ends_whole_or_not_at_all_and_writes_go_on(tmp_path, commit):
    async def scenario(stage: Stage, engine: Engine) -> None:
        await stage.push(users_schema(BY_NAME))
        await add_people(engine)
        is_there, may_go_on = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            is_there.set()
            await may_go_on.wait()

        stage.log.at_pauses["append: ordered"] = [None] * commit + [hold]
        push = asyncio.ensure_future(stage.push(users_schema(BOTH)))
        await is_there.wait()
        push.cancel()
        await asyncio.sleep(0)
        may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await push
        await change(engine, "add", row={"name": "dan"})
        info = table(engine)
        assert info is not None
        assert all(index.is_queryable for index in info.all_indexes)
        assert ("by_age" in info.indexes) == (commit == 1)
        await stage.push(users_schema(BOTH))
        await require_both_indexes(engine, "dan")

    on_stage(tmp_path, scenario)


async def die_in_a_push(stage: Stage, engine: Engine, schema: str) -> None:
    """Start a push, and end the process when it has marked its indexes."""
    is_there = asyncio.Event()

    async def hold() -> None:
        is_there.set()
        await asyncio.Event().wait()

    stage.log.before_backfills.append(hold)
    push = asyncio.ensure_future(stage.push(schema))
    await is_there.wait()
    await stop(engine)
    stage.engines.remove(engine)
    push.cancel()
    await asyncio.sleep(0)
    push.cancel()
    await asyncio.wait([push])


def test_a_push_after_one_that_died_builds_and_checks_everything_anew(tmp_path):
    async def scenario(stage: Stage, engine: Engine) -> None:
        await stage.push(users_schema(BY_NAME))
        await add_people(engine)
        schema = users_schema(TYPED + '.index("by_name", ["name"]).index("by_age", ["age"])')
        await die_in_a_push(stage, engine, schema)
        engine = await stage.start()
        info = table(engine)
        assert info is not None
        assert [index.state for index in info.all_indexes[2:]] == ["ready", "pending"]
        bad = await change(engine, "add", row={"name": "dan"})
        with pytest.raises(DeveloperError, match=str(bad)):
            await stage.push(schema)
        await change(engine, "remove", id=bad)
        report = await stage.push(schema)
        assert report.added_indexes == ("users.by_age",)
        assert report.validated_tables == ("users",)
        await require_both_indexes(engine)
        await forget_history(stage, engine)
        assert stored_indexes(engine) <= known_indexes(engine)

    on_stage(tmp_path, scenario)


def test_what_a_dead_push_left_goes_with_a_push_that_does_not_want_it(tmp_path):
    async def scenario(stage: Stage, engine: Engine) -> None:
        await stage.push(users_schema(BY_NAME))
        await add_people(engine)
        await die_in_a_push(stage, engine, users_schema(BOTH))
        engine = await stage.start()
        report = await stage.push(users_schema(BY_NAME))
        assert report.added_indexes == report.removed_indexes == ()
        info = table(engine)
        assert info is not None
        assert [index.name for index in info.all_indexes[2:]] == ["by_name"]

    on_stage(tmp_path, scenario)


def during_the_backfill(of: Stage, work: Hook) -> None:
    of.log.before_backfills.append(work)


def test_of_two_processes_that_push_at_once_one_says_that_it_was_overtaken(tmp_path):
    async def scenario(stage: Stage, first: Engine) -> None:
        await stage.push(users_schema(ANYTHING))
        await add_people(first)
        second = await stage.start()
        theirs = stage.version(users_schema(TYPED + '.index("by_age", ["age"])'))
        during_the_backfill(stage, lambda: second.push(theirs))
        with pytest.raises(DeveloperError) as failure:
            await first.push(stage.version(users_schema(BY_AGE)))
        assert failure.value.code == "PushOvertaken"
        info = table(first)
        assert info is not None
        assert info.validator is not None
        assert await ask(second, "names", index="by_age") == ["bob", "ada", "cyd"]
        await stage.push(users_schema(BOTH))
        await require_both_indexes(second)
        await require_both_indexes(await stage.restart())

    on_stage(tmp_path, scenario)


def test_another_process_writing_a_violation_fails_the_push(tmp_path):
    async def scenario(stage: Stage, first: Engine) -> None:
        await stage.push(users_schema(ANYTHING))
        await add_people(first)
        second = await stage.start()
        during_the_backfill(stage, lambda: change(second, "add", row={"name": "dan", "age": ""}))
        with pytest.raises(DeveloperError, match="age"):
            await first.push(stage.version(users_schema(TYPED + '.index("by_age", ["age"])')))

    on_stage(tmp_path, scenario)


def test_a_log_that_is_reset_during_a_push_fails_it_and_leaves_nothing_pending(tmp_path):
    async def scenario(stage: Stage, engine: Engine) -> None:
        await stage.push(users_schema(BY_NAME))
        await add_people(engine)
        await engine.fold()

        async def lose_the_marks() -> None:
            # A commit that was acknowledged is gone, as after a restore of the database.
            stage.log.restore(stage.log.folded.ts)
            await engine.committer.follow()

        during_the_backfill(stage, lose_the_marks)
        with pytest.raises(SynclineError):
            await stage.push(users_schema(BOTH))
        info = table(engine)
        assert info is not None
        assert [index.name for index in info.all_indexes[2:]] == ["by_name"]
        await stage.push(users_schema(BOTH))
        await require_both_indexes(engine)

    on_stage(tmp_path, scenario)


def test_a_restart_has_every_index_right_and_none_that_is_gone(tmp_path):
    """Documents keep in the log the keys that they were written with; they don't come back."""

    async def scenario(stage: Stage, engine: Engine) -> None:
        await stage.push(users_schema(BOTH))
        await add_people(engine)
        folded = [stage.log.head.ts]
        await stage.push(users_schema(BY_AGE))
        folded.append(stage.log.head.ts)

        async def fail() -> None:
            raise LogUnavailable("LogUnavailable", "gone")

        stage.log.before_backfills.append(fail)
        with pytest.raises(UnavailableError):
            await stage.push(users_schema(BY_AGE + '.index("taken_back", ["age", "name"])'))
        folded.append(stage.log.head.ts)
        await stage.push(users_schema(BY_AGE + '.index("by_name", ["name"])'))
        folded.append(stage.log.head.ts)
        await change(engine, "add", row={"name": "dan"})
        for keep in (*folded, None):
            engine = await stage.restart(keep=keep)
            await require_both_indexes(engine, "dan")
            if keep is None:
                assert stored_indexes(engine) <= known_indexes(engine)
        await forget_history(stage, engine)
        assert stored_indexes(engine) <= known_indexes(engine)

    on_stage(tmp_path, scenario)


def test_a_backfilled_index_is_there_after_a_restart_from_any_fold(tmp_path):
    async def scenario(stage: Stage, engine: Engine) -> None:
        await stage.push(users_schema(ANYTHING))
        await add_people(engine)
        await stage.push(users_schema(BOTH))
        await change(engine, "add", row={"name": "dan"})
        for commit in list(stage.log.commits):
            engine = await stage.restart(keep=commit.ts)
            await require_both_indexes(engine, "dan")
            await forget_history(stage, engine)
            await require_both_indexes(engine, "dan")
            assert stored_indexes(engine) <= known_indexes(engine)

    on_stage(tmp_path, scenario)

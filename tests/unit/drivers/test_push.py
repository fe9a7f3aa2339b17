"""A push: pending marks, validation and backfill while writes go on, one switch, or nothing."""

import asyncio

import pytest

from syncline.drivers.push import BACKFILL_PAGE_ROWS
from syncline.errors import DeveloperError, UnavailableError
from tests.unit.drivers.push_stage import (
    ANYTHING,
    BY_AGE,
    BY_NAME,
    TYPED,
    Stage,
    ask,
    change,
    deployed,
    forget_history,
    known_indexes,
    on_stage,
    stored_indexes,
    table,
    users_schema,
)


def test_a_push_that_fails_changes_nothing_and_names_document_table_and_field(tmp_path):
    async def scenario(stage: Stage, engine):
        await stage.push(users_schema(BY_NAME))
        good = await change(engine, "add", row={"name": "ada", "age": 36})
        bad = await change(engine, "add", row={"name": "bob", "age": "old"})
        before = deployed(engine)
        stricter = users_schema(TYPED + '.index("by_age", ["age"])').replace(
            "schema = define_schema({", 'schema = define_schema({"more": define_table(v.any()), '
        )
        with pytest.raises(DeveloperError) as failure:
            await stage.push(stricter, extra="X = 1\n")
        assert failure.value.code == "SchemaValidationFailed"
        for part in (str(bad), '"users"', "age", "old", "push again"):
            assert part in failure.value.message
        assert str(good) not in failure.value.message
        assert deployed(engine) == before
        assert table(engine, "more") is None
        assert await ask(engine, "names", index="by_name") == ["ada", "bob"]
        await change(engine, "add", row={"name": "cyd"})
        assert await ask(engine, "names", index="by_name") == ["ada", "bob", "cyd"]

    on_stage(tmp_path, scenario)


def test_a_table_that_a_failed_push_made_stays_if_it_has_been_used(tmp_path):
    async def scenario(stage: Stage, engine):
        await stage.push()
        old = users_schema(ANYTHING).replace('"users"', '"other"')
        await stage.push(old)

        async def use_it():
            await change(engine, "add", row={"name": "ada"})

        schema = users_schema(BY_NAME).replace("({", '({"other": define_table({"x": v.string()}), ')
        stage.log.before_backfills.append(use_it)
        await stage.push(other=ADD_OTHER)
        await engine.mutation("other:add", b"{}")
        with pytest.raises(DeveloperError, match="other"):
            await stage.push(schema)
        assert table(engine, "users") is None
        await use_it()
        assert await ask(engine, "everyone") == ["ada"]

    on_stage(tmp_path, scenario)


ADD_OTHER = """
from syncline import MutationCtx, mutation

@mutation
async def add(ctx: MutationCtx) -> None:
    await ctx.db.insert("other", {"y": 1})
"""


def test_a_violating_write_during_a_push_succeeds_and_fails_the_push(tmp_path):
    async def scenario(stage: Stage, engine):
        await stage.push(users_schema(ANYTHING))
        await change(engine, "add", row={"name": "ada", "age": 1})
        written = []

        async def violate():
            written.append(await change(engine, "add", row={"name": 5, "age": 1}))

        stage.log.before_backfills.append(violate)
        with pytest.raises(DeveloperError) as failure:
            await stage.push(users_schema(TYPED + '.index("by_age", ["age"])'))
        assert str(written[0]) in failure.value.message
        assert len(await ask(engine, "names", index="by_creation_time")) == 2
        info = table(engine)
        assert info is not None
        assert info.pending_validator is None
        assert [index.name for index in info.all_indexes] == ["by_id", "by_creation_time"]

    on_stage(tmp_path, scenario)


def test_a_violation_in_a_page_that_was_already_checked_fails_the_push(tmp_path):
    async def scenario(stage: Stage, engine):
        await stage.push(users_schema(ANYTHING))
        first = await change(engine, "add", row={"name": "first", "age": 1})
        await change(engine, "add_many", first=0, count=2 * BACKFILL_PAGE_ROWS)

        async def nothing():
            pass

        async def violate():
            everyone = await ask(engine, "everyone")
            assert len(everyone) == 2 * BACKFILL_PAGE_ROWS + 1
            await change(engine, "put", id=first, row={"name": "first"})

        stage.log.before_backfills += [nothing, violate]
        with pytest.raises(DeveloperError, match=str(first)):
            await stage.push(users_schema(TYPED + '.index("by_age", ["age"])'))

    on_stage(tmp_path, scenario)


def test_after_the_switch_the_new_schema_rules_writes(tmp_path):
    async def scenario(stage: Stage, engine):
        await stage.push(users_schema(ANYTHING))
        await change(engine, "add", row={"name": "ada", "age": 1})
        report = await stage.push(users_schema(TYPED))
        assert report.validated_tables == ("users",)
        with pytest.raises(AssertionError, match="age"):
            await change(engine, "add", row={"name": "bob"})
        report = await stage.push(users_schema(TYPED))
        assert report.validated_tables == ()

    on_stage(tmp_path, scenario)


def test_switching_validation_off_lets_anything_in_and_on_again_checks_it(tmp_path):
    async def scenario(stage: Stage, engine):
        await stage.push(users_schema(TYPED))
        off = users_schema(TYPED + '.index("by_age", ["age"])', schema_validation=False)
        report = await stage.push(off)
        assert report.validated_tables == ()
        bad = await change(engine, "add", row={"name": 1})
        assert await ask(engine, "names", index="by_age") == [1]
        with pytest.raises(DeveloperError, match=str(bad)):
            await stage.push(users_schema(TYPED))
        await change(engine, "remove", id=bad)
        assert (await stage.push(users_schema(TYPED))).validated_tables == ("users",)

    on_stage(tmp_path, scenario)


def test_a_new_index_has_existing_documents_and_those_written_meanwhile(tmp_path):
    async def scenario(stage: Stage, engine):
        await stage.push(users_schema(ANYTHING))
        ids = [
            await change(engine, "add", row={"name": name, "age": age})
            for name, age in (("ada", 3), ("bob", 1), ("cyd", 2), ("dan", 5))
        ]

        async def write():
            await change(engine, "add", row={"name": "eve", "age": 0})
            await change(engine, "put", id=ids[0], row={"name": "ada", "age": 9})
            await change(engine, "remove", id=ids[1])
            await change(engine, "put", id=ids[2], row={"name": "cyd", "age": 4})
            await change(engine, "put", id=ids[2], row={"name": "cyd", "age": 2})

        stage.log.before_backfills.append(write)
        report = await stage.push(users_schema(BY_AGE))
        assert report.added_indexes == ("users.by_age",)
        right = ["eve", "cyd", "dan", "ada"]
        assert await ask(engine, "names", index="by_age") == right
        assert await ask(engine, "found", index="by_age", field="age", value=1) == []
        assert await ask(engine, "found", index="by_age", field="age", value=2) == ["cyd"]
        again = await stage.restart()
        assert await ask(again, "names", index="by_age") == right

    on_stage(tmp_path, scenario)


def test_a_new_index_of_a_large_table_is_right_whatever_is_written_between_its_pages(tmp_path):
    async def scenario(stage: Stage, engine):
        await stage.push(users_schema(ANYTHING))
        last = await change(engine, "add", row={"name": "last", "age": 99})
        count = 2 * BACKFILL_PAGE_ROWS + 5
        await change(engine, "add_many", first=0, count=count)
        for at in range(3):

            async def write(at=at):
                stage.clock.advance(10_000)
                await change(engine, "add_many", first=count + at, count=1)
                await change(engine, "put", id=last, row={"name": "last", "age": 99 + at})
                await engine.fold()

            stage.log.before_backfills.append(write)
        await stage.push(users_schema(BY_NAME))
        right = [f"n{number:04}" for number in range(count + 3)]
        assert await ask(engine, "names", index="by_name") == ["last", *right]
        assert stage.log.before_backfills == []
        again = await stage.restart(keep=stage.log.commits[3].ts)
        assert await ask(again, "names", index="by_name") == ["last", *right]

    on_stage(tmp_path, scenario)


def test_an_index_of_the_same_name_with_other_fields_is_a_new_one(tmp_path):
    async def scenario(stage: Stage, engine):
        await stage.push(users_schema('define_table(v.any()).index("sorted", ["name"])'))
        for name, age in (("ada", 3), ("bob", 1), ("cyd", 2)):
            await change(engine, "add", row={"name": name, "age": age})
        before = await ask(engine, "names", index="sorted")
        seen_meanwhile = []

        async def look():
            seen_meanwhile.append(await ask(engine, "names", index="sorted"))

        stage.log.before_backfills.append(look)
        report = await stage.push(users_schema('define_table(v.any()).index("sorted", ["age"])'))
        assert before == ["ada", "bob", "cyd"]
        assert seen_meanwhile == [before]
        assert (report.added_indexes, report.removed_indexes) == (("users.sorted",),) * 2
        assert await ask(engine, "names", index="sorted") == ["bob", "cyd", "ada"]

    on_stage(tmp_path, scenario)


def test_an_index_that_is_removed_can_be_read_at_earlier_snapshots_while_they_are_kept(tmp_path):
    async def scenario(stage: Stage, engine):
        await stage.push(users_schema(BY_NAME))
        for name in ("bob", "ada"):
            await change(engine, "add", row={"name": name})
        earlier = engine.latest_ts()
        report = await stage.push(users_schema(ANYTHING))
        assert report.removed_indexes == ("users.by_name",)
        with pytest.raises(AssertionError, match="by_name"):
            await ask(engine, "names", index="by_name")
        await change(engine, "add", row={"name": "cyd"})
        assert await ask(engine, "names", at=earlier, index="by_name") == ["ada", "bob"]
        await forget_history(stage, engine)
        with pytest.raises(UnavailableError):
            await ask(engine, "names", at=earlier, index="by_name")
        assert stored_indexes(engine) <= known_indexes(engine)

    on_stage(tmp_path, scenario)


def test_a_table_that_the_schema_names_no_longer_keeps_its_documents_and_loses_its_rules(tmp_path):
    async def scenario(stage: Stage, engine):
        await stage.push(users_schema(TYPED + '.index("by_age", ["age"])'))
        await change(engine, "add", row={"name": "ada", "age": 1})
        report = await stage.push()
        assert report.removed_indexes == ("users.by_age",)
        await change(engine, "add", row={"name": "bob", "anything": None})
        assert await ask(engine, "everyone") == ["ada", "bob"]
        with pytest.raises(DeveloperError, match="anything"):
            await stage.push(users_schema(TYPED))

    on_stage(tmp_path, scenario)


def test_pushing_the_same_folder_again_commits_nothing(tmp_path):
    async def scenario(stage: Stage, engine):
        folder = stage.version(users_schema(BY_NAME))
        await engine.push(folder)
        head = stage.log.head
        report = await engine.push(folder)
        assert stage.log.head == head
        assert report.changed_modules == report.added_indexes == report.removed_modules == ()

    on_stage(tmp_path, scenario)


def test_two_pushes_at_once_happen_one_after_the_other(tmp_path):
    async def scenario(stage: Stage, engine):
        await stage.push()
        await change(engine, "add_many", first=0, count=20)
        first = stage.version(users_schema(BY_NAME))
        second = stage.version(users_schema(BY_AGE))
        await asyncio.gather(engine.push(first), engine.push(second))
        assert len(await ask(engine, "names", index="by_age")) == 20
        info = table(engine)
        assert info is not None
        assert [index.name for index in info.all_indexes[2:]] == ["by_age"]
        assert info.all_indexes[2].is_queryable

    on_stage(tmp_path, scenario)


def test_queries_and_writes_go_on_while_pushes_follow_each_other(tmp_path):
    """Nobody ever sees an index without one of its documents, or a failed call."""

    async def scenario(stage: Stage, engine):
        await stage.push(users_schema(BY_NAME))
        written = 0
        is_over = False

        async def write():
            nonlocal written
            while not is_over:
                await change(engine, "add_many", first=written, count=3)
                written += 3

        async def read():
            while not is_over:
                least = written
                found = await ask(engine, "names", index="by_name")
                assert found == [f"n{number:04}" for number in range(len(found))]
                assert len(found) >= least
                await asyncio.sleep(0)

        tasks = [asyncio.ensure_future(each()) for each in (write, read)]
        for schema in (BY_NAME + '.index("by_age", ["age"])', BY_NAME) * 4:
            await stage.push(users_schema(schema))
            if "by_age" in schema:
                everyone = await ask(engine, "everyone")
                assert len(await ask(engine, "names", index="by_age")) >= len(everyone) > 0
        is_over = True
        await asyncio.gather(*tasks)

    on_stage(tmp_path, scenario)

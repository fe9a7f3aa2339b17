"""Row rules: whom they bind, what they are asked, and what they answer."""

from typing import Any

import orjson
import pytest

from syncline.errors import DeveloperError
from tests.execution_world import CallFailed, World, user_line

NOTES = """
from syncline import rules

async def subject(ctx):
    user = await ctx.auth.get_user_identity()
    return user and user.subject

async def is_mine(ctx, note):
    return note["owner"] == await subject(ctx)

rules("notes", read=is_mine, insert=is_mine, modify=is_mine)

@query
async def mine(ctx) -> Any:
    return await ctx.db.query("notes").collect()

@query
async def all(ctx) -> Any:
    return await ctx.db.without_rules.query("notes").collect()

@query
async def unruled(ctx) -> Any:
    return await ctx.db.query("other").collect()

@mutation
async def add(ctx, owner: str) -> Any:
    return await ctx.db.insert("notes", {"owner": owner})

@mutation
async def give(ctx, id: str, owner: str) -> Any:
    await ctx.db.patch(id, {"owner": owner})

@mutation
async def hand_over(ctx, id: str, owner: str) -> Any:
    await ctx.db.without_rules.patch(id, {"owner": owner})

@mutation
async def remove(ctx, id: str) -> Any:
    await ctx.db.delete(id)

@internal_query
async def internal(ctx) -> Any:
    return await ctx.db.query("notes").collect()

@query
async def through(ctx) -> Any:
    return await ctx.run_query(internal)
"""


def user(subject: str) -> dict[str, str]:
    issuer = "https://i.test"
    return {"issuer": issuer, "subject": subject, "tokenIdentifier": f"{issuer}|{subject}"}


def told(world: World, path: str, who: str | None = None, /, **options: Any) -> Any:
    """The value of a query for a user, or the error of it."""
    arguments = options.pop("arguments", {})
    identity = user(who) if who else None
    outcome = world.run(path, arguments, identity=identity, **options)
    if outcome.error is not None:
        raise CallFailed(outcome)
    assert outcome.value is not None
    return orjson.loads(outcome.value)


@pytest.fixture
def world(make_world):
    made = make_world(notes=NOTES)
    made.add_table("other")
    table = made.add_table("notes")
    made.ids = {owner: made.put(table, {"owner": owner}) for owner in ("ada", "bob")}
    return made


def owners(documents: list[dict[str, Any]]) -> list[str]:
    return [each["owner"] for each in documents]


def test_everybody_sees_only_what_the_rule_shows(world):
    assert owners(told(world, "notes:mine", "ada")) == ["ada"]
    assert owners(told(world, "notes:mine", "bob")) == ["bob"]
    assert told(world, "notes:mine") == []


def test_an_admin_of_his_own_right_is_above_the_rules_and_acting_as_a_user_is_not(world):
    assert owners(told(world, "notes:mine", is_admin=True)) == ["ada", "bob"]
    assert owners(told(world, "notes:mine", "ada", is_admin=True)) == ["ada"]


def test_what_an_admin_sees_is_never_shared_with_one_who_acts_as_a_user(world):
    assert world.run("notes:mine", {}, is_admin=True).read_identity
    assert not world.run("notes:unruled", {}, is_admin=True).read_identity


def test_a_rule_that_asks_nobodys_name_leaves_the_result_to_be_shared(make_world):
    source = """
from syncline import rules
rules("notes", read=lambda ctx, note: note["is_public"])

@query
async def all(ctx) -> Any:
    return await ctx.db.query("notes").collect()
"""
    world = make_world(notes=source)
    table = world.add_table("notes")
    for is_public in (True, False):
        world.put(table, {"is_public": is_public})
    outcome = world.run("notes:all", {}, identity=user("ada"))
    assert [each["is_public"] for each in orjson.loads(outcome.value)] == [True]
    assert not outcome.read_identity


def test_functions_called_by_functions_are_ruled_as_their_caller_is(world):
    assert owners(told(world, "notes:through", "bob")) == ["bob"]


def test_a_function_may_step_over_the_rules_on_purpose(world):
    assert owners(told(world, "notes:all", "ada")) == ["ada", "bob"]
    arguments = {"id": world.ids["ada"], "owner": "bob"}
    outcome = world.run("notes:hand_over", arguments, kind="mutation", identity=user("ada"))
    assert len(outcome.changes) == 1


@pytest.mark.parametrize(
    ("path", "arguments", "operation"),
    [
        ("notes:add", {"owner": "bob"}, "insert"),
        ("notes:give", {"id": "ada", "owner": "bob"}, "modify"),
    ],
)
def test_a_denied_write_is_an_application_error_and_changes_nothing(
    world, path: str, arguments: dict[str, str], operation: str
):
    if "id" in arguments:
        arguments = {**arguments, "id": world.ids[arguments["id"]]}
    outcome = world.run(path, arguments, kind="mutation", identity=user("ada"))
    assert outcome.error is not None
    assert outcome.error.data is not None
    assert orjson.loads(outcome.error.data) == {
        "code": "RowRuleDenied",
        "message": f"The rules of 'notes' don't allow this {operation}.",
        "operation": operation,
        "table": "notes",
    }
    assert outcome.changes == ()


@pytest.mark.parametrize(("path", "more"), [("notes:remove", {}), ("notes:give", {"owner": "ada"})])
def test_changing_a_hidden_document_fails_as_if_there_were_none(
    world, path: str, more: dict[str, str]
):
    arguments = {"id": world.ids["bob"], **more}
    errors = [world.run(path, arguments, kind="mutation", identity=user("ada")).error]
    removal = world.run("notes:remove", {"id": world.ids["bob"]}, kind="mutation", is_admin=True)
    world.apply(removal.changes)
    errors.append(world.run(path, arguments, kind="mutation", identity=user("ada")).error)
    assert errors[0] == errors[1]
    assert "nonexistent document ID" in errors[0].message


def test_what_is_allowed_happens(world):
    for path, arguments in (
        ("notes:add", {"owner": "ada"}),
        ("notes:give", {"id": world.ids["ada"], "owner": "ada"}),
        ("notes:remove", {"id": world.ids["ada"]}),
    ):
        outcome = world.run(path, arguments, kind="mutation", identity=user("ada"))
        assert outcome.error is None
        assert len(outcome.changes) == 1


def test_what_rules_read_is_in_the_read_set(make_world):
    source = """
from syncline import rules

async def in_team(ctx, note):
    return await ctx.db.query("members").first() is not None

rules("notes", read=in_team)

@query
async def all(ctx) -> Any:
    return await ctx.db.query("notes").collect()
"""
    world = make_world(notes=source)
    members = world.add_table("members")
    world.put(world.add_table("notes"), {})
    outcome = world.run("notes:all", {})
    index = members.indexes["by_creation_time"].index_id
    assert any(each.lo.startswith(index) for each in outcome.read_ranges)


TEAMS = """
from syncline import rules

async def in_team(ctx, note):
    team = await ctx.db.get(note["team"])
    return team is not None and team["is_open"]

rules("notes", read=in_team, modify=in_team)

@query
async def all(ctx) -> Any:
    return len(await ctx.db.query("notes").collect())

@mutation
async def close_and_count(ctx, team: str) -> Any:
    before = len(await ctx.db.query("notes").collect())
    await ctx.db.patch(team, {"is_open": False})
    return [before, len(await ctx.db.query("notes").collect())]

@query
async def careless(ctx) -> Any:
    return await ctx.db.query("loops").collect()

class Endless:
    def __await__(self):
        yield "a loop"

async def awaits_a_loop(ctx, row):
    try:
        await Endless()
    except Exception:
        pass
    return True

rules("loops", read=awaits_a_loop)
"""


@pytest.fixture
def teams(make_world):
    made = make_world(notes=TEAMS)
    table, notes = made.add_table("teams"), made.add_table("notes")
    made.team = made.put(table, {"is_open": True})
    for _ in range(20):
        made.put(notes, {"team": made.team})
    return made


def test_what_rules_look_up_is_read_once_a_call(teams):
    assert teams.query("notes:all") == 20
    outcome = teams.run("notes:all", {})
    reads = [read for batch in teams.batches for read in batch]
    assert len(reads) == 2
    team_index = teams.catalog.table("teams").indexes["by_id"].index_id
    assert any(each.lo.startswith(team_index) for each in outcome.read_ranges)


def test_rules_see_what_the_call_itself_has_written(teams):
    arguments = {"team": teams.team}
    assert told(teams, "notes:close_and_count", arguments=arguments, kind="mutation") == [20, 0]


def test_a_rule_that_awaits_an_event_loop_fails_the_call(teams):
    teams.put(teams.add_table("loops"), {})
    outcome = teams.run("notes:careless", {})
    assert outcome.error is not None
    assert "needs an event loop" in outcome.error.message


def test_rules_look_things_up_unruled_and_never_call_themselves(make_world):
    source = """
from syncline import rules

async def is_shown(ctx, note):
    others = await ctx.run_query(count)
    return len(await ctx.db.query("notes").collect()) == 2 == others

rules("notes", read=is_shown)

@query
async def count(ctx) -> int:
    return len(await ctx.db.query("notes").collect())
"""
    world = make_world(notes=source)
    table = world.add_table("notes")
    for _ in range(2):
        world.put(table, {})
    assert told(world, "notes:count", "ada") == 2


def test_two_branches_of_a_gather_do_not_lose_each_others_change(make_world):
    source = """
from syncline import rules

async def allows(ctx, note):
    await ctx.db.query("members").collect()
    return True

rules("notes", read=allows, modify=allows)

@mutation
async def both(ctx, id: str) -> Any:
    await ctx.gather(ctx.db.patch(id, {"a": 1}), ctx.db.patch(id, {"b": 2}))
    note = await ctx.db.get(id)
    return [note["a"], note["b"]]
"""
    world = make_world(notes=source)
    world.add_table("members")
    note = world.put(world.add_table("notes"), {})
    assert told(world, "notes:both", arguments={"id": note}, kind="mutation") == [1, 2]


@pytest.mark.parametrize("answer", ["1", "None", "ctx.auth", "a_coroutine(ctx)"])
def test_a_rule_that_answers_neither_true_nor_false_opens_nothing(make_world, answer: str):
    source = f"""
from syncline import rules

async def a_coroutine(ctx):
    return 1

rules("notes", read=lambda ctx, note: {answer})

@query
async def all(ctx) -> Any:
    return await ctx.db.query("notes").collect()
"""
    world = make_world(notes=source)
    world.put(world.add_table("notes"), {})
    outcome = world.run("notes:all", {})
    assert outcome.error is not None
    assert "The read rule of 'notes' (notes.py:" in outcome.error.message
    assert "must answer True or False" in outcome.error.message


ONE = 'rules("notes", read=lambda ctx, note: True)\n'
HEAD = "from syncline import define_schema, define_table, rules\n"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("rules('notes')", "at least one of them"),
        ("rules('_tables', read=lambda ctx, row: True)", "a table of yours, not '_tables'"),
        ("rules(7, read=lambda ctx, row: True)", "not 7"),
        ("rules('notes', read=True)", "not True"),
        (ONE + ONE, "'notes' has rules already (rule.py:"),
    ],
)
def test_rules_that_say_nothing_sensible_do_not_load(make_world, source: str, problem: str):
    with pytest.raises(DeveloperError) as refused:
        make_world(rule=HEAD + source)
    assert problem in refused.value.message
    line = user_line(source.splitlines()[-1], HEAD + source)
    assert f"rule.py:{line}" in refused.value.message


def test_rules_for_a_table_that_the_schema_lacks_do_not_load(make_world):
    schema = HEAD + 'schema = define_schema({"note": define_table({})})\n'
    with pytest.raises(DeveloperError, match="the schema has no table 'notes'"):
        make_world(schema=schema, rule=HEAD + ONE)


def test_rules_are_not_made_by_functions(make_world):
    source = HEAD + "\n@query\nasync def late(ctx) -> None:\n    " + ONE
    world = make_world(rule=source)
    outcome = world.run("rule:late", {})
    assert outcome.error is not None
    assert "stands at the top of a module" in outcome.error.message


def test_other_rules_make_every_function_another_version(make_world):
    source = "\n@query\nasync def one(ctx) -> int:\n    return 1\n"
    hashes = []
    for rule in ("True", "False"):
        text = HEAD + f'rules("notes", read=lambda ctx, note: {rule})\n'
        hashes.append(make_world(_rules=text, other=source).bundle.modules)
    assert hashes[0].keys() == hashes[1].keys() == {"other"}
    assert hashes[0] != hashes[1]

"""What ctx offers besides the database: identity, time, randomness, environment, logs, nesting."""

import pytest

from syncline.schema.catalog import environment_range
from tests.execution_world import NOW_NS, CallFailed

SOURCE = """
import datetime

@query
async def who(ctx: QueryCtx) -> Any:
    user = await ctx.auth.get_user_identity()
    return user and [user.token_identifier, user.name, user.email_verified, dict(user.claims)]

@query
async def when(ctx: QueryCtx) -> list[Any]:
    first = ctx.now
    return [first == ctx.now, first.isoformat(), first.tzinfo is datetime.UTC]

@query
async def dice(ctx: QueryCtx) -> list[int]:
    return [ctx.random.randrange(1000) for _ in range(3)]

@query
async def plain(ctx: QueryCtx) -> int:
    return 1

@query
async def variable(ctx: QueryCtx, name: str) -> list[Any]:
    print("once")
    return [ctx.env.get(name), name in ctx.env]

@query
async def required(ctx: QueryCtx) -> str:
    return ctx.env["KEY"]

@query
async def swallowed(ctx: QueryCtx) -> str:
    try:
        return ctx.env["KEY"]
    except Exception:
        return "swallowed"

@query
async def variables(ctx: QueryCtx) -> Any:
    return [dict(ctx.env), len(ctx.env)]

@mutation
async def logging(ctx: MutationCtx) -> None:
    print("a", 1, {"b": [2.5]})
    ctx.log.debug("d %s", 1)
    ctx.log.info("i")
    ctx.log.warning("w")
    ctx.log.error("e")
    try:
        1 / 0
    except ZeroDivisionError:
        ctx.log.exception("x")

@mutation
async def forgetful(ctx: MutationCtx, what: str) -> None:
    if what == "insert":
        pending = ctx.db.insert("t", {"n": 1})
    if what == "query":
        pending = ctx.db.query("t").collect()
    if what == "raise":
        pending = ctx.db.insert("t", {"n": 1})
        raise ValueError("first of all")

class Foreign:
    def __await__(self):
        yield "something"

async def waits():
    await Foreign()

@query
async def foreign(ctx: QueryCtx, how: str) -> str:
    if how == "plain":
        await Foreign()
    if how == "gather":
        await ctx.gather(waits(), ctx.db.query("t").first())
    try:
        if how == "swallow":
            await Foreign()
        if how == "swallow in gather":
            await ctx.gather(waits())
    except Exception:
        return "swallowed"
"""


@pytest.fixture
def world(make_world):
    return make_world(m=SOURCE)


def test_identity_is_read_only_when_it_is_asked_for(world):
    outcome = world.run("m:who", {})
    assert (outcome.value, outcome.read_identity) == (b"null", True)
    assert not world.run("m:plain", {}).read_identity


def test_identity_has_snake_case_attributes_and_claims_under_their_own_names(world):
    identity = {
        "tokenIdentifier": "https://issuer|ada",
        "subject": "ada",
        "issuer": "https://issuer",
        "name": "Ada",
        "emailVerified": True,
        "isAdmin": "yes",
    }
    outcome = world.run("m:who", {}, identity=identity)
    assert outcome.value == b'["https://issuer|ada","Ada",true,{"isAdmin":"yes"}]'


def test_time_stands_still_and_is_noted(world):
    assert world.query("m:when") == [True, "2023-11-14T22:13:20.001000+00:00", True]
    assert NOW_NS // 10**9 == 1_700_000_000
    assert world.run("m:when", {}).read_time
    assert not world.run("m:plain", {}).read_time


def test_randomness_follows_the_seed_and_is_noted(world):
    first, again, other = (world.run("m:dice", {}, seed=seed) for seed in (1, 1, 2))
    assert first.value == again.value != other.value
    assert first.read_random
    assert not world.run("m:plain", {}).read_random


def test_ids_do_not_count_as_randomness(make_world):
    world = make_world(
        m="""
@mutation
async def add(ctx: MutationCtx) -> str:
    return await ctx.db.insert("t", {})
"""
    )
    assert not world.run("m:add", {}, kind="mutation").read_random


def test_variables_are_read_by_name_and_only_what_was_asked_for_is_in_the_read_set(world):
    world.set_variable("KEY", "value")
    world.set_variable("OTHER", "x")
    outcome = world.run("m:variable", {"name": "KEY"})
    assert outcome.value == b'["value",true]'
    assert outcome.log_lines == ("[LOG] 'once'",)
    assert environment_range("KEY") in outcome.read_ranges
    assert environment_range("OTHER") not in outcome.read_ranges
    absent = world.run("m:variable", {"name": "NONE"})
    assert absent.value == b"[null,false]"
    assert environment_range("NONE") in absent.read_ranges


def test_a_missing_variable_is_named(world):
    with pytest.raises(CallFailed, match="The environment variable 'KEY' is not set"):
        world.query("m:required")


def test_starting_over_for_variables_can_not_be_swallowed(world):
    world.set_variable("KEY", "value")
    assert world.query("m:swallowed") == "value"


def test_all_variables_can_be_listed(world):
    world.set_variable("B", "2")
    world.set_variable("A", "1")
    assert world.query("m:variables") == [{"A": "1", "B": "2"}, 2]
    (whole,) = [each for each in world.run("m:variables", {}).read_ranges if each.lo > b""
                and environment_range("A").lo in each]  # fmt: skip
    assert environment_range("ZZZ").lo in whole


def test_print_and_log_become_lines_with_their_levels(world):
    lines = world.run("m:logging", {}, kind="mutation").log_lines
    assert lines[:5] == (
        "[LOG] 'a' 1 { b: [ 2.5 ] }",
        "[DEBUG] 'd 1'",
        "[INFO] 'i'",
        "[WARN] 'w'",
        "[ERROR] 'e'",
    )
    assert lines[5].startswith("[ERROR] 'x'\nUncaught ZeroDivisionError: division by zero\n")
    assert len(lines) == 6


def test_a_call_that_was_never_awaited_fails_the_run(world):
    with pytest.raises(
        CallFailed, match=r"ctx\.db\.insert\(\.\.\.\)` was called but never awaited"
    ):
        world.mutate("m:forgetful", what="insert")
    with pytest.raises(CallFailed, match=r"collect.* was called but never awaited"):
        world.mutate("m:forgetful", what="query")
    with pytest.raises(CallFailed, match="ValueError: first of all"):
        world.mutate("m:forgetful", what="raise")


@pytest.mark.parametrize("how", ["plain", "gather", "swallow", "swallow in gather"])
def test_what_needs_an_event_loop_is_refused_with_its_line(world, how):
    with pytest.raises(CallFailed) as failed:
        world.query("m:foreign", how=how)
    message = failed.value.outcome.error.message
    assert message.startswith("Uncaught DeveloperError: A query or mutation awaited 'str'")
    assert "    at Foreign.__await__ (functions/m.py:" in message

"""Actions on the engine in memory: what they may do, what their callers are told, how they end."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncline.drivers.answers import Answer, Caller
from syncline.errors import ApplicationError, UnavailableError
from syncline.testing import CallFailedError, Deployment

FUNCTIONS = """
import asyncio, random, secrets, sys, time, uuid
from pathlib import Path
from syncline import *

@internal_mutation
async def store(ctx: MutationCtx, text: str) -> Id:
    return await ctx.db.insert("notes", {"text": text})

@internal_query
async def texts(ctx: QueryCtx) -> list[str]:
    return [note["text"] for note in await ctx.db.query("notes").collect()]

@query
async def who(ctx: QueryCtx) -> str | None:
    identity = await ctx.auth.get_user_identity()
    return identity.subject if identity else None

@mutation
async def refuse(ctx: MutationCtx, data: dict) -> None:
    await ctx.db.insert("notes", {"text": "undone"})
    raise ApplicationError(data)

@mutation
async def crash(ctx: MutationCtx) -> None:
    raise KeyError("lost")

@action
async def keep(ctx: ActionCtx, text: str) -> list[str]:
    await ctx.run_mutation(store, text=text)
    return await ctx.run_query("notes:texts")

@action
async def identities(ctx: ActionCtx) -> list:
    own = await ctx.auth.get_user_identity()
    return [own and own.subject, await ctx.run_query(who), await ctx.run_action(inner)]

@internal_action
async def inner(ctx: ActionCtx) -> str | None:
    return await ctx.run_query(who)

@action
async def hands_on(ctx: ActionCtx, data: dict) -> None:
    await ctx.run_action(refusing, data=data)

@internal_action
async def refusing(ctx: ActionCtx, data: dict) -> None:
    await ctx.run_mutation(refuse, data=data)

@action
async def catches(ctx: ActionCtx) -> list:
    caught = []
    for call in (ctx.run_mutation(refuse, data={"n": 1}), ctx.run_mutation(crash),
                 ctx.run_query("notes:nothing"), ctx.run_query(crash), ctx.run_mutation(store)):
        try:
            await call
        except ApplicationError as error:
            caught.append(error.data)
        except CallFailedError as error:
            caught.append(error.message.partition("\\n")[0])
    return caught

@action
async def deep(ctx: ActionCtx) -> None:
    await ctx.run_action(deep)

@action
async def forbidden_elsewhere(ctx: ActionCtx) -> dict:
    first, second = uuid.uuid4(), uuid.uuid4()
    time.sleep(0.001)
    with Path("/dev/null").open() as file:
        read = file.read()
    done = await asyncio.to_thread(lambda: "thread")
    return {"differ": first != second, "secret": len(secrets.token_hex(8)), "read": read,
            "done": done, "random": 0 <= ctx.random.random() < 1, "year": ctx.now.year}

@action
async def speaks(ctx: ActionCtx) -> None:
    print("one", 2)
    ctx.log.warning("careful")
    await asyncio.create_task(child())
    await asyncio.to_thread(print, "thread")

async def child():
    print("child")

@action
async def together(ctx: ActionCtx) -> list:
    arrived = asyncio.Event()
    async def wait():
        await arrived.wait()
        return "waited"
    async def arrive():
        arrived.set()
        return "arrived"
    return await ctx.gather(wait(), arrive(), ctx.run_query(texts))

@action
async def one_fails(ctx: ActionCtx) -> list:
    ended = []
    async def endless():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("closed")
    async def fail():
        raise ValueError("first")
    try:
        await ctx.gather(endless(), fail())
    except ValueError as error:
        ended.append(str(error))
    return ended

@action
async def crashes(ctx: ActionCtx) -> None:
    raise ValueError("boom")

@action
async def exits(ctx: ActionCtx) -> None:
    sys.exit(3)

@action
async def cancels_itself(ctx: ActionCtx) -> None:
    raise asyncio.CancelledError()

@action(args={"note": v.id("notes")}, returns=v.string())
async def checked(ctx: ActionCtx, note) -> object:
    return 5

@action
async def environment(ctx: ActionCtx) -> list:
    return [dict(ctx.env), ctx.env.get("MISSING")]

@action
async def waits(ctx: ActionCtx) -> None:
    try:
        await ctx.run_mutation(store, text="waiting")
        await asyncio.Event().wait()
    finally:
        await ctx.run_mutation(store, text="cleaned up")
"""

Work = Callable[[Deployment], Awaitable[object]]


@pytest.fixture
def within(tmp_path: Path) -> Callable[[Work], object]:
    """Runs work on a deployment of the functions above."""
    (tmp_path / "notes.py").write_text(FUNCTIONS)

    async def run(work: Work) -> object:
        async with Deployment(tmp_path) as app:
            return await work(app)

    return lambda work: asyncio.run(run(work))


def call(name: str, **arguments: object) -> Work:
    return lambda app: app.action(f"notes:{name}", **arguments)


def test_an_action_calls_internal_functions_and_sees_what_it_has_written(within):
    assert within(call("keep", text="a")) == ["a"]


def test_the_identity_is_passed_on_through_every_hop(within):
    assert within(lambda app: app.as_user("ada").action("notes:identities")) == ["ada"] * 3
    assert within(lambda app: app.as_anonymous().action("notes:identities")) == [None] * 3


def test_an_internal_action_is_hidden_from_users_and_called_by_admins(within):
    assert within(call("inner")) is None
    with pytest.raises(CallFailedError, match="Could not find public function for 'notes:inner'"):
        within(lambda app: app.as_user("ada").action("notes:inner"))


def test_the_data_of_an_application_error_arrives_through_every_hop(within):
    with pytest.raises(ApplicationError) as caught:
        within(call("hands_on", data={"code": 7}))
    assert caught.value.data == {"code": 7}


def test_what_a_called_function_fails_with_can_be_caught(within):
    assert within(call("catches")) == [
        {"n": 1},
        "Uncaught KeyError: 'lost'",
        "Could not find function for 'notes:nothing'.",
        "Trying to execute notes.js:crash as Query, but it is defined as Mutation.",
        (
            "ArgumentValidationError: Object is missing the required field `text`. Consider "
            "wrapping the field validator in `v.optional(...)` if this is expected."
        ),
    ]


def test_actions_that_wait_for_each_other_have_a_limit(within):
    with pytest.raises(CallFailedError, match="more than 8 levels deep"):
        within(call("deep"))


def test_what_queries_may_not_use_works(within):
    assert within(call("forbidden_elsewhere")) == {
        "differ": True,
        "secret": 16,
        "read": "",
        "done": "thread",
        "random": True,
        "year": datetime.fromtimestamp(1_893_456_000, UTC).year,
    }


def test_log_lines_are_those_of_its_tasks_and_threads_too(within):
    async def speak(app: Deployment) -> Answer:
        return await app.engine.action("notes:speaks", b"{}", Caller())

    answer = within(speak)
    assert isinstance(answer, Answer)
    assert answer.log_lines == (
        "[LOG] 'one' 2",
        "[WARN] 'careful'",
        "[LOG] 'child'",
        "[LOG] 'thread'",
    )


def test_gather_is_concurrent_and_keeps_the_order(within):
    assert within(call("together")) == ["waited", "arrived", []]


def test_the_first_failure_of_gather_is_raised_once_the_rest_has_ended(within):
    assert within(call("one_fails")) == ["closed", "first"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("crashes", "Uncaught ValueError: boom\n    at crashes (functions/notes.py:"),
        ("exits", "Uncaught SystemExit: 3"),
        ("cancels_itself", "Uncaught CancelledError"),
        ("nothing", "Could not find function for 'notes:nothing'."),
        ("who", "Trying to execute notes.js:who as Action, but it is defined as Query."),
    ],
)
def test_what_an_action_fails_with_is_told(within, name: str, message: str):
    with pytest.raises(CallFailedError) as caught:
        within(call(name))
    assert message in caught.value.message


def test_arguments_and_results_are_validated_table_names_included(within):
    async def try_both(app: Deployment) -> None:
        await app.mutation("notes:store", text="x")
        await app.mutation("notes:store", text="y")
        with pytest.raises(CallFailedError, match="ArgumentValidationError"):
            await app.action("notes:checked", note="nonsense")
        note = await app.mutation("notes:store", text="z")
        with pytest.raises(CallFailedError, match="ReturnsValidationError"):
            await app.action("notes:checked", note=note)

    within(try_both)


def test_environment_variables_are_there(within):
    built_in = {
        "CONVEX_CLOUD_URL": "http://127.0.0.1:3210",
        "CONVEX_SITE_URL": "http://127.0.0.1:3210/http",
    }
    assert within(call("environment")) == [built_in, None]


def test_a_deployment_that_stops_cancels_its_actions_which_may_clean_up(within):
    async def stop(app: Deployment) -> tuple[Answer, object]:
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        has_begun = asyncio.Event()
        app.engine.on_matched(has_begun.set)
        app.engine.start_action("notes:waits", b"{}", Caller(), answered.set_result)
        await has_begun.wait()
        await app.engine.stop_actions()
        with pytest.raises(UnavailableError, match="shutting down"):
            await app.action("notes:waits")
        return await answered, await app.query("notes:texts")

    answer, texts = within(stop)
    assert "The action was cancelled." in answer.error_message
    assert texts == ["waiting", "cleaned up"]

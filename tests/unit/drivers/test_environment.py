"""Environment variables on the engine in memory: who sees a change, and where values are not."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

import orjson
import pytest

from syncline.drivers.admin_key import admin_key
from syncline.drivers.environment import check_total, check_variable
from syncline.drivers.http_messages import HttpRequest, HttpResponse
from syncline.environment_ports import Version, made_ns
from syncline.errors import CallerError, UnavailableError
from syncline.limits import VARIABLE_KEPT_SECONDS, VARIABLES_MAX
from syncline.simulated.memory_environment import MemoryEnvironment
from syncline.testing import Deployment
from tests.unit.drivers.fake_deployment import SECRET, api_of

FUNCTIONS = """
from syncline import *

@query
async def one(ctx: QueryCtx, name: str) -> str | None:
    return ctx.env.get(name)

@query
async def names(ctx: QueryCtx) -> list[str]:
    return sorted(ctx.env)

@query
async def other(ctx: QueryCtx) -> int:
    return 1

@query
async def missing(ctx: QueryCtx) -> str:
    return ctx.env["MISSING"]

@mutation
async def keep(ctx: MutationCtx, name: str) -> bool:
    await ctx.db.insert("kept", {"length": len(ctx.env[name])})
    return True

@action
async def everything(ctx: ActionCtx) -> dict:
    return dict(ctx.env)
"""
SECRET_VALUE = "hunter2-hunter2"
BUILT_IN = {
    "CONVEX_CLOUD_URL": "http://127.0.0.1:3210",
    "CONVEX_SITE_URL": "http://127.0.0.1:3210/http",
}

Within = Callable[[Callable[[Deployment], Awaitable[object]]], object]


@pytest.fixture
def within(tmp_path: Path) -> Within:
    (tmp_path / "m.py").write_text(FUNCTIONS)

    def run(scenario: Callable[[Deployment], Awaitable[object]]) -> object:
        async def go() -> object:
            async with Deployment(tmp_path) as app:
                return await scenario(app)

        return asyncio.run(go())

    return run


def store_of(app: Deployment) -> MemoryEnvironment:
    store = app.engine.environment._values
    assert isinstance(store, MemoryEnvironment)
    return store


async def stored(app: Deployment) -> list[str]:
    return list(store_of(app).values.values())


def test_exactly_the_queries_that_read_a_variable_run_again(within: Within):
    async def change(app: Deployment) -> None:
        await app.set_environment(A="1", B="1")
        async with (
            app.subscribe("m:one", name="A") as reads_a,
            app.subscribe("m:one", name="B") as reads_b,
            app.subscribe("m:other") as reads_none,
            app.subscribe("m:names") as reads_all,
        ):
            before = app.engine.queries.executions
            await app.set_environment(A="2")
            assert app.engine.queries.executions - before == 2
            await app.set_environment(A="2")
            assert app.engine.queries.executions - before == 2
            await app.set_environment(B=None)
            assert app.engine.queries.executions - before == 4
        assert reads_a.results == ["1", "2"]
        assert reads_b.results == ["1", None]
        assert reads_none.results == [1]
        assert reads_all.results == [["A", "B", *BUILT_IN], ["A", *BUILT_IN]]

    within(change)


def test_mutations_and_actions_read_them_too_with_the_built_in_ones(within: Within):
    async def read(app: Deployment) -> None:
        await app.set_environment(A="äöü 🔑", EMPTY="")
        assert await app.mutation("m:keep", name="A")
        assert await app.query("m:one", name="EMPTY") == ""
        assert await app.query("m:one", name="CONVEX_CLOUD_URL") == BUILT_IN["CONVEX_CLOUD_URL"]
        assert await app.action("m:everything") == {"A": "äöü 🔑", "EMPTY": "", **BUILT_IN}
        assert await app.engine.environment.variables() == {"A": "äöü 🔑", "EMPTY": ""}

    within(read)


def test_no_value_is_in_documents_calls_outcomes_or_log_events(within: Within):
    async def search(app: Deployment) -> None:
        seen: list[object] = []
        app.engine.on_log(seen.append)
        await app.set_environment(A=SECRET_VALUE)
        await app.mutation("m:keep", name="A")
        await app.action("m:everything")
        await app.query("_system/cli/queryEnvironmentVariables")
        await app.set_environment(A=f"{SECRET_VALUE}!")
        commits = list(app.engine.replica.tail.changes_since(app.engine.replica.tail.floor))
        assert len(commits) >= 3
        assert SECRET_VALUE not in repr(commits)
        assert SECRET_VALUE not in repr(seen)
        shown = await app.query(
            "_system/cli/tableData",
            table="_environment_variables",
            order="asc",
            paginationOpts={"cursor": None, "numItems": 10},
        )
        [row] = shown["page"]
        assert sorted(row) == ["_creationTime", "_id", "name", "version"]

    within(search)


def test_a_replaced_value_goes_once_no_snapshot_can_name_it(within: Within):
    async def replace(app: Deployment) -> None:
        await app.set_environment(A="1", B="b")
        old = app.engine.latest_ts()
        await app.set_environment(A="2")
        await app.advance(seconds=VARIABLE_KEPT_SECONDS - 1)
        await app.engine.environment.sweep()
        assert sorted(await stored(app)) == ["1", "2", "b"]
        answer = await app.engine.query("m:one", b'{"name":"A"}', at=old)
        assert answer.value == b'"1"'
        await app.advance(seconds=2)
        await app.engine.environment.sweep()
        assert sorted(await stored(app)) == ["2", "b"]
        await app.set_environment(A=None)
        await app.engine.environment.sweep()
        assert "2" in await stored(app)
        await app.advance(seconds=VARIABLE_KEPT_SECONDS + 1)
        await app.engine.environment.sweep()
        assert await stored(app) == ["b"]
        assert await app.query("m:one", name="B") == "b"

    within(replace)


def test_what_a_crash_left_between_store_and_commit_is_read_by_nobody_and_goes(within: Within):
    async def crash(app: Deployment) -> None:
        await app.set_environment(A="1")
        [current] = store_of(app).values
        orphan = Version("A", f"{app.clock.now_ns():016x}{7:016x}")
        await store_of(app).put({orphan: "never"})
        assert await app.query("m:one", name="A") == "1"
        await app.advance(seconds=VARIABLE_KEPT_SECONDS + 1)
        await app.engine.environment.sweep()
        assert list(store_of(app).values) == [current]

    within(crash)


def test_a_change_that_takes_too_long_to_commit_does_not_happen(within: Within):
    """Else the sweep might have taken its values before they were named."""

    async def stall(app: Deployment) -> None:
        store = store_of(app)
        put = store.put

        async def slowly(values: dict[Version, str]) -> None:
            await put(values)
            app.clock.advance(VARIABLE_KEPT_SECONDS / 2 + 1)

        store.put = slowly
        with pytest.raises(CallerError, match="took too long and has not happened"):
            await app.engine.environment.change({"A": "1"})
        assert await app.query("m:one", name="A") is None

    within(stall)


def test_a_store_that_is_away_changes_nothing(within: Within):
    async def fail(app: Deployment) -> None:
        await app.set_environment(A="1")

        async def refuse(values: object) -> None:
            raise UnavailableError("Away", "The store is away.")

        store_of(app).put = refuse
        with pytest.raises(UnavailableError, match="away"):
            await app.engine.environment.change({"A": "2"})
        assert await app.query("m:one", name="A") == "1"

    within(fail)


def test_values_are_fetched_once_a_version(within: Within):
    async def count(app: Deployment) -> None:
        asked: list[Collection[Version]] = []
        store = store_of(app)
        get = store.get

        async def counted(versions: Collection[Version]) -> object:
            asked.append(list(versions))
            return await get(versions)

        store.get = counted
        await app.set_environment(A="1", B="2")
        for _ in range(3):
            await app.mutation("m:keep", name="A")
        await app.set_environment(B="3")
        await app.mutation("m:keep", name="B")
        assert [sorted(v.name for v in versions) for versions in asked] == [["A", "B"], ["B"]]

    within(count)


def test_a_variable_whose_value_is_lost_is_not_set_and_can_be_set_again(within: Within):
    async def lose(app: Deployment) -> None:
        await app.set_environment(A="1", B="2")
        store_of(app).values.clear()
        assert await app.engine.environment.variables() == {}
        assert await app.query("_system/cli/queryEnvironmentVariables") == []
        await app.set_environment(A="1")
        assert await app.query("m:one", name="A") == "1"

    within(lose)


def test_as_many_variables_as_allowed_and_one_more(within: Within):
    async def fill(app: Deployment) -> None:
        full: dict[str, str | None] = {f"V{n}": "x" for n in range(VARIABLES_MAX)}
        await app.engine.environment.change(full)
        await app.engine.environment.change({"V0": None, "ONE_MORE": "x"})
        with pytest.raises(CallerError, match=r"513 environment variables \(limit: 512\)"):
            await app.engine.environment.change({"V0": "x"})
        assert len(await app.engine.environment.variables()) == VARIABLES_MAX

    within(fill)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is no name"),
        ("1A", "is no name"),
        ("_A", "is no name"),
        ("A-B", "is no name"),
        ("Ä", "is no name"),
        ("A\n", "is no name"),
        ("CONVEX_CLOUD_URL", "is built in"),
    ],
)
def test_names_that_are_none_are_refused(name: str, message: str):
    with pytest.raises(CallerError, match=message):
        check_variable(name, "x")
    with pytest.raises(CallerError, match=message):
        check_variable(name, None)


def test_errors_never_show_a_value():
    for check in (
        lambda: check_variable("A", f"{SECRET_VALUE}\ud800"),
        lambda: check_variable("A", SECRET_VALUE * 1000),
        lambda: check_total({f"V{n}": SECRET_VALUE * 500 for n in range(100)}),
    ):
        with pytest.raises(CallerError) as refused:
            check()
        assert "hunter2" not in str(refused.value)
        assert refused.value.__suppress_context__ or refused.value.__context__ is None


# The endpoints


def ask(app: Deployment, folder: Path, method: str, path: str, body: bytes, key: str | None):
    headers = {} if key is None else {"authorization": key}
    return api_of(app.engine, folder).handle(HttpRequest(method, path, headers=headers, body=body))


ADMIN = f"Convex {admin_key('testing', SECRET)}"


def test_the_endpoints_of_the_official_command_line(within: Within, tmp_path: Path):
    async def use(app: Deployment) -> None:
        async def post(content: object, key: str | None = ADMIN) -> HttpResponse:
            path = "/api/update_environment_variables"
            return await ask(app, tmp_path, "POST", path, orjson.dumps(content), key)

        changes = [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]
        assert (await post({"changes": changes})).status == 200
        listed = await ask(app, tmp_path, "GET", "/api/list_environment_variables", b"", ADMIN)
        assert listed.body == b'{"environmentVariables":{"A":"1","B":"2"}}'
        rows = await app.query("_system/cli/queryEnvironmentVariables")
        assert [sorted(row) for row in rows] == [["_creationTime", "_id", "name", "value"]] * 2
        assert [(row["name"], row["value"]) for row in rows] == [("A", "1"), ("B", "2")]
        get = "_system/cli/queryEnvironmentVariables:get"
        assert await app.query(get, name="B") == {"name": "B", "value": "2"}
        assert await app.query(get, name="CONVEX_SITE_URL") is None
        assert (await post({"changes": [{"name": "A", "value": None}]})).status == 200
        assert await app.engine.environment.variables() == {"B": "2"}
        refused = await post({"changes": [{"name": "C", "value": "3"}, {"name": "-", "value": ""}]})
        assert (refused.status, orjson.loads(refused.body)["code"]) == (
            400,
            "EnvironmentVariableNameInvalid",
        )
        assert await app.engine.environment.variables() == {"B": "2"}
        for key in (None, "Convex testing|00"):
            assert (await post({"changes": []}, key)).status == 403

    within(use)


@pytest.mark.parametrize(
    "body",
    [b"", b"hunter2", b'{"changes":[{"name":"A","value":"hunter2"', b'\xff"hunter2"',
     b'{"changes":[{"name":"hunter2"}]}', b'{"changes":[{"name":"A","value":["hunter2"]}]}'],
)  # fmt: skip
def test_a_request_that_cannot_be_read_is_refused_without_quoting_it(
    within: Within, tmp_path: Path, body: bytes
):
    async def post(app: Deployment) -> None:
        path = "/api/update_environment_variables"
        answer = await ask(app, tmp_path, "POST", path, body, ADMIN)
        assert answer.status == 400
        assert b"hunter2" not in answer.body
        assert await app.engine.environment.variables() == {}

    within(post)


def test_versions_name_their_time(within: Within):
    async def check(app: Deployment) -> None:
        before = app.clock.now_ns()
        await app.set_environment(A="1")
        [version] = store_of(app).values
        assert before < made_ns(version.number) < app.clock.now_ns()

    within(check)

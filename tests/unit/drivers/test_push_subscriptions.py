"""Who is run again by a push: queries of changed modules and of changed tables (rule 21)."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from syncline.drivers.log_events import LogEvent
from syncline.errors import DeveloperError
from syncline.testing import Deployment

HELPER = "def shown(text: str) -> str:\n    return text\n"
USERS = """
from syncline import MutationCtx, QueryCtx, mutation, query

@mutation
async def add(ctx: MutationCtx, name: str) -> None:
    await ctx.db.insert("users", {"name": name})

@query
async def names(ctx: QueryCtx) -> list[str]:
    return [row["name"] for row in await ctx.db.query("users").collect()]
"""
SORTED = USERS.replace('query("users")', 'query("users").with_index("by_name")')
POSTS = """
from .helper import shown
from syncline import QueryCtx, query

@query
async def titles(ctx: QueryCtx) -> list[str]:
    return [shown(row["title"]) for row in await ctx.db.query("posts").collect()]
"""
PURE = """
from syncline import QueryCtx, query

@query
async def answer(ctx: QueryCtx) -> str:
    return "{answer}"
"""
SCHEMA = """
from syncline import define_schema, define_table, v
schema = define_schema({{"users": define_table(v.any()){index}, "posts": define_table(v.any())}})
"""


def version(folder: Path, **changed: str) -> Path:
    """The project with some of its modules changed."""
    folder.mkdir()
    modules = {
        "helper": HELPER,
        "users": USERS,
        "posts": POSTS,
        "pure": PURE.replace("{answer}", "42"),
        "schema": SCHEMA.format(index=""),
        **changed,
    }
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)
    return folder


INDEXED = SCHEMA.format(index='.index("by_name", ["name"])')

Scenario = Callable[[Deployment, "Runs"], Awaitable[None]]


class Runs:
    """How often each function was really run since the last look."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def count(self, event: LogEvent) -> None:
        if event.kind == "query" and not event.cached:
            self.counts[event.path] += 1

    def since(self) -> set[str]:
        """The queries that have run since the last look."""
        found = set(self.counts)
        self.counts.clear()
        return found


def deployed(folder: Path, scenario: Scenario) -> None:
    async def run() -> None:
        async with Deployment(version(folder / "first")) as app:
            runs = Runs()
            app.engine.on_log(runs.count)
            for name in ("cyd", "ada"):
                await app.mutation("users:add", name=name)
            await scenario(app, runs)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("changed", "run_again"),
    [
        ({}, set()),
        ({"other": "X = 1\n"}, set()),
        ({"pure": PURE.replace("{answer}", "43")}, {"pure:answer"}),
        ({"helper": HELPER + "# changed\n"}, {"posts:titles"}),
        ({"schema": INDEXED}, {"users:names"}),
        ({"schema": INDEXED, "users": SORTED}, {"users:names"}),
    ],
    ids=["same", "new module", "own module", "imported module", "table", "table and module"],
)
def test_a_push_runs_only_the_queries_that_it_concerns(tmp_path, changed, run_again):
    async def scenario(app: Deployment, runs: Runs) -> None:
        async with (
            app.subscribe("users:names") as names,
            app.subscribe("posts:titles") as titles,
            app.subscribe("pure:answer") as answer,
        ):
            runs.since()
            await app.push(version(tmp_path / "second", **changed))
            assert runs.since() == run_again
            assert names.current == (["ada", "cyd"] if "users" in changed else ["cyd", "ada"])
            assert titles.results == [[]]
            assert answer.results == (["42", "43"] if "pure" in changed else ["42"])
            await app.mutation("users:add", name="bob")
            assert runs.since() == {"users:names"}
            last = ["ada", "bob", "cyd"] if "users" in changed else ["cyd", "ada", "bob"]
            assert names.current == last

    deployed(tmp_path, scenario)


def test_a_push_that_fails_shows_nothing_to_anybody(tmp_path):
    strict = SCHEMA.format(index="").replace('"users": define_table(v.any())', '"users": '
        'define_table({"name": v.string(), "email": v.string()})')  # fmt: skip

    async def scenario(app: Deployment, runs: Runs) -> None:
        async with app.subscribe("users:names") as names, app.subscribe("pure:answer") as answer:
            runs.since()
            changed = PURE.replace("{answer}", "43")
            second = version(tmp_path / "second", schema=strict, pure=changed)
            with pytest.raises(DeveloperError, match="email"):
                await app.push(second)
            assert "pure:answer" not in runs.since()
            await app.mutation("users:add", name="bob")
            assert names.results == [["cyd", "ada"], ["cyd", "ada", "bob"]]
            assert answer.results == ["42"]

    deployed(tmp_path, scenario)


def test_a_query_of_a_new_index_is_right_at_once(tmp_path):
    async def scenario(app: Deployment, runs: Runs) -> None:
        pushed = version(tmp_path / "second", schema=INDEXED, users=SORTED)
        await asyncio.gather(
            app.push(pushed), *(app.mutation("users:add", name=f"n{at}") for at in range(5))
        )
        right = ["ada", "cyd", *(f"n{at}" for at in range(5))]
        assert await app.query("users:names") == right
        async with app.subscribe("users:names") as names:
            assert names.results == [right]

    deployed(tmp_path, scenario)

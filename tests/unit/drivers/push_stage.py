"""Engines over one log in memory, and a project of one table to push into them in versions."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from textwrap import dedent

from syncline.drivers.answers import Caller
from syncline.drivers.engine import Engine
from syncline.drivers.inline_runner import InlineRunner
from syncline.drivers.memory_interest import MemoryInterest
from syncline.drivers.push import PushReport
from syncline.local.bundle_store import BundleStore
from syncline.local.memory_documents import MemoryDocuments
from syncline.ports import Clock
from syncline.schema.catalog import TableInfo
from syncline.simulated.memory_environment import MemoryEnvironment
from syncline.simulated.memory_log import MemoryLog
from syncline.simulated.world import SeededEntropy
from syncline.testing import ManualClock
from syncline.values import wire_json
from syncline.values.value import Value

USERS = """
from typing import Any
from syncline import Id, MutationCtx, QueryCtx, mutation, query

@mutation
async def add(ctx: MutationCtx, row: Any) -> Id:
    return await ctx.db.insert("users", row)

@mutation
async def add_many(ctx: MutationCtx, first: int, count: int) -> None:
    for number in range(first, first + count):
        await ctx.db.insert("users", {"name": f"n{number:04}", "age": number % 7})

@mutation
async def put(ctx: MutationCtx, id: Id, row: Any) -> None:
    await ctx.db.replace(id, row)

@mutation
async def remove(ctx: MutationCtx, id: Id) -> None:
    await ctx.db.delete(id)

@query
async def names(ctx: QueryCtx, index: str) -> list[Any]:
    return [row["name"] for row in await ctx.db.query("users").with_index(index).collect()]

@query
async def found(ctx: QueryCtx, index: str, field: str, value: Any) -> list[Any]:
    users = ctx.db.query("users").with_index(index, lambda q: q.eq(field, value))
    return [row["name"] for row in await users.collect()]

@query
async def everyone(ctx: QueryCtx) -> list[str]:
    return sorted([row["name"] for row in await ctx.db.query("users").collect()])
"""

Hook = Callable[[], Awaitable[object]]


def users_schema(table: str, **options: object) -> str:
    """`schema.py` with a table "users" as this expression."""
    settings = "".join(f", {name}={value!r}" for name, value in options.items())
    return (
        "from syncline import define_schema, define_table, v\n"
        f'schema = define_schema({{"users": {table}}}{settings})\n'
    )


ANYTHING = "define_table(v.any())"
BY_NAME = 'define_table(v.any()).index("by_name", ["name"])'
BY_AGE = 'define_table(v.any()).index("by_age", ["age"])'
TYPED = 'define_table({"name": v.string(), "age": v.number()})'


class StagedLog(MemoryLog):
    """The log, with something happening in the middle of backfills and appends."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, pause=self._pass)
        self.before_backfills: list[Hook] = []
        """Each is called once, before the next backfilled keys are stored."""
        self.at_pauses: dict[str, list[Hook | None]] = {}
        """By pause point: called once each time it is passed; None: nothing happens."""

    async def _pass(self, point: str) -> None:
        hooks = self.at_pauses.get(point)
        if hooks and (hook := hooks.pop(0)) is not None:
            await hook()

    async def add_index_keys(self, keys: Sequence[tuple[str, int, bytes]]) -> None:
        if self.before_backfills:
            await self.before_backfills.pop(0)()
        await super().add_index_keys(keys)


class Stage:
    """One log and its engines; `push` writes a version of the project and pushes it."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.log = StagedLog(self.clock)
        self.engines: list[Engine] = []
        self._folder = folder
        self._bundles = BundleStore(folder / "bundles")
        self._versions = 0
        self._random = Random(1)

    async def start(self) -> Engine:
        """One more process with nothing in memory."""
        engine = Engine(
            name="stage",
            log=self.log,
            documents=MemoryDocuments(),
            interest=MemoryInterest(),
            runner=InlineRunner(),
            bundles=self._bundles,
            variables=MemoryEnvironment(),
            clock=self.clock,
            entropy=SeededEntropy(self._random),
        )
        await engine.start()
        self.engines.append(engine)
        return engine

    async def restart(self, *, keep: int | None = None) -> Engine:
        """Close every engine, fold and prune the log, and start one anew.

        `keep`: fold only up to that ts, as after a crash.
        """
        if keep is None:
            await self.close()
            await self.log.prune(keep_after=2**62, records_before=0)
        else:
            await self.log.fold(keep, commits_max=10_000)
            for engine in self.engines:
                await stop(engine)
            self.engines.clear()
        return await self.start()

    async def close(self) -> None:
        while self.engines:
            await self.engines.pop().close()

    def version(self, schema: str | None = None, **modules: str) -> Path:
        """A folder with the functions of USERS, a schema and other modules."""
        self._versions += 1
        folder = self._folder / f"version{self._versions}"
        folder.mkdir()
        sources = {"users": USERS, **modules}
        if schema is not None:
            sources["schema"] = schema
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(dedent(source))
        return folder

    async def push(self, schema: str | None = None, **modules: str) -> PushReport:
        """Push a version into the newest engine."""
        return await self.engines[-1].push(self.version(schema, **modules))


async def stop(engine: Engine) -> None:
    """End an engine as a crash does: nothing is folded, nothing said."""
    for task in engine._background:
        task.cancel()
    await asyncio.gather(*engine._background, return_exceptions=True)


def on_stage(folder: Path, scenario: Callable[[Stage, Engine], Awaitable[None]]) -> None:
    """Run a scenario on a fresh stage with one engine."""

    async def run() -> None:
        stage = Stage(folder)
        try:
            await scenario(stage, await stage.start())
        finally:
            await stage.close()

    asyncio.run(run())


ADMIN = Caller(is_admin=True)


async def change(engine: Engine, function: str, **arguments: object) -> Value:
    """The result of a mutation of users.py."""
    answer = await engine.mutation(f"users:{function}", wire_json.encode(arguments), ADMIN)
    assert answer.value is not None, answer.error_message
    return wire_json.decode(answer.value)


async def ask(engine: Engine, function: str, at: int | None = None, **arguments: object) -> Value:
    """The result of a query of users.py."""
    answer = await engine.query(f"users:{function}", wire_json.encode(arguments), ADMIN, at=at)
    assert answer.value is not None, answer.error_message
    return wire_json.decode(answer.value)


def table(engine: Engine, name: str = "users") -> TableInfo | None:
    return engine.replica.catalog_at(engine.replica.durable.ts).table(name)


def rows(engine: Engine) -> list[dict[str, Value]]:
    """What is deployed of tables, without what only keeps ordinals from being used again."""
    catalog = engine.replica.catalog_at(engine.replica.durable.ts)
    return [{**row, "nextOrdinal": None} for row in catalog.rows()]


def deployed(engine: Engine) -> object:
    """Everything that a push decides."""
    return rows(engine), engine.replica.deployment_at(engine.replica.durable.ts), engine.spec()


def stored_indexes(engine: Engine) -> set[bytes]:
    """The ids of all indexes that the document store has entries or tombstones of."""
    documents = engine.replica.documents
    assert isinstance(documents, MemoryDocuments)
    return {key[:6] for key in documents._rows}


def known_indexes(engine: Engine) -> set[bytes]:
    """The ids of all indexes that there are."""
    catalog = engine.replica.catalog_at(engine.replica.durable.ts)
    return {
        index.index_id
        for number in (512, 513, 514, *(each.number for each in catalog.user_tables()))
        if (found := catalog.table_by_number(number)) is not None
        for index in found.all_indexes
    }


async def forget_history(stage: Stage, engine: Engine) -> None:
    """Let so much time pass that no snapshot of now can be read any more."""
    stage.clock.advance(10_000)
    await engine.fold()

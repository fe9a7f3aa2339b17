"""Executor processes: calls, limits, crashes, reloads; with the real runs of functions."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from syncline.errors import DeveloperError, UnavailableError
from syncline.local.executor_frames import CATALOGS_KEPT
from syncline.local.executor_pool import BUNDLES_KEPT, ExecutorPool
from syncline.ports import FunctionCall, FunctionOutcome, Page, RangeRead, Row
from syncline.schema.catalog import Catalog
from syncline.values.document_id import encode_id
from tests.function_folder import FunctionFolder

TIMED_OUT = "Function execution timed out (maximum duration: 1s)"

FUNCTIONS = """
from contextvars import ContextVar

@query
async def echo(ctx, n: int = 0) -> int:
    return n

@query
async def count(ctx, table: str = "items") -> int:
    return len(await ctx.db.query(table).collect())

@query
async def say(ctx) -> None:
    import sys
    print("hello", 1)
    sys.stdout.write("not for the protocol\\n")
    sys.stderr.write("nor this\\n")

@query
async def fail(ctx) -> None:
    raise ValueError("boom")

@query
async def leave(ctx) -> None:
    raise SystemExit(3)

current = ContextVar("current", default="nobody")

@query
async def remember(ctx) -> str:
    before = current.get()
    current.set("somebody")
    await ctx.db.query("items").collect()
    return f"{before}, {current.get()}"

@query
async def surroundings(ctx) -> list:
    from datetime import datetime
    words = {str(n) for n in range(100)}
    return [[word for word in words], datetime.fromtimestamp(0).hour, sorted(__builtins__)[:0]]
"""

SINS = """
import json
import re

@query
async def spin(ctx):
    while True:
        pass

@query
async def swallow(ctx):
    try:
        while True:
            pass
    except BaseException:  # syncline: allow[catch-all] that is the sin
        return "went on"

@query
async def stubborn(ctx):
    while True:
        try:
            for _ in range(10**9):
                len("")
        except BaseException:  # syncline: allow[catch-all] that is the sin
            continue

@query
async def regex(ctx):
    return bool(re.match(r"(a+)+$", "a" * 60 + "b"))

@query
async def deaf(ctx):
    return sum(range(10**12))

@query
async def clings(ctx):
    try:
        await ctx.db.query("items").collect()
        while True:
            pass
    finally:
        while True:
            pass

@query
async def crash(ctx):
    json.codecs.builtins.__import__("os")._exit(3)  # syncline: allow[escape-attribute] the sin

@query
async def eat(ctx):
    held = []
    while True:
        held.append(bytes(10_000_000))
"""


def a_row(n: int) -> Row:
    """Row `n` of the table "items", as its index by creation time has it."""
    document_id = encode_id(10_001, n.to_bytes(16))
    document = {"_id": document_id, "_creationTime": n + 1.0}
    table = CATALOG.table("items")
    assert table is not None
    return Row(table.keys(document, document_id)[1], 1, orjson.dumps(document))


CRASHES_WHILE_LOADING = """
import json
json.codecs.builtins.__import__("os")._exit(3)  # syncline: allow[escape-attribute] the sin
"""


class Shelf:
    """Reads at one snapshot; `gate` holds every read back until it is set."""

    def __init__(self, rows: int = 0, gate: asyncio.Event | None = None) -> None:
        self._rows = tuple(map(a_row, range(rows)))
        self._gate = gate
        self.asked = 0
        self.was_asked = asyncio.Event()
        self._arrivals = asyncio.Semaphore(0)

    async def was_asked_by(self, calls: int) -> None:
        for _ in range(calls):
            await self._arrivals.acquire()

    async def read(self, reads: Sequence[RangeRead]) -> Sequence[Page]:
        self.asked += 1
        self.was_asked.set()
        self._arrivals.release()
        if self._gate is not None:
            await self._gate.wait()
        return [Page(self._rows, done=True) for _ in reads]


class Broken:
    async def read(self, reads):
        raise UnavailableError("OutOfRetention", "That is too long ago.")


def a_catalog(*tables: str) -> Catalog:
    rows = [
        {
            "_id": f"table-{name}",
            "_creationTime": 1.0,
            "name": name,
            "number": 10_001 + at,
            "nextOrdinal": 2,
            "indexes": [],
            "validator": None,
            "pendingValidator": None,
        }
        for at, name in enumerate(tables)
    ]
    return Catalog.from_rows(rows, 1)


CATALOG = a_catalog("items")


def a_call(path: str, *, bundle: str = "one", catalog: Catalog = CATALOG, **arguments):
    return FunctionCall(
        kind="query",
        path=path,
        arguments=orjson.dumps(arguments),
        identity=None,
        is_admin=False,
        begin_ts=1,
        now_ns=1_700_000_000_000_000_000,
        seed=7,
        journal=None,
        bundle=bundle,
        catalog=catalog,
        request_id="0" * 16,
    )


def value(outcome: FunctionOutcome) -> object:
    assert outcome.error is None, outcome.error
    assert outcome.value is not None
    return orjson.loads(outcome.value)


def message(outcome: FunctionOutcome) -> str:
    assert outcome.value is None
    assert outcome.error is not None
    return outcome.error.message


@pytest.fixture
def functions(tmp_path: Path) -> FunctionFolder:
    folder = FunctionFolder(tmp_path / "functions")
    folder.folder.mkdir()
    return folder.write(good=FUNCTIONS, bad=SINS)


def pooled(
    functions: FunctionFolder,
    test: Callable[[ExecutorPool], Awaitable[None]],
    executors: int = 2,
    **options,
) -> None:
    """Run a test with the folder loaded as "one"."""

    async def run() -> None:
        async with a_pool(executors, **options) as pool:
            await pool.load("one", functions.folder)
            await test(pool)

    asyncio.run(run())


@asynccontextmanager
async def a_pool(executors: int = 2, **options) -> AsyncIterator[ExecutorPool]:
    pool = ExecutorPool(executors, **options)
    try:
        yield pool
    finally:
        await pool.close()


def pids(pool: ExecutorPool) -> list[int]:
    return [link.process.pid for link in pool._links]


def test_a_call_returns_its_value_and_its_time(functions):
    async def test(pool):
        outcome = await pool.run(a_call("good:echo", n=3), Shelf())
        assert value(outcome) == 3
        assert outcome.own_seconds > 0

    pooled(functions, test)


def test_load_tells_what_the_bundle_declares(functions):
    async def run():
        async with a_pool() as pool:
            spec = await pool.load("one", functions.folder)
            assert {function.path for function in spec.functions} >= {"good:echo", "bad:spin"}
            assert set(spec.modules) == {"good", "bad"}
            assert await pool.load("one", functions.folder) == spec

    asyncio.run(run())


def test_reads_are_answered_from_the_callers_snapshot(functions):
    async def test(pool):
        outcomes = await asyncio.gather(
            *(pool.run(a_call("good:count"), Shelf(rows)) for rows in (0, 1, 70))
        )
        assert [value(outcome) for outcome in outcomes] == [0, 1, 70]
        assert all(outcome.read_ranges for outcome in outcomes)

    pooled(functions, test)


def test_each_call_sees_its_own_catalog_however_many_there_are(functions):
    async def test(pool):
        catalogs = [a_catalog(*["items"] * (n % 2)) for n in range(CATALOGS_KEPT * 3)]
        for _ in range(2):
            shelves = [Shelf(5) for _ in catalogs]
            outcomes = await asyncio.gather(
                *(
                    pool.run(a_call("good:count", catalog=catalog), shelf)
                    for catalog, shelf in zip(catalogs, shelves, strict=True)
                )
            )
            assert [value(outcome) for outcome in outcomes] == [0, 5] * (len(catalogs) // 2)

    pooled(functions, test)


def test_what_functions_print_is_logged_and_harms_nothing(functions):
    async def test(pool):
        outcome = await pool.run(a_call("good:say"), Shelf())
        assert outcome.log_lines[0] == "[LOG] 'hello' 1"
        assert value(await pool.run(a_call("good:echo", n=1), Shelf())) == 1

    pooled(functions, test)


def test_an_exception_is_an_outcome_with_the_users_line(functions):
    async def test(pool):
        text = message(await pool.run(a_call("good:fail"), Shelf()))
        assert text.startswith("Uncaught ValueError: boom")
        assert "good.py" in text

    pooled(functions, test)


def test_ending_the_process_politely_is_an_outcome_too(functions):
    async def test(pool):
        before = pids(pool)
        assert "SystemExit" in message(await pool.run(a_call("good:leave"), Shelf()))
        assert pids(pool) == before

    pooled(functions, test, executors=1)


def test_500_calls_at_once_all_answer(functions):
    async def test(pool):
        calls = [pool.run(a_call("good:echo", n=n), Shelf()) for n in range(250)]
        calls += [pool.run(a_call("good:count"), Shelf(n)) for n in range(250)]
        outcomes = await asyncio.gather(*calls)
        assert [value(outcome) for outcome in outcomes] == [*range(250), *range(250)]

    pooled(functions, test)


def test_calls_that_wait_for_reads_hold_up_nobody(functions):
    async def test(pool):
        gate = asyncio.Event()
        shelf = Shelf(3, gate)
        waiting = [asyncio.create_task(pool.run(a_call("good:count"), shelf)) for _ in range(10)]
        await shelf.was_asked.wait()
        assert value(await pool.run(a_call("good:echo", n=1), Shelf())) == 1
        gate.set()
        assert [value(outcome) for outcome in await asyncio.gather(*waiting)] == [3] * 10

    pooled(functions, test, executors=1)


def test_context_variables_of_a_call_are_its_own(functions):
    async def test(pool):
        calls = [pool.run(a_call("good:remember"), Shelf(1)) for _ in range(4)]
        outcomes = await asyncio.gather(*calls)
        assert [value(outcome) for outcome in outcomes] == ["nobody, somebody"] * 4

    pooled(functions, test, executors=1)


@pytest.mark.parametrize("sin", ["spin", "swallow", "stubborn", "regex", "deaf", "clings"])
def test_a_call_past_its_limit_fails_while_others_are_served(functions, sin):
    async def test(pool):
        stuck = asyncio.create_task(pool.run(a_call(f"bad:{sin}"), Shelf()))
        for n in range(100):
            assert value(await pool.run(a_call("good:echo", n=n), Shelf())) == n
        assert not stuck.done()
        outcome = await stuck
        assert message(outcome) == TIMED_OUT
        assert outcome.error is not None
        assert outcome.error.is_server_made
        # Its subscribers hear of the push that mends it.
        assert outcome.read_ranges
        # Somebody else who asks later gets a run of their own.
        assert outcome.read_time
        assert len(pids(pool)) == 2
        assert value(await pool.run(a_call("good:echo", n=1), Shelf())) == 1

    pooled(functions, test)


@pytest.mark.parametrize("sin", ["spin", "stubborn", "regex"])
def test_calls_that_came_with_one_past_its_limit_are_served_elsewhere(functions, sin):
    async def test(pool):
        stuck = asyncio.create_task(pool.run(a_call(f"bad:{sin}"), Shelf()))
        others = [pool.run(a_call("good:echo", n=n), Shelf()) for n in range(40)]
        assert [value(outcome) for outcome in await asyncio.gather(*others)] == list(range(40))
        assert not stuck.done()
        assert message(await stuck) == TIMED_OUT

    pooled(functions, test)


def test_an_interrupted_call_costs_its_process_nothing(functions):
    async def test(pool):
        before = pids(pool)
        assert message(await pool.run(a_call("bad:spin"), Shelf())) == TIMED_OUT
        assert pids(pool) == before

    pooled(functions, test, executors=1)


@pytest.mark.parametrize("sin", ["stubborn", "deaf"])
def test_a_stuck_process_is_replaced_and_its_other_calls_run_again(functions, sin):
    async def test(pool):
        before = pids(pool)
        gate = asyncio.Event()
        shelf = Shelf(3, gate)
        bystander = asyncio.create_task(pool.run(a_call("good:count"), shelf))
        await shelf.was_asked.wait()
        assert message(await pool.run(a_call(f"bad:{sin}"), Shelf())) == TIMED_OUT
        gate.set()
        assert value(await bystander) == 3
        assert value(await pool.run(a_call("good:echo", n=1), Shelf())) == 1
        assert pids(pool) != before
        assert shelf.asked == 2

    pooled(functions, test, executors=1)


def test_a_call_that_takes_two_processes_down_fails(functions):
    async def test(pool):
        gate = asyncio.Event()
        shelf = Shelf(3, gate)
        bystander = asyncio.create_task(pool.run(a_call("good:count"), shelf))
        await shelf.was_asked.wait()
        outcome = await pool.run(a_call("bad:crash"), Shelf())
        assert message(outcome) == "Function execution ended its process"
        gate.set()
        assert value(await bystander) == 3

    pooled(functions, test, executors=1)


def test_calls_of_a_process_that_was_killed_run_again(functions):
    async def test(pool):
        gate = asyncio.Event()
        shelf = Shelf(3, gate)
        waiting = [asyncio.create_task(pool.run(a_call("good:count"), shelf)) for _ in range(4)]
        await shelf.was_asked_by(4)
        for pid in pids(pool):
            os.kill(pid, signal.SIGKILL)
        gate.set()
        assert [value(outcome) for outcome in await asyncio.gather(*waiting)] == [3] * 4

    pooled(functions, test)


def test_memory_has_a_limit(functions):
    async def test(pool):
        assert "MemoryError" in message(await pool.run(a_call("bad:eat"), Shelf()))
        assert value(await pool.run(a_call("good:echo", n=1), Shelf())) == 1

    pooled(functions, test, executors=1, memory_bytes_max=200 * 2**20)


def test_a_canceled_call_is_given_up(functions):
    async def test(pool):
        shelf = Shelf(3, asyncio.Event())
        task = asyncio.create_task(pool.run(a_call("good:count"), shelf))
        await shelf.was_asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert value(await pool.run(a_call("good:echo", n=1), Shelf())) == 1
        assert [link.calls for link in pool._links] == [0]

    pooled(functions, test, executors=1)


def test_reads_that_fail_fail_the_call_as_they_are(functions):
    async def test(pool):
        with pytest.raises(UnavailableError, match="too long ago"):
            await pool.run(a_call("good:count"), Broken())
        assert value(await pool.run(a_call("good:echo", n=1), Shelf())) == 1

    pooled(functions, test, executors=1)


def test_a_new_version_is_loaded_while_calls_of_the_old_one_run(functions, tmp_path):
    async def test(pool):
        gate = asyncio.Event()
        shelf = Shelf(3, gate)
        old = [asyncio.create_task(pool.run(a_call("good:count"), shelf)) for _ in range(4)]
        await shelf.was_asked.wait()
        changed = FunctionFolder(tmp_path / "changed").write(
            good="@query\nasync def count(ctx) -> str:\n    return 'new'\n"
        )
        spec = await pool.load("two", changed.folder)
        assert [function.path for function in spec.functions] == ["good:count"]
        new = [pool.run(a_call("good:count", bundle="two"), Shelf()) for _ in range(4)]
        assert [value(outcome) for outcome in await asyncio.gather(*new)] == ["new"] * 4
        gate.set()
        assert [value(outcome) for outcome in await asyncio.gather(*old)] == [3] * 4
        assert value(await pool.run(a_call("good:count"), Shelf(1))) == 1

    pooled(functions, test)


def test_a_replaced_process_knows_every_version(functions, tmp_path):
    async def test(pool):
        changed = FunctionFolder(tmp_path / "changed").write(
            good="@query\nasync def echo(ctx) -> str:\n    return 'new'\n"
        )
        await pool.load("two", changed.folder)
        assert message(await pool.run(a_call("bad:deaf"), Shelf())) == TIMED_OUT
        assert value(await pool.run(a_call("good:echo", n=1), Shelf())) == 1
        assert value(await pool.run(a_call("good:echo", bundle="two"), Shelf())) == "new"

    pooled(functions, test, executors=1)


def test_old_versions_are_let_go_and_loaded_again_when_called(functions):
    async def test(pool):
        for n in range(BUNDLES_KEPT):
            await pool.load(f"later{n}", functions.folder)
        assert value(await pool.run(a_call("good:echo"), Shelf())) == 0
        assert value(await pool.run(a_call("good:echo", bundle="later3"), Shelf())) == 0
        with pytest.raises(UnavailableError, match="version never are not loaded"):
            await pool.run(a_call("good:echo", bundle="never"), Shelf())

    pooled(functions, test)


@pytest.mark.parametrize(
    ("source", "code", "text"),
    [
        ("x = 1 +\n", "FunctionsNotLoadable", "broken.py:1: "),
        ("1 / 0\n", "ModuleNotLoadable", "broken.py:1: ZeroDivisionError"),
        (
            CRASHES_WHILE_LOADING,
            "LoadCrashed",
            "ended or crashed",
        ),
    ],
)
def test_a_version_that_does_not_load_changes_nothing(functions, tmp_path, source, code, text):
    async def test(pool):
        broken = FunctionFolder(tmp_path / "broken").write_raw("broken.py", source)
        with pytest.raises(DeveloperError, match=text) as caught:
            await pool.load("broken", broken.folder)
        assert caught.value.code == code
        assert value(await pool.run(a_call("good:echo", n=1), Shelf())) == 1
        with pytest.raises(UnavailableError):
            await pool.run(a_call("good:echo", bundle="broken"), Shelf())
        broken.write_raw("broken.py", "")
        await pool.load("broken", broken.folder)

    pooled(functions, test)


def test_every_process_has_the_same_surroundings(functions, monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")

    async def test(pool):
        calls = [pool.run(a_call("good:surroundings"), Shelf()) for _ in range(8)]
        outcomes = [value(outcome) for outcome in await asyncio.gather(*calls)]
        assert all(outcome == outcomes[0] for outcome in outcomes)
        assert outcomes[0][1] == 0

    pooled(functions, test)


def test_state_kept_in_a_module_is_found_by_running_twice(functions):
    functions.write(
        warm="""
        class Counter:
            n = 0

        @query
        async def count(ctx) -> int:
            Counter.n += 1
            return Counter.n
        """
    )

    async def test(pool):
        text = message(await pool.run(a_call("warm:count"), Shelf()))
        assert "run twice with the same inputs, the function returned something else" in text
        assert value(await pool.run(a_call("good:count"), Shelf(2))) == 2

    pooled(functions, test, executors=1, rerun=True)


def test_closing_ends_the_processes_and_fails_what_runs(functions):
    async def run():
        async with a_pool() as pool:
            await pool.load("one", functions.folder)
            processes = [link.process for link in pool._links]
            shelf = Shelf(3, asyncio.Event())
            task = asyncio.create_task(pool.run(a_call("good:count"), shelf))
            await shelf.was_asked.wait()
            await pool.close()
            assert [process.returncode for process in processes] == [0, 0]
            task.cancel()
            with pytest.raises((UnavailableError, asyncio.CancelledError)):
                await task
            with pytest.raises(UnavailableError):
                await pool.run(a_call("good:echo"), Shelf())
            with pytest.raises(UnavailableError):
                await pool.load("two", functions.folder)

    asyncio.run(run())


def test_a_pool_that_never_loaded_closes():
    asyncio.run(ExecutorPool().close())

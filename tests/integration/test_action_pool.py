"""Action processes: what runs beside what, what dies with what, and how all of it ends."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest

from syncline.action_ports import (
    ActionCall,
    ActionOutcome,
    ActionReply,
    ActionRequest,
    ReadEnvironment,
    RunFunction,
)
from syncline.errors import DeveloperError, UnavailableError
from syncline.local import action_link, action_pool
from syncline.local.action_pool import ActionPool
from syncline.ports import FunctionError

FUNCTIONS = """
import asyncio, os, socket, sys, threading, time
from syncline import *

@action
async def echo(ctx: ActionCtx, n: int) -> list[int]:
    return [n, os.getpid()]

@action
async def ask(ctx: ActionCtx, path: str, n: int) -> object:
    return await ctx.run_query(path, n=n)

@action
async def meet(ctx: ActionCtx) -> str:
    # Goes on only when the deployment says so, which the test does when all have come here.
    return await ctx.run_mutation("meet:here", pid=os.getpid())

@action
async def catch(ctx: ActionCtx) -> str:
    try:
        await ctx.run_query("gone:away")
    except CallFailedError as error:
        return error.message

@action
async def speak(ctx: ActionCtx) -> None:
    print("hello", 1)
    sys.stdout.write("not for the protocol\\n")

@action
async def variables(ctx: ActionCtx) -> list:
    return [dict(ctx.env), "SYNCLINE_TEST_SECRET" in os.environ, "PATH" in os.environ]

@action
async def block(ctx: ActionCtx, seconds: float) -> int:
    await ctx.run_mutation("meet:here", pid=os.getpid())
    time.sleep(seconds)
    return os.getpid()

@action
async def sleep(ctx: ActionCtx) -> None:
    try:
        await ctx.run_mutation("meet:here", pid=os.getpid())
        await asyncio.Event().wait()
    finally:
        await ctx.run_mutation("meet:cleaned", pid=os.getpid())

@action
async def die(ctx: ActionCtx) -> None:
    os._exit(7)

@action
async def hoard(ctx: ActionCtx) -> None:
    bytearray(3 * 2**30)

@action
async def leaves_tasks(ctx: ActionCtx) -> None:
    async def linger():
        try:
            await asyncio.Event().wait()
        finally:
            await ctx.run_mutation("meet:cleaned", pid=os.getpid())
    asyncio.create_task(linger())
    await asyncio.sleep(0)

@action
async def tasks(ctx: ActionCtx) -> int:
    return len(asyncio.all_tasks())

@action
async def serve(ctx: ActionCtx) -> str:
    async def answer(reader, writer):
        writer.write(await reader.readexactly(4))
        writer.close()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"ping")
        return (await reader.read()).decode()
"""


@dataclass
class Backend:
    """A deployment that answers by a rule and keeps what it was asked."""

    asked: list[ActionRequest] = field(default_factory=list)
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    is_gone: bool = False

    async def ask(self, request: ActionRequest) -> ActionReply:
        if isinstance(request, ReadEnvironment):
            return ActionReply(b'{"KEY":"value"}')
        assert isinstance(request, RunFunction)
        self.asked.append(request)
        match request.path:
            case "meet:here":
                self.arrived.release()
                await self.go_on.wait()
                return ActionReply(b'"went on"')
            case "gone:away" if self.is_gone:
                raise UnavailableError("Gone", "nobody is there")
            case "gone:away":
                return ActionReply(None, FunctionError("Uncaught: no", False, None))
            case _:
                return ActionReply(orjson.dumps([request.kind, orjson.loads(request.arguments)]))

    def names(self) -> list[str]:
        return [each.path for each in self.asked if isinstance(each, RunFunction)]


def call(name: str, *, seconds_max: float = 60.0, **arguments: object) -> ActionCall:
    return ActionCall(
        path=f"mod:{name}",
        arguments=orjson.dumps(arguments),
        identity=None,
        is_admin=True,
        is_inner=False,
        bundle="one",
        tables={},
        request_id="00",
        seconds_max=seconds_max,
    )


@asynccontextmanager
async def a_pool(folder: Path, **options: int) -> AsyncIterator[ActionPool]:
    (folder / "mod.py").write_text(FUNCTIONS)
    pool = ActionPool(**options)
    try:
        await pool.load("one", folder)
        yield pool
    finally:
        await pool.close()


@pytest.fixture
def with_pool(tmp_path: Path):
    """Runs work on a pool of the functions above."""

    def run(work: Callable[[ActionPool], Awaitable[None]], **options: int) -> None:
        async def within() -> None:
            async with a_pool(tmp_path, **options) as pool:
                await work(pool)

        asyncio.run(within())

    return run


def value(outcome: ActionOutcome) -> object:
    assert outcome.error is None, outcome.error
    assert outcome.value is not None
    return orjson.loads(outcome.value)


def message(outcome: ActionOutcome) -> str:
    assert outcome.error is not None, outcome.value
    assert outcome.error.is_server_made
    return outcome.error.message


def test_an_action_runs_in_a_process_of_its_own_and_asks_through_it(with_pool):
    async def work(pool: ActionPool) -> None:
        [n, pid] = value(await pool.run(call("echo", n=5), Backend()))
        assert n == 5
        assert pid != os.getpid()
        asked = await pool.run(call("ask", path="a:b", n=3), Backend())
        assert value(asked) == ["query", {"n": 3}]
        said = await pool.run(call("speak"), Backend())
        assert said.log_lines == ("[LOG] 'hello' 1",)
        assert value(await pool.run(call("serve"), Backend())) == "ping"

    with_pool(work)


def test_many_actions_run_at_the_same_time_in_one_process(with_pool):
    async def work(pool: ActionPool) -> None:
        backend = Backend()
        running = [asyncio.create_task(pool.run(call("meet"), backend)) for _ in range(50)]
        for _ in running:
            await backend.arrived.acquire()
        backend.go_on.set()
        assert [value(await each) for each in running] == ["went on"] * 50
        pids = {orjson.loads(each.arguments)["pid"] for each in backend.asked}
        assert len(pids) == 1

    with_pool(work)


def test_a_deployment_that_cannot_answer_is_an_error_in_the_action(with_pool):
    async def work(pool: ActionPool) -> None:
        assert value(await pool.run(call("catch"), Backend())) == "Uncaught: no"
        outcome = await pool.run(call("catch"), Backend(is_gone=True))
        assert outcome.error is not None
        assert "nobody is there" in outcome.error.message

    with_pool(work)


def test_actions_see_the_deployments_variables_and_not_the_servers(with_pool, monkeypatch):
    monkeypatch.setenv("SYNCLINE_TEST_SECRET", "secret")

    async def work(pool: ActionPool) -> None:
        seen = value(await pool.run(call("variables"), Backend()))
        assert seen == [{"KEY": "value"}, False, True]

    with_pool(work)


def test_an_action_past_its_time_limit_is_cancelled_and_may_clean_up(with_pool):
    async def work(pool: ActionPool) -> None:
        backend = Backend()
        backend.go_on.set()
        outcome = await pool.run(call("sleep", seconds_max=0.1), backend)
        assert message(outcome) == "Function execution timed out (maximum duration: 0.1s)"
        assert backend.names() == ["meet:here", "meet:cleaned"]
        [_, pid] = value(await pool.run(call("echo", n=1), backend))
        assert {orjson.loads(each.arguments)["pid"] for each in backend.asked} == {pid}

    with_pool(work)


def test_an_action_that_nobody_waits_for_is_cancelled(with_pool):
    async def work(pool: ActionPool) -> None:
        backend = Backend()
        backend.go_on.set()
        running = asyncio.create_task(pool.run(call("sleep"), backend))
        await backend.arrived.acquire()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        # Its process goes on, and serves others.
        value(await pool.run(call("echo", n=1), backend))

    with_pool(work)


def test_a_process_that_dies_fails_its_actions_and_is_replaced(with_pool):
    async def work(pool: ActionPool) -> None:
        backend = Backend()
        beside = asyncio.create_task(pool.run(call("sleep"), backend))
        await backend.arrived.acquire()
        crashed = await pool.run(call("die"), backend)
        for outcome in (crashed, await beside):
            assert "ended before it did" in message(outcome)
            assert "not run again" in message(outcome)
        [n, pid] = value(await pool.run(call("echo", n=2), backend))
        assert n == 2
        os.kill(int(pid), signal.SIGKILL)
        # At once: it may be sent to the dying process, which has not begun it.
        [n, other] = value(await pool.run(call("echo", n=3), backend))
        assert (n, other != pid) == (3, True)

    with_pool(work)


def test_memory_is_limited(with_pool):
    async def work(pool: ActionPool) -> None:
        outcome = await pool.run(call("hoard"), Backend())
        assert outcome.error is not None
        assert outcome.error.message.startswith("Uncaught MemoryError")

    with_pool(work)


def test_while_an_action_blocks_its_process_others_run_in_another_one(with_pool, monkeypatch):
    monkeypatch.setattr(action_link, "BLOCKED_SECONDS", 0.3)

    async def work(pool: ActionPool) -> None:
        backend = Backend()
        blocking = asyncio.create_task(pool.run(call("block", seconds=2.0), backend))
        await backend.arrived.acquire()
        backend.go_on.set()
        [link] = pool._links
        while not link.is_blocked:  # noqa: ASYNC110 - nobody tells of a loop that does not turn
            await asyncio.sleep(0.05)
        [_, pid] = value(await pool.run(call("echo", n=1), backend))
        assert not blocking.done()
        assert value(await blocking) != pid

    with_pool(work)


def test_an_action_that_blocks_past_its_time_limit_is_killed_with_its_process(
    with_pool, monkeypatch
):
    monkeypatch.setattr(action_pool, "OVERDUE_SECONDS", 0.5)

    async def work(pool: ActionPool) -> None:
        backend = Backend()
        backend.go_on.set()
        late = await pool.run(call("block", seconds=30.0, seconds_max=0.2), backend)
        assert message(late) == "Function execution timed out (maximum duration: 0.2s)"
        value(await pool.run(call("echo", n=1), backend))

    with_pool(work)


def test_a_task_that_an_action_leaves_behind_ends_with_it(with_pool):
    async def work(pool: ActionPool) -> None:
        backend = Backend()
        before = value(await pool.run(call("tasks"), backend))
        assert value(await pool.run(call("leaves_tasks"), backend)) is None
        # Its clean-up asks in vain: the action is over.
        while value(await pool.run(call("tasks"), backend)) != before:
            pass
        assert backend.names() == []

    with_pool(work)


def test_closing_cancels_what_runs_and_waits_for_its_clean_up(tmp_path: Path):
    async def work() -> None:
        backend = Backend()
        async with a_pool(tmp_path) as pool:
            running = asyncio.create_task(pool.run(call("sleep"), backend))
            await backend.arrived.acquire()
            backend.go_on.set()
        assert message(await running) == "The action was cancelled."
        assert backend.names() == ["meet:here", "meet:cleaned"]
        with pytest.raises(UnavailableError, match="shutting down"):
            await pool.run(call("echo", n=1), backend)

    asyncio.run(work())


def test_a_bundle_that_does_not_load_says_why_and_the_process_goes_on(
    with_pool, tmp_path_factory: pytest.TempPathFactory
):
    broken = tmp_path_factory.mktemp("broken")
    (broken / "bad.py").write_text("import nothing_like_it\n")

    async def work(pool: ActionPool) -> None:
        with pytest.raises(DeveloperError, match="nothing_like_it"):
            await pool.load("two", broken)
        value(await pool.run(call("echo", n=1), Backend()))

    with_pool(work)


def test_an_action_of_a_bundle_that_was_never_loaded_is_refused(tmp_path: Path):
    async def work() -> None:
        pool = ActionPool()
        with pytest.raises(UnavailableError, match="not loaded"):
            await pool.run(call("echo", n=1), Backend())
        await pool.close()

    asyncio.run(work())

"""Runs actions as tasks on the event loop of this very process.

Action processes (local/action_process.py) and the action Lambda do nothing else; tests and
`syncline.testing` do it beside their engine. Whatever an action does, it comes to an outcome; only
one that is cancelled from outside has none.
"""

import asyncio
from collections.abc import Mapping
from contextvars import Context, ContextVar, copy_context
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from syncline.action_ports import ActionBackend, ActionCall, ActionOutcome, ReadEnvironment
from syncline.drivers.action_files import put_file
from syncline.drivers.http_serving import serve
from syncline.errors import UnavailableError
from syncline.execution.action_context import ActionCtx, ActionRun, reply_value
from syncline.execution.arguments import (
    ServerMadeError,
    check_arguments,
    checked_result,
    decode_arguments,
    encode_result,
)
from syncline.execution.called_function import function_error, require_callable, require_kind
from syncline.execution.determinism.call_state import ACTION_LOG, LogLines
from syncline.execution.determinism.time_limit import timeout_message
from syncline.limits import ACTION_GRACE_SECONDS, NESTED_CALLS_MAX
from syncline.ports import Clock, Entropy
from syncline.registration.loader import load_bundle, unload_bundle
from syncline.schema.catalog import SYSTEM_TABLES

if TYPE_CHECKING:
    from syncline.registration.registry import LoadedBundle

BUNDLES_KEPT: Final = 4
"""Versions of the functions that stay loaded: the serving one, a pushed one, and two to go back."""

_SYSTEM_NAMES: Final[Mapping[int, str]] = {table.number: table.name for table in SYSTEM_TABLES}

_OWNED: ContextVar[set["asyncio.Task[Any]"] | None] = ContextVar("syncline_owned", default=None)
"""The tasks of the action that runs."""


class ActionTasks:
    """The port ActionRunner in this process; loading may take a while, and blocks."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        self._bundles: dict[str, LoadedBundle] = {}
        self._running: set[asyncio.Task[ActionOutcome]] = set()

    async def load(self, bundle: str, folder: Path) -> None:
        """Import a bundle; DeveloperError names file, line and what to do."""
        self.load_now(bundle, folder)

    def load_now(self, bundle: str, folder: Path) -> None:
        """Import a bundle, as `load`."""
        if bundle in self._bundles:
            return
        self._bundles[bundle] = load_bundle(folder, bundle)
        while len(self._bundles) > BUNDLES_KEPT:
            self.unload(next(iter(self._bundles)))

    def unload(self, bundle: str) -> None:
        """Forget a bundle; actions that run go on."""
        loaded = self._bundles.pop(bundle, None)
        if loaded is not None:
            unload_bundle(loaded)

    async def run(self, call: ActionCall, backend: ActionBackend) -> ActionOutcome:
        """Run an action to its end."""
        bundle = self._bundles.get(call.bundle)
        if bundle is None:
            raise UnavailableError("BundleNotLoaded", f"Bundle {call.bundle!r} is not loaded.")
        log = LogLines()
        owned: set[asyncio.Task[Any]] = set()
        context = _context(log, owned)
        work = asyncio.get_running_loop().create_task(
            self._outcome(call, bundle, backend, log), context=context
        )
        self._running.add(work)
        try:
            return await self._within_time(work, call.seconds_max, log)
        finally:
            self._running.discard(work)
            _leave_no_tasks(owned)

    async def _within_time(
        self, work: "asyncio.Task[ActionOutcome]", seconds: float, log: LogLines
    ) -> ActionOutcome:
        """What the action comes to, cancelled when its time is up or nobody wants it any more."""
        try:
            done, _ = await asyncio.wait({work}, timeout=seconds)
        except asyncio.CancelledError:
            await _cancel(work)
            raise
        if done:
            return _result(work, log)
        await _cancel(work)
        error = ServerMadeError("ActionTimedOut", timeout_message(seconds))
        return ActionOutcome(None, function_error(error), tuple(log.lines))

    async def _outcome(
        self, call: ActionCall, bundle: "LoadedBundle", backend: ActionBackend, log: LogLines
    ) -> ActionOutcome:
        try:
            value = await self._perform(call, bundle, backend, log)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Not the action was cancelled, but something that it waited for.
            return ActionOutcome(None, function_error(error), tuple(log.lines))
        except BaseException as error:
            # `sys.exit()` in an action ends it, not who runs it.
            return ActionOutcome(None, function_error(error), tuple(log.lines))
        return ActionOutcome(value, None, tuple(log.lines))

    async def _perform(
        self, call: ActionCall, bundle: "LoadedBundle", backend: ActionBackend, log: LogLines
    ) -> bytes:
        if call.site is not None:
            await serve(bundle.http, call.site, await self._context(call, backend, log), backend)
            return b"null"
        definition = require_callable(
            bundle.definitions.get(call.path),
            call.path,
            is_admin=call.is_admin,
            is_inner=call.is_inner,
        )
        require_kind(definition, "action")
        if call.depth > NESTED_CALLS_MAX:
            raise ServerMadeError(
                "TooManyNestedCalls",
                f"Actions wait for each other more than {NESTED_CALLS_MAX} levels deep.",
            )

        def name_of(number: int) -> str | None:
            return call.tables.get(number) or _SYSTEM_NAMES.get(number)

        ctx = await self._context(call, backend, log)
        arguments = decode_arguments(call.path, call.arguments)
        check_arguments(definition, arguments, name_of)
        returned = await definition.handler(ctx, **definition.bind(arguments))
        return encode_result(call.path, checked_result(definition, returned, name_of))

    async def _context(self, call: ActionCall, backend: ActionBackend, log: LogLines) -> ActionCtx:
        """Made before anything of the action happens, which local/action_pool.py relies on."""
        variables = reply_value(await backend.ask(ReadEnvironment()))
        run = ActionRun(
            backend,
            identity=call.identity,
            environment=msgspec.convert(variables, dict[str, str]),
            log=log,
            clock=self._clock,
            put=partial(asyncio.to_thread, put_file),
            random=Random(self._entropy.bits(128)),  # noqa: S311 - its users are told
        )
        return ActionCtx(run)

    async def close(self) -> None:
        """Cancel what still runs and forget the bundles."""
        for work in tuple(self._running):
            work.cancel()
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=ACTION_GRACE_SECONDS)
        for bundle in tuple(self._bundles):
            self.unload(bundle)


def _context(log: LogLines, owned: set["asyncio.Task[Any]"]) -> Context:
    context = copy_context()
    context.run(ACTION_LOG.set, log)
    context.run(_OWNED.set, owned)
    return context


async def _cancel(work: "asyncio.Task[ActionOutcome]") -> None:
    """Cancel an action and give its `finally` blocks a moment; one that goes on is left alone."""
    work.cancel()
    await asyncio.wait({work}, timeout=ACTION_GRACE_SECONDS)


def _result(work: "asyncio.Task[ActionOutcome]", log: LogLines) -> ActionOutcome:
    if work.cancelled():
        # By its own hand, or with the process's last actions.
        error = ServerMadeError("ActionCancelled", "The action was cancelled.")
        return ActionOutcome(None, function_error(error), tuple(log.lines))
    return work.result()


def _leave_no_tasks(owned: set["asyncio.Task[Any]"]) -> None:
    """Cancel what an action has started and not waited for: its answer is given."""
    for task in owned:
        task.cancel()


def own_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Have every task that an action starts end with it; for loops that run nothing else."""

    def make(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
        owned = _OWNED.get()
        if owned is not None:
            owned.add(task)
            task.add_done_callback(owned.discard)
        return task

    loop.set_task_factory(make)

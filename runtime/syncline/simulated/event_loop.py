"""A deterministic asyncio event loop: virtual time, a seeded order of steps, processes that crash.

Nothing here waits, listens or starts threads. Among the tasks that could go on, the seed chooses
which one does; when none can, the clock jumps to the next timer. What asyncio promises is kept:
plain callbacks (`call_soon`, done callbacks, due timers) of one process run in the order in which
they were registered. Each step also takes a few virtual microseconds, so that timers fire while
others work and a polling loop lets time pass.

**Crash semantics.** Every task and callback belongs to the process in its context. A crashed
process is frozen: no step of it runs any more, so no `except` and no `finally` block either, as
after kill -9; what it had handed to the world before (a row in the log, a message on its way)
stays. Suspended coroutines are kept alive until `close`, because collecting one would run its
`finally` blocks. `close` has to run them in the end, when the loop takes no more work, and drops
what they raise: so look at what a world has left behind before closing it.

An error that nobody handles (a failing callback, a task whose exception is never looked at) ends
the run. Garbage collection is off during a run: it would call finalizers at points that depend on
the history of the interpreter.
"""

import asyncio
import gc
import heapq
import sys
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar, copy_context
from hashlib import blake2b
from random import Random
from typing import Any, Final, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

STEPS_MAX: Final = 5_000_000
"""Steps of one run before it counts as a livelock; ours, far above any workload."""

STEP_NS_MAX: Final = 20_000
"""Virtual time that one step takes: 1 ns up to this."""

TRACE_KEPT: Final = 200
"""Newest steps kept in words for a failure's report."""


class Process:
    """What a crash takes away at once: a name, and whether it has happened."""

    __slots__ = ("is_crashed", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_crashed = False


_process: ContextVar[Process] = ContextVar("process")


def current_process() -> Process:
    """The process whose code is running. LookupError outside of a simulation."""
    return _process.get()


class StuckError(Exception):
    """The run can't end: nothing is left to do (a deadlock), or far too much was done.

    `waiting` names the unfinished tasks of live processes, each with the place where it waits.
    """

    def __init__(self, reason: str, waiting: tuple[str, ...]) -> None:
        super().__init__("\n  ".join((reason, *waiting)))
        self.waiting = waiting


class UnhandledError(Exception):
    """Something of a live process failed and nobody looked; the cause is chained."""


class _Task(asyncio.Task[_T]):
    """A task that can tell whether its failure was ever looked at."""

    @property
    def is_unreported(self) -> bool:
        return bool(self._log_traceback)


class _Entry:
    """A handle with the process that it belongs to, and the task that it steps, if any."""

    __slots__ = ("callback", "handle", "process", "task")

    def __init__(
        self, handle: asyncio.Handle, callback: Callable[..., object], process: Process
    ) -> None:
        self.handle = handle
        self.callback = callback
        self.process = process
        owner = getattr(callback, "__self__", None)
        self.task: _Task[Any] | None = owner if isinstance(owner, _Task) else None

    @property
    def is_void(self) -> bool:
        return self.process.is_crashed or self.handle.cancelled()

    @property
    def label(self) -> str:
        if self.task is not None:
            return self.task.get_name()
        callback = getattr(self.callback, "func", self.callback)
        return str(getattr(callback, "__qualname__", type(callback).__name__))


class SeededLoop(asyncio.AbstractEventLoop):
    """One simulated world's loop; whatever it does not offer (sockets, ...) it refuses.

    Args:
        random: decides the order of steps and what each costs; nobody else may draw from it.
        steps_max: StuckError after so many steps of one run.
    """

    def __init__(self, random: Random, *, steps_max: int = STEPS_MAX) -> None:
        self.root = Process("world")
        self.now_ns = 0
        """Virtual time since the beginning, ns."""
        self.steps = 0
        self.recent: deque[str] = deque(maxlen=TRACE_KEPT)
        """The newest steps and notes, in words."""
        self._random = random
        self._steps_max = steps_max
        self._trace = blake2b(digest_size=16)
        self._ready: list[_Entry | Process] = []
        self._plain: dict[Process, deque[_Entry]] = {}
        self._timers: list[tuple[int, float, int, _Entry]] = []
        self._tasks: dict[_Task[Any], Process] = {}
        self._failed: dict[_Task[Any], Process] = {}
        self._failure: BaseException | None = None
        self._created = 0
        self._is_running = False
        self._is_closed = False

    # Processes

    def context_of(self, process: Process) -> Context:
        """A fresh context: what is called in it belongs to `process`."""
        context = Context()
        context.run(_process.set, process)
        return context

    def spawn(
        self, process: Process, work: Coroutine[Any, Any, _T], *, name: str | None = None
    ) -> asyncio.Task[_T]:
        """A task of `process`, whoever asks for it."""
        return self.create_task(work, name=name, context=self.context_of(process))

    def crash(self, process: Process) -> None:
        """Freeze a process where it stands; see the module's docstring."""
        assert process is not self.root, "the world itself can't crash"
        process.is_crashed = True
        self.note(f"{process.name} crashes")

    def note(self, event: str) -> None:
        """Add an event to the trace: it must then be the same in every run of the seed."""
        line = f"{self.now_ns} {event}"
        self._trace.update(line.encode())
        self.recent.append(line)

    @property
    def trace(self) -> str:
        """A digest of every step and note so far: equal seeds have equal ones."""
        return self._trace.hexdigest()

    # What asyncio asks for

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self.now_ns / 1e9

    def call_soon(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Run soon: steps of tasks in any order, other callbacks of a process in this one."""
        context = copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        self._make_ready(_Entry(handle, callback, context.get(_process, self.root)))
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run `delay` virtual seconds from now."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run at a virtual time; equal times in any order."""
        context = copy_context() if context is None else context
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        entry = _Entry(handle, callback, context.get(_process, self.root))
        self._created += 1
        timer = (round(when * 1e9), self._random.random(), self._created, entry)
        heapq.heappush(self._timers, timer)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are passed over when they are due."""

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[_T]:
        """A task of the process of its context, named alike in every run of the seed."""
        context = copy_context() if context is None else context
        self._created += 1
        if name is None:
            name = f"{getattr(coro, '__qualname__', 'task')}-{self._created}"
        task = _Task(coro, loop=self, name=name, context=context)
        self._tasks[task] = context.get(_process, self.root)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Somebody's error that nobody handles: the run ends with it."""
        if self._is_closed or self._failure is not None:
            return
        self._failure = UnhandledError(str(context["message"]))
        self._failure.__cause__ = context.get("exception")

    def get_debug(self) -> bool:
        """Never: the debug mode measures real time."""
        return False

    # Running

    def run_until_complete(self, future: Generator[Any, None, _T] | Awaitable[_T]) -> _T:
        """Run until `future` is done, and return its result.

        Raises:
            StuckError: it never will be.
            UnhandledError: something failed and nobody looked.
        """
        assert not self._is_running, "the loop is running already"
        assert not self._is_closed, "the world is over"
        assert not isinstance(future, Generator), "bare generators are not awaited here"
        with self._as_running_loop():
            name = getattr(future, "__qualname__", "main")
            awaited = self.spawn(self.root, _result_of(future), name=name)
            while not awaited.done():
                self._step()
                if self._failure is not None:
                    raise self._failure
            result = awaited.result()
            self._raise_unreported()
            return result

    @contextmanager
    def _as_running_loop(self) -> Generator[None]:
        hooks = sys.get_asyncgen_hooks()
        is_collecting = gc.isenabled()
        gc.disable()
        sys.set_asyncgen_hooks(finalizer=self._close_generator)
        asyncio._set_running_loop(self)  # noqa: SLF001 - what every event loop has to call
        self._is_running = True
        try:
            yield
        finally:
            self._is_running = False
            asyncio._set_running_loop(None)  # noqa: SLF001 - what every event loop has to call
            sys.set_asyncgen_hooks(*hooks)
            if is_collecting:
                gc.enable()

    def _close_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        if not self._is_closed:
            self.call_soon(self.create_task, generator.aclose())

    def _raise_unreported(self) -> None:
        for task, process in self._failed.items():
            if task.is_unreported and not process.is_crashed:
                raise UnhandledError(
                    f"{task.get_name()} of {process.name} failed and nobody looked"
                ) from task.exception()

    def _make_ready(self, entry: _Entry) -> None:
        """Plain callbacks queue up; a turn of their process runs the oldest one."""
        if entry.task is not None:
            self._ready.append(entry)
            return
        self._plain.setdefault(entry.process, deque()).append(entry)
        self._ready.append(entry.process)

    def _step(self) -> None:
        self._fire_timers()
        turn = self._draw()
        entry = self._plain[turn].popleft() if isinstance(turn, Process) else turn
        if entry.is_void:
            return
        self.steps += 1
        if self.steps > self._steps_max:
            raise self._stuck(f"No end after {self._steps_max} steps; at work are")
        self.now_ns += self._random.randrange(1, STEP_NS_MAX)
        self.note(f"{entry.process.name}: {entry.label}")
        entry.handle._run()  # noqa: SLF001 - what every event loop has to call
        self._look_at(entry)

    def _fire_timers(self) -> None:
        """Make due timers ready; when nothing else is, let time pass until one is due."""
        timers = self._timers
        while timers and (timers[0][3].is_void or timers[0][0] <= self.now_ns or not self._ready):
            when, _, _, entry = heapq.heappop(timers)
            if not entry.is_void:
                self.now_ns = max(self.now_ns, when)
                self._make_ready(entry)

    def _draw(self) -> _Entry | Process:
        ready = self._ready
        if not ready:
            raise self._stuck("Deadlock: nothing is left to do, and still waiting are")
        at = self._random.randrange(len(ready))
        ready[at], ready[-1] = ready[-1], ready[at]
        return ready.pop()

    def _stuck(self, reason: str) -> StuckError:
        """A failure that nobody looked at explains more than that nothing goes on after it."""
        self._raise_unreported()
        return StuckError(reason, self.waiting())

    def _look_at(self, entry: _Entry) -> None:
        task = entry.task
        if task is not None and task.done():
            del self._tasks[task]
            if task.is_unreported:
                self._failed[task] = entry.process

    def waiting(self) -> tuple[str, ...]:
        """Unfinished tasks of live processes, oldest first, each with where it waits."""
        return tuple(
            f"{process.name}: {task.get_name()} {_place(task.get_coro())}"
            for task, process in self._tasks.items()
            if not process.is_crashed
        )

    def close(self) -> None:
        """End the world: every process is dropped, its `finally` blocks run in vain."""
        assert not self._is_running, "a running loop can't be closed"
        self._is_closed = True
        for task in self._tasks:
            # What a dead process would still have said or raised is not part of the world.
            with suppress(Exception):
                task.get_coro().close()
        self._tasks.clear()
        self._failed.clear()
        self._ready.clear()
        self._plain.clear()
        self._timers.clear()


async def _result_of(future: Awaitable[_T]) -> _T:
    return await future


def _place(work: object) -> str:
    """Where a coroutine is suspended: file, line and function of the innermost frame."""
    frame = None
    while work is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(work, f"{kind}_frame", None) or frame
            inner = getattr(work, f"{kind}_await", None) or getattr(work, f"{kind}_yieldfrom", None)
            if inner is not None:
                break
        work = inner
    if frame is None:
        return "(not started)"
    code = frame.f_code
    return f"at {code.co_filename.rpartition('/')[2]}:{frame.f_lineno} in {code.co_qualname}"


def run(main: Coroutine[Any, Any, _T], seed: int) -> _T:
    """Run `main` in a world of its own, as the seed decides, and end that world."""
    loop = SeededLoop(Random(seed))  # noqa: S311 - to be repeatable is its purpose
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()

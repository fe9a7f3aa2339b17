"""An executor: a process that loads functions and steps their coroutines, one step at a time.

Started by the pool as `python -m syncline.local.executor_process SOCKET HEARTBEAT` with two
inherited descriptors. It has no event loop, so user code finds none to escape to; calls that wait
for reads are set aside while others are stepped. It ends when the socket does.

Import only what stepping needs: the memory of this process is paid for once per executor.
"""

import gc
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from pathlib import Path

import msgspec

from syncline.errors import DeveloperError
from syncline.execution.determinism.rerun_check import CheckedRun
from syncline.execution.determinism.time_limit import (
    LOAD_SECONDS_MAX,
    TimeLimit,
    TimeLimitExceeded,
)
from syncline.execution.function_call import Execution, NeedReads
from syncline.limits import FUNCTION_GRACE_SECONDS, FUNCTION_SECONDS_MAX
from syncline.local.executor_frames import (
    CATALOGS_KEPT,
    Broken,
    Cancel,
    Finished,
    FromExecutor,
    LoadBundle,
    Loaded,
    LoadFailed,
    Pages,
    Reads,
    Ready,
    Run,
    ToExecutor,
    UnloadBundle,
    UseCatalog,
)
from syncline.local.framing import FrameReader, append_frame
from syncline.local.heartbeat import Heartbeat
from syncline.ports import FunctionCall, FunctionOutcome, Page
from syncline.registration.loader import load_bundle, unload_bundle
from syncline.registration.registry import LoadedBundle
from syncline.schema.catalog import Catalog
from syncline.values import wire_json

RECEIVE_BYTES = 256 * 1024
FLUSH_SECONDS = 0.0005
"""Answers wait for each other at most so long: many go in one write, none is late."""

POLL_SECONDS = 0.0015
"""How long to poll for the next call before sleeping; ours: about one durable mutation."""

YIELD_SECONDS_MAX = 0.0005
"""A yield that takes longer went to somebody who wants the processor for work of their own. Alone
it takes a microsecond, and the processes of one mutation hand the processor on sooner than that."""

SHORT_WAITS = 8
"""So many in a row before polling begins: a mutation and the queries that it touches make a few."""

SHORT_WAITS_MAX = 4096
"""So many on a machine that is always busy with something else; ours, some seconds of load."""


class _StartedCall:
    """A call that is being stepped or waits for pages.

    It has context variables of its own, as a task would: what a call sets, or an interrupt leaves
    set, is not seen by the next one.
    """

    __slots__ = ("_context", "_run", "own_seconds")

    def __init__(self, run: Execution | CheckedRun[NeedReads]) -> None:
        self._run = run
        self._context = copy_context()
        self.own_seconds = 0.0

    def step(self, pages: list[Page] | None) -> NeedReads | FunctionOutcome:
        """Go on with the pages asked for."""
        return self._context.run(self._run.step, pages)

    def time_out(self) -> FunctionOutcome:
        """The outcome after an interrupt."""
        return self._run.time_out(FUNCTION_SECONDS_MAX)

    def close(self) -> None:
        """Give the call up."""
        self._context.run(self._run.close)


class Executor:
    """The loop over frames; see the head of this file."""

    def __init__(self, connection: socket.socket, heartbeat: Heartbeat, *, is_rerun: bool) -> None:
        """`is_rerun`: make each call twice and compare (determinism/rerun_check)."""
        self._is_rerun = is_rerun
        self._seconds_max = FUNCTION_SECONDS_MAX * (2 if is_rerun else 1)
        self._connection = connection
        self._heartbeat = heartbeat
        self._limit = TimeLimit(_end_if_orphaned(os.getppid()))
        self._decode = msgspec.msgpack.Decoder(ToExecutor).decode
        self._bundles: dict[str, LoadedBundle] = {}
        self._catalogs: deque[tuple[int, Catalog]] = deque(maxlen=CATALOGS_KEPT)
        self._calls: dict[int, _StartedCall] = {}
        self._outgoing = bytearray()
        self._flushed_at = 0.0
        self._short_waits = 0
        self._waits_asked = SHORT_WAITS
        # One for all calls: a new one of this size is mapped and unmapped each time, 15 us.
        self._incoming = memoryview(bytearray(RECEIVE_BYTES))

    def serve(self) -> None:
        """Handle frames until the other end goes away."""
        self._send(Ready())
        self._flush()
        frames = FrameReader()
        while data := self._receive():
            self._flushed_at = time.monotonic()
            for frame in frames.feed(data):
                self._handle(self._decode(frame))
            self._flush()

    def _receive(self) -> bytes:
        """The next bytes; none: the other end is gone.

        After a row of short waits the next one is likely to be short too, and to be woken costs
        more than that: so the socket is polled for a moment first. Not while somebody else wants
        this processor: the scheduler is slow to come back to who has yielded to others, so each
        time that it happens, twice as long a row is asked for.
        """
        began = time.monotonic()
        size = None
        if self._short_waits >= self._waits_asked:
            size = self._poll(began)
        if size is None:
            size = self._connection.recv_into(self._incoming)
        is_short = time.monotonic() - began < POLL_SECONDS
        self._short_waits = self._short_waits + 1 if is_short else 0
        return bytes(self._incoming[:size])

    def _poll(self, began: float) -> int | None:
        """How much has come in a moment's time; None: nothing, or the processor was wanted."""
        receive, incoming = self._connection.recv_into, self._incoming
        now = began
        while now - began < POLL_SECONDS:
            try:
                size = receive(incoming, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                os.sched_yield()
            else:
                self._waits_asked = max(self._waits_asked - 1, SHORT_WAITS)
                return size
            before, now = now, time.monotonic()
            if now - before > YIELD_SECONDS_MAX:
                self._short_waits = 0
                self._waits_asked = min(self._waits_asked * 2, SHORT_WAITS_MAX)
                return None
        return None

    def _handle(self, message: ToExecutor) -> None:
        match message:
            case Run():
                self._start(message)
            case Pages():
                # A canceled call's pages may still arrive.
                if message.number in self._calls:
                    self._step(message.number, message.pages)
            case UseCatalog():
                rows = wire_json.decode(message.rows)
                assert isinstance(rows, list)
                catalog = Catalog.from_rows(
                    [row for row in rows if isinstance(row, dict)], message.version
                )
                self._catalogs.append((message.number, catalog))
            case Cancel():
                if message.number in self._calls:
                    self._give_up(message.number)
            case LoadBundle():
                self._load(message)
            case UnloadBundle():
                bundle = self._bundles.pop(message.bundle, None)
                if bundle is not None:
                    unload_bundle(bundle)
                    gc.unfreeze()
                    _settle_memory()

    def _start(self, run: Run) -> None:
        bundle = self._bundles.get(run.bundle)
        if bundle is None:
            self._send(Broken(run.number, f"The bundle {run.bundle} is not loaded here."))
            return
        catalog = next(each for number, each in self._catalogs if number == run.catalog)
        call = FunctionCall(
            kind=run.kind,
            path=run.path,
            arguments=run.arguments,
            identity=run.identity,
            is_admin=run.is_admin,
            begin_ts=run.begin_ts,
            now_ns=run.now_ns,
            seed=run.seed,
            journal=run.journal,
            bundle=run.bundle,
            catalog=catalog,
            request_id=run.request_id,
            is_inner=run.is_inner,
            scheduled=run.scheduled,
        )
        start = partial(Execution, call, bundle)
        self._calls[run.number] = _StartedCall(CheckedRun(start) if self._is_rerun else start())
        self._step(run.number, None)

    def _step(self, number: int, pages: list[Page] | None) -> None:
        """Step a call until it wants pages or ends, and say which."""
        answer = self._answer(number, pages)
        self._heartbeat.end()
        if number in self._calls and not isinstance(answer, Reads):
            self._give_up(number)
        self._send(answer)
        if time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            self._flush()

    def _answer(self, number: int, pages: list[Page] | None) -> Reads | Finished | Broken:
        """Step a call within its time; it is forgotten if it returned."""
        call = self._calls[number]
        left = self._seconds_max - call.own_seconds
        began = time.monotonic()
        self._heartbeat.begin(number, began + left + FUNCTION_GRACE_SECONDS)
        try:
            result = self._limit.run(left, call.step, pages)
        except TimeLimitExceeded:
            return Finished(number, call.time_out())
        except BaseException:
            # A defect of ours at one call must not take the others with it.
            return Broken(number, traceback.format_exc())
        call.own_seconds += time.monotonic() - began
        if not isinstance(result, FunctionOutcome):
            return Reads(number, list(result.reads))
        del self._calls[number]
        return Finished(number, msgspec.structs.replace(result, own_seconds=call.own_seconds))

    def _give_up(self, number: int) -> None:
        """Forget a call that has not returned.

        Closing its coroutine runs user code once more, and dropping it may do so again: both happen
        here, for a limited time and under the eyes of the watchdog.
        """
        self._heartbeat.begin(number, time.monotonic() + 2 * FUNCTION_GRACE_SECONDS)
        # What such code raises has nobody to go to: the call is answered or canceled.
        with suppress(BaseException):
            self._limit.run(FUNCTION_GRACE_SECONDS, self._drop, number)
        self._heartbeat.end()

    def _drop(self, number: int) -> None:
        self._calls.pop(number).close()

    def _load(self, message: LoadBundle) -> None:
        self._flush()
        deadline = time.monotonic() + LOAD_SECONDS_MAX + FUNCTION_GRACE_SECONDS
        self._heartbeat.begin(0, deadline)
        try:
            bundle = self._limit.run(LOAD_SECONDS_MAX, _load, message)
            self._bundles[message.bundle] = bundle
            self._send(Loaded(message.bundle, msgspec.to_builtins(bundle.spec)))
        except DeveloperError as error:
            self._send(LoadFailed(message.bundle, error.code, error.message))
        except TimeLimitExceeded:
            text = (
                f"Loading the functions took more than {LOAD_SECONDS_MAX:g} s: move work that "
                "modules do while they are imported into functions."
            )
            self._send(LoadFailed(message.bundle, "LoadTooSlow", text))
        finally:
            self._heartbeat.end()
        # User modules may have taken the signal; what they made lives as long as the process.
        self._limit.install()
        self._flush()
        _settle_memory()

    def _send(self, message: FromExecutor) -> None:
        append_frame(self._outgoing, message)

    def _flush(self) -> None:
        if self._outgoing:
            self._connection.sendall(self._outgoing)
            self._outgoing.clear()
        self._flushed_at = time.monotonic()


def _settle_memory() -> None:
    """Collect once, then keep what is loaded out of every later collection."""
    gc.collect()
    gc.freeze()


def _load(message: LoadBundle) -> LoadedBundle:
    return load_bundle(Path(message.folder), message.bundle)


def _end_if_orphaned(parent: int) -> Callable[[], None]:
    """A check for the moment when user code won't stop: nobody may be left to kill us."""

    def check() -> None:
        if os.getppid() != parent:
            os._exit(1)

    return check


def main() -> None:
    """Entry point: descriptors of socket and heartbeat, bytes of memory, 1 to run calls twice."""
    socket_fd, heartbeat_fd, memory_bytes_max, is_rerun = map(int, sys.argv[1:5])
    for fd in (socket_fd, heartbeat_fd):
        os.set_inheritable(fd, False)  # noqa: FBT003 - it takes no keyword
    # Ctrl-C in a terminal reaches the whole group; the pool decides when executors end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes_max, memory_bytes_max))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A pool that goes away in the middle of a frame is an end like any other.
    with socket.socket(fileno=socket_fd) as connection, suppress(ConnectionError):
        Executor(connection, Heartbeat(heartbeat_fd), is_rerun=bool(is_rerun)).serve()


if __name__ == "__main__":
    main()

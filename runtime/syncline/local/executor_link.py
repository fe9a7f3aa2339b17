"""The pool's end of one executor process: starts it, speaks its frames, notices its death."""

import asyncio
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from syncline.bundle_spec import BundleSpec, CronSpec, FunctionSpec, ProviderSpec
from syncline.errors import DeveloperError
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
from syncline.ports import FunctionCall, FunctionOutcome, SnapshotReads
from syncline.values import wire_json

if TYPE_CHECKING:
    from syncline.schema.catalog import Catalog

HELD_UP_SECONDS = 0.02
"""A step that has lasted longer holds up the other calls of its process; usual ones take 0.1 ms."""

_decode = msgspec.msgpack.Decoder(FromExecutor).decode


class ExecutorLost(Exception):  # noqa: N818 - says what happened to the process
    """The process is gone before it had answered."""

    def __init__(self, *, was_stepping: bool, timed_out: bool) -> None:
        super().__init__("The executor process is gone.")
        self.was_stepping = was_stepping
        """The process went while it stepped this very call."""
        self.timed_out = timed_out
        """The watchdog ended it, because that step took too long."""


class HeldUp(Exception):  # noqa: N818 - says what happened to the call
    """The call waits behind another call's long step and had better run in another process."""


class ExecutorError(RuntimeError):
    """The executor failed at a call in a way that is a defect of ours."""


class ExecutorLink(asyncio.Protocol):
    """One executor process and what is asked of it."""

    def __init__(
        self, environment: Mapping[str, str], options: Sequence[int], on_lost: Callable[[], None]
    ) -> None:
        """Start the process; `on_lost` is called once when it is gone without `stop`.

        `options` are those of `executor_process.main` after the descriptors.
        """
        self._on_lost = on_lost
        self._heartbeat = Heartbeat.create()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self.process = _spawn(environment, theirs, self._heartbeat, options)
        self._transport: asyncio.Transport | None = None
        self._frames = FrameReader()
        self._outgoing = bytearray()
        self._flushing = False
        self._numbers = 0
        self._waiting: dict[int, asyncio.Future[Reads | Finished]] = {}
        self._loading: dict[str, asyncio.Future[BundleSpec]] = {}
        self._bundles: set[str] = set()
        self._catalogs: deque[tuple[int, Catalog]] = deque(maxlen=CATALOGS_KEPT)
        self._catalogs_sent = 0
        self.is_settled = False
        """It has started and answered its first loads: what happens now is the calls' doing."""
        self.is_alive = True

    @property
    def calls(self) -> int:
        """How many calls it is busy with."""
        return len(self._waiting)

    @property
    def is_held_up(self) -> bool:
        """A step has lasted so long that other calls had better go elsewhere: a hint."""
        _, deadline = self._heartbeat.read()
        longest = FUNCTION_SECONDS_MAX + FUNCTION_GRACE_SECONDS
        return deadline != 0.0 and deadline - time.monotonic() < longest - HELD_UP_SECONDS

    async def connect(self) -> None:
        """Attach to the running event loop."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self, sock=self._socket)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        for frame in self._frames.feed(data):
            self._take(_decode(frame))

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        self._lose(timed_out=False)

    def _take(self, message: FromExecutor) -> None:
        match message:
            case Reads() | Finished():
                future = self._waiting.get(message.number)
                # A canceled call's answer may still arrive.
                if future is not None and not future.done():
                    future.set_result(message)
            case Broken():
                future = self._waiting.get(message.number)
                if future is not None and not future.done():
                    future.set_exception(ExecutorError(message.message))
            case Ready():
                self.is_settled = not self._loading
            case Loaded():
                self._loaded(message.bundle).set_result(_spec(message.spec))
            case LoadFailed():
                error = DeveloperError(message.code, message.message)
                self._bundles.discard(message.bundle)
                self._loaded(message.bundle).set_exception(error)

    def _loaded(self, bundle: str) -> "asyncio.Future[BundleSpec]":
        future = self._loading.pop(bundle)
        self.is_settled = not self._loading
        return future

    def load(self, bundle: str, folder: Path) -> "asyncio.Future[BundleSpec]":
        """Import a folder; fails with DeveloperError or ExecutorLost."""
        if bundle in self._loading:
            return self._loading[bundle]
        future: asyncio.Future[BundleSpec] = asyncio.get_running_loop().create_future()
        # Whoever restarts a process need not look at what it loads again.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._loading[bundle] = future
        self._bundles.add(bundle)
        self._send(LoadBundle(bundle, str(folder.absolute())))
        return future

    def knows(self, bundle: str) -> bool:
        """Whether it was told to load the bundle."""
        return bundle in self._bundles

    def unload(self, bundle: str) -> None:
        """Forget a bundle."""
        self._bundles.discard(bundle)
        self._send(UnloadBundle(bundle))

    async def run(
        self, call: FunctionCall, reads: SnapshotReads, asked: list[Reads]
    ) -> FunctionOutcome:
        """Run a call to its end; `asked` collects what it asked for, also if it has no end.

        Raises:
            ExecutorLost: the process went meanwhile.
            HeldUp: `let_go` was called while it waited.
            ExecutorError: a defect of ours.
        """
        self._numbers += 1
        number = self._numbers
        self._send(self._run_frame(number, call))
        future_of = asyncio.get_running_loop().create_future
        try:
            while True:
                future: asyncio.Future[Reads | Finished] = future_of()
                self._waiting[number] = future
                answer = await future
                if isinstance(answer, Finished):
                    return answer.outcome
                asked.append(answer)
                pages = await reads.read(answer.reads)
                if not self.is_alive:
                    raise ExecutorLost(was_stepping=False, timed_out=False)
                self._send(Pages(number, list(pages)))
        except BaseException:
            if self.is_alive:
                self._send(Cancel(number))
            raise
        finally:
            del self._waiting[number]

    def _run_frame(self, number: int, call: FunctionCall) -> Run:
        return Run(
            number=number,
            catalog=self._catalog_number(call.catalog),
            kind=call.kind,
            path=call.path,
            arguments=call.arguments,
            identity=call.identity,
            is_admin=call.is_admin,
            begin_ts=call.begin_ts,
            now_ns=call.now_ns,
            seed=call.seed,
            journal=call.journal,
            bundle=call.bundle,
            request_id=call.request_id,
            is_inner=call.is_inner,
            scheduled=call.scheduled,
        )

    def _catalog_number(self, catalog: "Catalog") -> int:
        """The number under which the process knows the catalog, after sending it if it must."""
        for number, sent in reversed(self._catalogs):
            if sent is catalog:
                return number
        self._catalogs_sent += 1
        self._catalogs.append((self._catalogs_sent, catalog))
        rows = wire_json.encode([dict(row) for row in catalog.rows()])
        self._send(UseCatalog(self._catalogs_sent, catalog.version, rows))
        return self._catalogs_sent

    def _send(self, message: ToExecutor) -> None:
        append_frame(self._outgoing, message)
        if not self._flushing:
            # One write a tick of the loop, however many calls start in it.
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._transport is not None and self._outgoing:
            self._transport.write(bytes(self._outgoing))
            self._outgoing.clear()

    def look(self) -> None:
        """Kill the process if it is past its deadline, seen twice so that no torn read kills."""
        if not self.is_alive:
            return
        call, deadline = self._heartbeat.read()
        if deadline == 0.0 or time.monotonic() < deadline:
            return
        if (call, deadline) == self._heartbeat.read():
            self._lose(timed_out=True)

    def let_go(self) -> None:
        """Have the calls that wait behind a long step run elsewhere."""
        stepping, deadline = self._heartbeat.read()
        if (stepping, deadline) != self._heartbeat.read():
            return
        for number, future in self._waiting.items():
            if number != stepping and not future.done():
                future.set_exception(HeldUp())

    def stop(self) -> None:
        """Close the connection, upon which the process ends by itself; calls fail."""
        if self.is_alive:
            self._end(None, timed_out=False)

    def _lose(self, *, timed_out: bool) -> None:
        """The process is gone, or goes now: tell who waits."""
        if not self.is_alive:
            return
        call, deadline = self._heartbeat.read()
        self.process.kill()
        self._end(call if deadline else None, timed_out=timed_out)
        self._on_lost()

    def _end(self, stepping: int | None, *, timed_out: bool) -> None:
        """Fail who waits; `stepping`: the call that is to blame, 0 for a load."""
        self.is_alive = False
        if self._transport is not None:
            self._transport.abort()
        else:
            self._socket.close()
        for number, future in self._waiting.items():
            if not future.done():
                blamed = number == stepping
                future.set_exception(ExecutorLost(was_stepping=blamed, timed_out=timed_out))
        for future in self._loading.values():
            future.set_exception(ExecutorLost(was_stepping=stepping == 0, timed_out=timed_out))
        self._loading.clear()
        self._heartbeat.close()


def _spawn(
    environment: Mapping[str, str],
    connection: socket.socket,
    heartbeat: Heartbeat,
    options: Sequence[int],
) -> "subprocess.Popen[bytes]":
    arguments = map(str, (connection.fileno(), heartbeat.fd, *options))
    return subprocess.Popen(
        # -P: modules in the current directory must not shadow the standard library.
        [sys.executable, "-P", "-m", "syncline.local.executor_process", *arguments],
        env=environment,
        pass_fds=(connection.fileno(), heartbeat.fd),
        stdin=subprocess.DEVNULL,
        # What user code writes past `print` must not mix with what a command prints as its result.
        stdout=2,
    )


def _spec(data: dict[str, Any]) -> BundleSpec:
    return BundleSpec(
        functions=tuple(FunctionSpec(**function) for function in data["functions"]),
        modules=data["modules"],
        schema=data["schema"],
        auth=msgspec.convert(data["auth"], tuple[ProviderSpec, ...]),
        http=tuple(data["http"]),
        crons=msgspec.convert(data["crons"], tuple[CronSpec, ...]),
    )

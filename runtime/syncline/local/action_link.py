"""The pool's end of one action process: starts it, speaks its frames, notices its death."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import msgspec

from syncline.action_ports import ActionBackend, ActionCall, ActionOutcome
from syncline.errors import DeveloperError, UnavailableError
from syncline.local.action_frames import (
    Answered,
    Ask,
    CancelAction,
    Ended,
    Failed,
    FromActions,
    LoadBundle,
    Loaded,
    LoadFailed,
    Ready,
    RunAction,
    ToActions,
    Unanswered,
)
from syncline.local.framing import FrameReader, append_frame
from syncline.local.heartbeat import Heartbeat

BLOCKED_SECONDS = 1.0
"""A loop that has not turned for so long is blocked; it turns ten times a second otherwise."""

_OVER = ("ActionEnded", "The action is over: await what it starts before it returns.")

_decode = msgspec.msgpack.Decoder(FromActions).decode


class ActionsLost(Exception):  # noqa: N818 - says what happened to the process
    """The process is gone, and with it every action that ran in it."""

    def __init__(self, *, had_begun: bool) -> None:
        super().__init__("The action process is gone.")
        self.had_begun = had_begun
        """Some of the action may have happened. Its first request comes before its own code."""


class _Running:
    """An action that runs, and what it has asked."""

    def __init__(self, backend: ActionBackend) -> None:
        self.backend = backend
        self.ended: asyncio.Future[ActionOutcome] = asyncio.get_running_loop().create_future()
        self.asks: set[asyncio.Task[None]] = set()
        self.has_begun = False


class ActionLink(asyncio.Protocol):
    """One action process and what runs in it."""

    def __init__(
        self, environment: Mapping[str, str], memory_bytes_max: int, on_lost: Callable[[], None]
    ) -> None:
        """Start the process; `on_lost` is called once when it is gone without `stop`."""
        self._on_lost = on_lost
        self._heartbeat = Heartbeat.create()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self.process = _spawn(environment, theirs, self._heartbeat, memory_bytes_max)
        self._transport: asyncio.Transport | None = None
        self._frames = FrameReader()
        self._outgoing = bytearray()
        self._numbers = 0
        self._running: dict[int, _Running] = {}
        self._loading: dict[str, asyncio.Future[None]] = {}
        self._bundles: set[str] = set()
        self.is_settled = False
        """It has started: what happens now is the actions' doing."""
        self.is_alive = True

    @property
    def calls(self) -> int:
        """How many actions run in it."""
        return len(self._running)

    @property
    def is_blocked(self) -> bool:
        """Whether an action keeps the loop from turning, and so the others waiting."""
        _, beat = self._heartbeat.read()
        return beat != 0.0 and time.monotonic() - beat > BLOCKED_SECONDS

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
        self.lose()

    def _take(self, message: FromActions) -> None:
        match message:
            case Ask():
                running = self._running.get(message.number)
                if running is None or running.ended.done():
                    # What an action left behind, or one that nobody waits for any more.
                    self._send(Unanswered(message.number, message.ask, *_OVER))
                else:
                    task = asyncio.get_running_loop().create_task(self._answer(running, message))
                    running.asks.add(task)
                    task.add_done_callback(running.asks.discard)
            case Ended():
                running = self._running.get(message.number)
                if running is not None and not running.ended.done():
                    running.ended.set_result(message.outcome)
            case Failed():
                running = self._running.get(message.number)
                if running is not None and not running.ended.done():
                    running.ended.set_exception(UnavailableError(message.code, message.message))
            case Ready():
                self.is_settled = True
            case Loaded():
                self._loading.pop(message.bundle).set_result(None)
            case LoadFailed():
                self._bundles.discard(message.bundle)
                error = DeveloperError(message.code, message.message)
                self._loading.pop(message.bundle).set_exception(error)

    async def _answer(self, running: _Running, message: Ask) -> None:
        number, ask = message.number, message.ask
        try:
            answer: ToActions = Answered(number, ask, await running.backend.ask(message.request))
        except UnavailableError as error:
            answer = Unanswered(number, ask, error.code, error.message)
        except Exception:
            # A defect of ours: the action is told, and we hear of it.
            self._send(
                Unanswered(number, ask, "InternalServerError", "The request couldn't be completed.")
            )
            raise
        running.has_begun = True
        self._send(answer)

    def load(self, bundle: str, folder: Path) -> "asyncio.Future[None]":
        """Import a folder, once; fails with DeveloperError or ActionsLost."""
        loop = asyncio.get_running_loop()
        if bundle in self._loading:
            return self._loading[bundle]
        future: asyncio.Future[None] = loop.create_future()
        if bundle in self._bundles:
            future.set_result(None)
            return future
        # Whoever restarts a process need not look at what it loads again.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._loading[bundle] = future
        self._bundles.add(bundle)
        self._send(LoadBundle(bundle, str(folder.absolute())))
        return future

    async def run(
        self, call: ActionCall, backend: ActionBackend, overdue_seconds: float
    ) -> ActionOutcome:
        """Run an action to its end; if this is cancelled, so is the action.

        Raises:
            ActionsLost: the process went meanwhile.
            TimeoutError: the action has not ended after `overdue_seconds`.
            UnavailableError: it could not be started.
        """
        self._numbers += 1
        number = self._numbers
        running = self._running[number] = _Running(backend)
        self._send(RunAction(number, call))
        try:
            return await asyncio.wait_for(running.ended, overdue_seconds)
        except asyncio.CancelledError:
            self._cancel(number)
            raise
        finally:
            del self._running[number]
            for task in running.asks:
                task.cancel()

    def cancel_all(self) -> "list[asyncio.Future[ActionOutcome]]":
        """Cancel every action; these are their outcomes."""
        for number in self._running:
            self._cancel(number)
        return [running.ended for running in self._running.values()]

    def _cancel(self, number: int) -> None:
        if self.is_alive:
            self._send(CancelAction(number))

    def _send(self, message: ToActions) -> None:
        if self.is_alive:
            append_frame(self._outgoing, message)
            self._flush()

    def _flush(self) -> None:
        if self._transport is not None and self._outgoing:
            self._transport.write(bytes(self._outgoing))
            self._outgoing.clear()

    def lose(self) -> None:
        """The process is gone, or goes now: tell who waits."""
        if self.is_alive:
            self.stop()
            self.process.kill()
            self._on_lost()

    def stop(self) -> None:
        """Close the connection, upon which the process ends by itself; actions fail."""
        if not self.is_alive:
            return
        self.is_alive = False
        if self._transport is not None:
            self._transport.abort()
        else:
            self._socket.close()
        for running in self._running.values():
            if not running.ended.done():
                running.ended.set_exception(ActionsLost(had_begun=running.has_begun))
        for future in self._loading.values():
            future.set_exception(ActionsLost(had_begun=False))
        self._loading.clear()
        self._heartbeat.close()


def _spawn(
    environment: Mapping[str, str],
    connection: socket.socket,
    heartbeat: Heartbeat,
    memory_bytes_max: int,
) -> "subprocess.Popen[bytes]":
    arguments = map(str, (connection.fileno(), heartbeat.fd, memory_bytes_max))
    return subprocess.Popen(
        # -P: modules in the current directory must not shadow the standard library.
        [sys.executable, "-P", "-m", "syncline.local.action_process", *arguments],
        env=environment,
        pass_fds=(connection.fileno(), heartbeat.fd),
        stdin=subprocess.DEVNULL,
        # What user code writes past `print` must not mix with what a command prints as its result.
        stdout=2,
    )

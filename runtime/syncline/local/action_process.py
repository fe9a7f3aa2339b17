"""An action process: an event loop that runs actions, and asks the server for what they need.

Started by the pool as `python -m syncline.local.action_process SOCKET HEARTBEAT MEMORY` with two
inherited descriptors. Apart from the executors, since actions may do anything, and apart from the
server, since one that blocks or crashes must harm nobody but its like. It ends when the socket
does.
"""

import asyncio
import itertools
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import msgspec

from syncline.action_ports import ActionOutcome, ActionReply, ActionRequest
from syncline.drivers.action_tasks import ActionTasks, own_tasks
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
from syncline.machine import SystemClock, SystemEntropy
from syncline.ports import FunctionError

BEAT_SECONDS = 0.1
"""How often a process with actions says that its loop turns."""

CANCELLED = ActionOutcome(
    None, FunctionError("The action was cancelled.", is_server_made=True, data=None)
)


class ActionProcess(asyncio.Protocol):
    """The frames of one process and the actions behind them."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self._heartbeat = heartbeat
        self._tasks = ActionTasks(SystemClock(), SystemEntropy())
        self._decode = msgspec.msgpack.Decoder(ToActions).decode
        self._frames = FrameReader()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._asked: dict[tuple[int, int], asyncio.Future[ActionReply]] = {}
        self._outgoing = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self.send(Ready())

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        if not self.ended.done():
            self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        for frame in self._frames.feed(data):
            self._take(self._decode(frame))

    def _take(self, message: ToActions) -> None:
        match message:
            case RunAction():
                self._start(message.number, self._run(message))
            case CancelAction():
                if (task := self._running.get(message.number)) is not None:
                    task.cancel()
            case Answered():
                if (asked := self._asked_by(message)) is not None:
                    asked.set_result(message.reply)
            case Unanswered():
                if (asked := self._asked_by(message)) is not None:
                    asked.set_exception(UnavailableError(message.code, message.message))
            case LoadBundle():
                self._load(message)

    def _asked_by(self, message: Answered | Unanswered) -> "asyncio.Future[ActionReply] | None":
        """Who waits for it; nobody if the action has been cancelled meanwhile."""
        asked = self._asked.get((message.number, message.ask))
        return None if asked is None or asked.done() else asked

    def _load(self, message: LoadBundle) -> None:
        # Actions wait meanwhile: imports by a thread would see half of each other's modules.
        try:
            self._tasks.load_now(message.bundle, Path(message.folder))
        except DeveloperError as error:
            self.send(LoadFailed(message.bundle, error.code, error.message))
        else:
            self.send(Loaded(message.bundle))

    def _start(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        is_first = not self._running
        self._running[number] = asyncio.get_running_loop().create_task(work)
        if is_first:
            self._beat()

    def _beat(self) -> None:
        if self._running:
            self._heartbeat.begin(len(self._running), time.monotonic())
            asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)
        else:
            self._heartbeat.end()

    async def _run(self, message: RunAction) -> None:
        number = message.number
        try:
            outcome = await self._tasks.run(message.call, _Backend(self, number))
        except asyncio.CancelledError:
            self.send(Ended(number, CANCELLED))
        except UnavailableError as error:
            self.send(Failed(number, error.code, error.message))
        else:
            self.send(Ended(number, outcome))
        finally:
            del self._running[number]

    async def ask(self, number: int, ask: int, request: ActionRequest) -> ActionReply:
        """What the deployment answers an action."""
        answer: asyncio.Future[ActionReply] = asyncio.get_running_loop().create_future()
        self._asked[number, ask] = answer
        self.send(Ask(number, ask, request))
        try:
            return await answer
        finally:
            del self._asked[number, ask]

    def send(self, message: FromActions) -> None:
        """One frame."""
        append_frame(self._outgoing, message)
        self._transport.write(bytes(self._outgoing))
        self._outgoing.clear()


class _Backend:
    """The deployment as an action of this process sees it (action_ports.ActionBackend)."""

    def __init__(self, process: ActionProcess, number: int) -> None:
        self._process = process
        self._number = number
        self._asks = itertools.count(1)

    async def ask(self, request: ActionRequest) -> ActionReply:
        """Ask the server."""
        return await self._process.ask(self._number, next(self._asks), request)


async def _serve(connection: socket.socket, heartbeat: Heartbeat) -> None:
    loop = asyncio.get_running_loop()
    own_tasks(loop)
    _, process = await loop.create_unix_connection(
        lambda: ActionProcess(heartbeat), sock=connection
    )
    await process.ended
    # Who is left has nobody to ask or to answer; user code may not even let go.
    os._exit(0)


def main() -> None:
    """Entry point: descriptors of socket and heartbeat, bytes of memory."""
    socket_fd, heartbeat_fd, memory_bytes_max = map(int, sys.argv[1:4])
    for fd in (socket_fd, heartbeat_fd):
        os.set_inheritable(fd, False)  # noqa: FBT003 - it takes no keyword
    # Ctrl-C in a terminal reaches the whole group; the pool decides when actions end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes_max, memory_bytes_max))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with socket.socket(fileno=socket_fd) as connection:
        asyncio.run(_serve(connection, Heartbeat(heartbeat_fd)))


if __name__ == "__main__":
    main()

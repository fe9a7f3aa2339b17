"""`syncline dev` on this process's event loop, so that a test can read the engine's own counters.

Everything is as in the command: sockets, executor processes, an embedded Postgres. Only the
watching of the functions folder is off.
"""

import asyncio
import io
from pathlib import Path

from syncline.drivers.engine import Engine
from syncline.local.bundle_store import BundleStore
from syncline.local.console import DevConsole
from syncline.local.dev_server import DevOptions, DevServer
from syncline.local.executor_pool import ExecutorPool
from tests.clients.server import DevServer as DevServerProcess
from tests.clients.server import free_port


class _Announcements(io.StringIO):
    """Takes what the server prints, and notices when it serves."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = asyncio.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if "Functions ready" in text:
            self.ready.set()
        return written


class CountedServer(DevServer):
    """A dev server to be used as an asynchronous context manager, in the main thread."""

    def __init__(self, functions: Path, data: Path) -> None:
        self._said = _Announcements()
        options = DevOptions(functions=functions, data=data, port=free_port(), watch=False)
        super().__init__(options, DevConsole(self._said))
        self.url = f"http://127.0.0.1:{options.port}"
        self.engine: Engine

    @property
    def executions(self) -> int:
        """How often query functions were run since the start, by the engine's count."""
        return self.engine.queries.executions

    @property
    def log(self) -> str:
        """All that the server has printed."""
        return self._said.getvalue()

    async def _start_engine(
        self, conninfo: str, runner: ExecutorPool, bundles: BundleStore
    ) -> Engine:
        self.engine = await super()._start_engine(conninfo, runner, bundles)
        return self.engine

    async def __aenter__(self) -> "CountedServer":
        self._running = asyncio.create_task(self.run())
        ready = asyncio.create_task(self._said.ready.wait())
        await asyncio.wait(
            (self._running, ready),
            timeout=DevServerProcess.START_SECONDS_MAX,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not ready.done():
            ready.cancel()
            await self.__aexit__()
            raise AssertionError(f"the server does not serve:\n{self.log}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        assert await self._running == 0

"""`syncline dev`: the whole deployment in one process beside Postgres and the executors.

Serves HTTP and WebSocket on one loopback port, keeps all data in one folder, pushes the functions
at start and again after every save, and stops cleanly on Ctrl-C.
"""

import asyncio
import errno
import hashlib
import secrets
import signal
import socket
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from syncline.drivers.admin_key import admin_key
from syncline.drivers.authentication import Authenticator
from syncline.drivers.engine import Engine
from syncline.drivers.file_storage import FileStorage
from syncline.drivers.memory_interest import MemoryInterest
from syncline.drivers.recent_logs import RecentLogs
from syncline.drivers.scheduler import Scheduler
from syncline.drivers.sessions import Sessions
from syncline.drivers.site import SITE_PREFIX, Site
from syncline.drivers.tokens import Tokens
from syncline.errors import CallerError, SynclineError, UnavailableError
from syncline.local import garbage
from syncline.local.action_pool import ActionPool
from syncline.local.bundle_store import BundleStore
from syncline.local.console import DevConsole
from syncline.local.development_issuer import DevelopmentIssuer
from syncline.local.embedded_postgres import EmbeddedPostgres
from syncline.local.environment_file import ENVIRONMENT_FILE, EnvironmentFile
from syncline.local.executor_pool import ExecutorPool
from syncline.local.file_folder import FileFolder
from syncline.local.http_api import make_http_api
from syncline.local.http_server import make_app
from syncline.local.memory_documents import MemoryDocuments
from syncline.local.reload import push_and_report, watch
from syncline.local.site_server import make_site_app
from syncline.machine import SystemClock, SystemEntropy, WebKeySets
from syncline.postgres.log import PostgresLog

HOST = "127.0.0.1"
POSTGRES_CHECK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What `syncline dev` was asked for."""

    functions: Path
    data: Path
    port: int = 3210
    site_port: int | None = None
    """None: the one after `port`, if it is free."""
    watch: bool = True
    executors: int = 2
    shows_calls: bool = True


def deployment_secret(data: Path) -> bytes:
    """The secret that admin keys are made from; created with the data folder, mode 0600."""
    path = data / "secret"
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True)
        partial = data / "secret.partial"
        partial.touch(mode=0o600)
        partial.write_text(secrets.token_hex(32))
        partial.rename(path)
    return bytes.fromhex(path.read_text().strip())


def _hash_seed(secret: bytes) -> int:
    """One PYTHONHASHSEED per deployment: fixed, but not a public constant."""
    return int.from_bytes(hashlib.sha256(b"hash seed" + secret).digest()[:4], "big")


class DevServer:
    """One running `syncline dev`."""

    def __init__(self, options: DevOptions, console: DevConsole) -> None:
        self._options = options
        self._console = console
        self._entropy = SystemEntropy()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> int:
        """Start, serve until stopped, stop; returns the exit code."""
        options = self._options
        self._listener = listen(options.port)
        self._site_listener = listen_site(options)
        secret = deployment_secret(options.data)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        postgres = EmbeddedPostgres(options.data)
        runner = ExecutorPool(options.executors, hash_seed=_hash_seed(secret))
        bundles = BundleStore(options.data / "bundles")
        garbage.settle()
        try:
            # Both take a moment and neither needs the other.
            conninfo, _ = await asyncio.gather(
                asyncio.to_thread(postgres.start), runner.load("", bundles.empty())
            )
            engine = await self._start_engine(conninfo, runner, bundles)
            try:
                await self._serve(engine, postgres, secret)
            finally:
                await engine.close()
        finally:
            await runner.close()
            await asyncio.to_thread(postgres.stop)
            self._console.say("Stopped.")
            self._console.flush()
        return 0

    async def _start_engine(
        self, conninfo: str, runner: ExecutorPool, bundles: BundleStore
    ) -> Engine:
        engine = Engine(
            name="local",
            log=PostgresLog(conninfo),
            documents=MemoryDocuments(),
            interest=MemoryInterest(),
            runner=runner,
            actions=ActionPool(),
            bundles=bundles,
            variables=EnvironmentFile(self._options.data / ENVIRONMENT_FILE),
            clock=SystemClock(),
            entropy=self._entropy,
            url=self._url,
            site_url=self._site_url,
        )
        engine.on_failure = self._failed
        await engine.start()
        return engine

    def _failed(self, error: BaseException) -> None:
        """A background part of the server died: say so and stop rather than serve half."""
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": "The server failed", "exception": error})
        self._stop.set()

    async def _serve(self, engine: Engine, postgres: EmbeddedPostgres, secret: bytes) -> None:
        options = self._options
        # Beside the providers of the functions: tokens of `syncline auth token`.
        own = [DevelopmentIssuer(options.data).provider()]
        tokens = Tokens(engine, WebKeySets(), engine.clock, own=own, redact=engine.redact)
        authenticator = Authenticator(engine.name, secret, tokens)
        files = FileFolder(options.data / "files")
        files.open()
        storage = FileStorage(
            engine, files, clock=engine.clock, entropy=self._entropy, url=engine.url
        )
        engine.serve_files(storage)
        logs = RecentLogs(engine.clock)
        api = make_http_api(engine, authenticator, options.data, self._entropy, storage, logs)
        await api.start()
        site = Site(engine, authenticator)
        app = make_app(Sessions(engine, api.authenticator), api, site)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        site_runner = web.AppRunner(make_site_app(site), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await site_runner.setup()
        try:
            await web.SockSite(runner, self._listener).start()
            if self._site_listener is not None:
                await web.SockSite(site_runner, self._site_listener).start()
            self._console.say(f"Syncline is running at {engine.url}", important=True)
            self._console.say(f"Site: {self._site_url}")
            self._console.say(f"Admin key: {admin_key(engine.name, secret)}")
            engine.on_log(self._console.call)
            engine.on_log(logs.add)
            self._start(self._supervise(postgres))
            self._start(
                garbage.collect_when_quiet(lambda: (engine.durable_ts(), engine.queries.executions))
            )
            self._start(self._deploy(engine))
            self._start(storage.run(self._left_to_later))
            scheduler = Scheduler(engine, clock=engine.clock, entropy=self._entropy)
            self._start(scheduler.run(self._scheduled_later))
            await self._stop.wait()
        finally:
            # First of all, so that their callers are told.
            await engine.stop_actions()
            logs.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await runner.cleanup()
            await site_runner.cleanup()
            await api.close()
            files.close()

    @property
    def _url(self) -> str:
        return f"http://{HOST}:{self._options.port}"

    @property
    def _site_url(self) -> str:
        if self._site_listener is None:
            return f"{self._url}{SITE_PREFIX}"
        return f"http://{HOST}:{self._site_listener.getsockname()[1]}"

    def _left_to_later(self, error: UnavailableError) -> None:
        self._console.say(f"Files are removed later: {error.message}")

    def _scheduled_later(self, error: SynclineError) -> None:
        self._console.say(f"Scheduled functions wait: {error.message}")

    async def _deploy(self, engine: Engine) -> None:
        """Push the functions, and again after every save."""
        options = self._options
        await push_and_report(engine, options.functions, self._console)
        if options.watch:
            await watch(engine, options.functions, self._console, self._stop)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    async def _supervise(self, postgres: EmbeddedPostgres) -> None:
        """Start Postgres again when it died; the log reconnects by itself."""
        while True:
            await asyncio.sleep(POSTGRES_CHECK_SECONDS)
            if not postgres.is_alive():
                self._console.error("Postgres has stopped; starting it again.")
                await asyncio.to_thread(postgres.restart)


def listen(port: int) -> socket.socket:
    """A listening socket on loopback, taken before anything else is started."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise port_taken(port) from error
        raise
    return listener


def listen_site(options: DevOptions) -> socket.socket | None:
    """The site's listening socket; None: nobody asked for a port, and the next one is taken."""
    if options.site_port is not None:
        return listen(options.site_port)
    try:
        return listen(options.port + 1)
    except (CallerError, OSError, OverflowError):
        return None


def port_taken(port: int) -> CallerError:
    """The message for a port in use."""
    return CallerError(
        "PortTaken",
        f"Port {port} on {HOST} is in use, perhaps by another `syncline dev`. "
        f"Stop that, or choose another port with --port {port + 10}.",
    )


def run_dev_server(options: DevOptions) -> int:
    """Run until Ctrl-C; returns the exit code. SynclineError: a clear reason not to start."""
    if sys.platform != "win32":
        import uvloop

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    else:
        runner = asyncio.Runner()
    with runner:
        return runner.run(_run(options))


async def _run(options: DevOptions) -> int:
    console = DevConsole(shows_calls=options.shows_calls)
    return await DevServer(options, console).run()

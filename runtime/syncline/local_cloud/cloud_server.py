"""`syncline dev --cloud moto`: the local cloud as a command that runs until Ctrl-C.

It prints what the embedded server prints. Functions are deployed with the stacks at the start and
pushed over HTTP after every save, as a user would push to a deployment. SIGUSR1 begins an outage
(sockets closed, functions killed, 503), SIGUSR2 ends it. Everything that functions print is in
`cloud/functions.log` of the data folder.
"""

import asyncio
import io
import signal
import zipfile
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from watchfiles import awatch  # pyright: ignore[reportUnknownVariableType] - trio

from syncline.drivers.bundle_files import read_bundle_files
from syncline.drivers.log_events import LogEvent
from syncline.errors import SynclineError
from syncline.local.console import DevConsole
from syncline.local.dev_server import listen
from syncline.local.generated_files import refresh_generated
from syncline.local.reload import is_source
from syncline.local_cloud.assembly import APP
from syncline.local_cloud.cloud import CloudOptions, LocalCloud
from syncline.local_cloud.disorder import Disorder
from syncline.registration.loader import load_bundle

POSTGRES_CHECK_SECONDS: Final = 0.25
PUSH_SECONDS_MAX: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudServerOptions:
    """What `syncline dev --cloud moto` was asked for.

    `disorder`: the seed by which messages are reordered and given out twice; None: they are not.
    """

    functions: Path
    data: Path
    folder: Path
    settings: Mapping[str, object]
    port: int = 3210
    watch: bool = True
    disorder: int | None = None
    app: tuple[str, ...] = APP


class _LogLine(msgspec.Struct):
    """What aws-lambda-powertools prints: log records, and metrics without a level."""

    level: str = ""
    message: object = ""
    exception: str = ""
    call: LogEvent | None = None
    """A function's call."""


class CloudServer:
    """One running `syncline dev --cloud moto`."""

    def __init__(self, options: CloudServerOptions, console: DevConsole) -> None:
        self._options = options
        self._console = console
        self._stop = asyncio.Event()
        self._disorder = None if options.disorder is None else Disorder(options.disorder)
        self._cloud = LocalCloud(
            CloudOptions(
                folder=options.folder,
                data=options.data,
                settings={
                    **options.settings,
                    "functions": str(options.functions.resolve()),
                    "code": "running",
                    "redact": False,
                },
                port=options.port,
                app=options.app,
                disorder=self._disorder,
                hear=self._hear,
            )
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> int:
        """Start, serve until stopped, stop; returns the exit code.

        Raises:
            CallerError: the port is taken.
            DeveloperError: the stacks can't be synthesised or deployed.
        """
        listen(self._options.port).close()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        self._console.say("Synthesising and deploying the stacks; this takes a while.")
        self._console.flush()
        await self._cloud.start()
        try:
            await self._serve()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._cloud.stop()
            self._report()
            self._console.flush()
        return 0

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, lambda: self._start(self._begin_outage()))
        loop.add_signal_handler(signal.SIGUSR2, self._end_outage)
        self._key = await asyncio.to_thread(self._cloud.admin_key)
        self._console.say(f"Syncline is running at {self._cloud.url}", important=True)
        self._console.say(f"Admin key: {self._key}")
        self._console.say("Functions ready: deployed with the stacks")
        self._start(self._supervise())
        if self._options.watch:
            self._start(self._push_after_saves())
        await self._stop.wait()

    async def _push_after_saves(self) -> None:
        folder = self._options.functions
        async for _ in awatch(folder, watch_filter=is_source, stop_event=self._stop, debounce=200):
            await self._push()

    async def _push(self) -> None:
        """Push over HTTP, as `syncline push` does; the old version serves on if it is refused."""
        functions = self._options.functions
        try:
            archive = _packed(functions)
            timeout = aiohttp.ClientTimeout(total=PUSH_SECONDS_MAX)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    f"{self._cloud.url}/api/syncline/push",
                    data=archive,
                    headers={"Authorization": f"Convex {self._key}"},
                ) as answer,
            ):
                refusal = None if answer.status == 200 else await answer.text()
            spec = load_bundle(functions, "generated").spec if refusal is None else None
        except (SynclineError, aiohttp.ClientError, TimeoutError) as error:
            refusal, spec = str(error), None
        if spec is None:
            self._console.error(f"Push failed: {refusal}")
            self._console.error("The last good version keeps serving.")
            return
        for path in refresh_generated(spec, functions):
            self._console.say(f"  generated {path}")
        self._console.say("Functions ready: pushed")

    async def _begin_outage(self) -> None:
        await self._cloud.begin_outage()
        self._console.say("Outage: sockets closed, functions ended.")

    def _end_outage(self) -> None:
        self._cloud.end_outage()
        self._console.say("The outage is over.")

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(POSTGRES_CHECK_SECONDS)
            if await asyncio.to_thread(self._cloud.supervise):
                self._console.error("Postgres had stopped and was started again.")

    def _hear(self, label: str, line: str) -> None:
        """Keep every line that a function prints; show what a developer has to see."""
        with self._cloud.functions_log.open("a", encoding="utf-8") as log:
            log.write(f"{label}: {line}\n")
        try:
            record = msgspec.json.decode(line, type=_LogLine)
        except msgspec.DecodeError:
            self._console.say(f"  {label}: {line}")
            return
        if record.call is not None:
            self._console.call(record.call)
        elif record.level in {"WARNING", "ERROR", "CRITICAL"}:
            self._console.error(f"  {label}: {record.message}")
            if record.exception:
                self._console.error("  " + record.exception.replace("\n", "\n  "))

    def _report(self) -> None:
        if self._disorder is not None:
            trouble = self._disorder
            self._console.say(
                f"Disorder (seed {trouble.seed}): {trouble.reordered} messages reordered, "
                f"{trouble.duplicated} deliveries given out twice, "
                f"{trouble.disconnects_lost} disconnects lost."
            )
        self._console.say("Stopped.")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._console.error(f"The local cloud failed: {error!r}")
            self._stop.set()


def _packed(functions: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in read_bundle_files(functions).items():
            archive.writestr(name, text)
    return content.getvalue()


def run_cloud_server(options: CloudServerOptions) -> int:
    """Run until Ctrl-C; returns the exit code. SynclineError: a clear reason not to start."""
    console = DevConsole()
    return asyncio.run(CloudServer(options, console).run())

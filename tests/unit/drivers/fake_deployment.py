"""A deployment that answers by a table, for tests of what stands in front of it."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from syncline.bundle_spec import BundleSpec, FunctionSpec
from syncline.drivers.answers import ANONYMOUS, Answer, Caller
from syncline.drivers.authentication import Authenticator
from syncline.drivers.exchange_files import ExchangeFiles
from syncline.drivers.file_storage import FileStorage
from syncline.drivers.http_api import HttpApi
from syncline.drivers.http_messages import HttpRequest, HttpResponse
from syncline.drivers.push import PushReport
from syncline.drivers.recent_logs import RecentLogs
from syncline.drivers.usage_counters import Usage
from syncline.errors import CallerError
from syncline.local.exchange_folder import ExchangeFolder
from syncline.machine import SystemClock
from syncline.simulated.memory_files import MemoryFiles

SECRET = bytes(range(32))
NAME = "local"

T = TypeVar("T")


class CountingEntropy:
    """Bits that are different each time and the same in every run."""

    def __init__(self) -> None:
        self._count = 0

    def bits(self, count: int) -> int:
        self._count += 1
        return self._count % 2**count


class FakeDeployment:
    """Answers calls by path and remembers them."""

    name = NAME

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Exception | Callable[[bytes], Answer]] = {}
        self.calls: list[tuple[str, str, bytes, Caller, int | None]] = []
        self.pushed: dict[str, str] = {}
        self.functions: list[FunctionSpec] = []
        self.ts = 100
        self.used: Usage | None = None

    def latest_ts(self) -> int:
        return self.ts

    def spec(self) -> BundleSpec:
        return BundleSpec(tuple(self.functions), {}, None)

    def usage(self) -> Usage:
        if self.used is None:
            raise CallerError("UsageInLogs", "It is in the logs.")
        return self.used

    def declare(self, path: str, kind: Any) -> None:
        self.functions.append(FunctionSpec(path, kind, "public", {"type": "any"}, {"type": "any"}))

    async def query(
        self, path: str, arguments: bytes, caller: Caller = ANONYMOUS, *, at: int | None = None
    ) -> Answer:
        return self._answer("query", path, arguments, caller, at)

    async def mutation(
        self,
        path: str,
        arguments: bytes,
        caller: Caller = ANONYMOUS,
        *,
        request: tuple[str, int] | None = None,
    ) -> Answer:
        return self._answer("mutation", path, arguments, caller, None)

    async def action(self, path: str, arguments: bytes, caller: Caller = ANONYMOUS) -> Answer:
        return self._answer("action", path, arguments, caller, None)

    async def push(self, source: Path) -> PushReport:
        self.pushed = read_sources(source)
        return PushReport("b" * 32, changed_modules=tuple(self.pushed))

    def _answer(
        self, kind: str, path: str, arguments: bytes, caller: Caller, at: int | None
    ) -> Answer:
        self.calls.append((kind, path, arguments, caller, at))
        answer = self.answers.get(path)
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return answer(arguments)
        if answer is None:
            message = f"[Request ID: 00] Server Error\nCould not find public function for '{path}'."
            return Answer(self.ts, None, message)
        return answer


def read_sources(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.py")}


def api_of(
    deployment: FakeDeployment,
    folder: Path,
    *,
    files: ExchangeFiles | None = None,
    part_bytes_max: int | None = None,
) -> HttpApi:
    return HttpApi(
        deployment,
        authenticator=Authenticator(deployment.name, SECRET),
        files=files or ExchangeFolder(folder),
        storage=FileStorage(
            deployment,
            MemoryFiles(),
            clock=SystemClock(),
            entropy=CountingEntropy(),
            url="http://127.0.0.1:3210",
        ),
        logs=RecentLogs(SystemClock()),
        entropy=CountingEntropy(),
        part_bytes_max=part_bytes_max,
    )


def respond(
    api: HttpApi,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    query: dict[str, str] | None = None,
    **headers: str,
) -> HttpResponse:
    """Send one request; header names are given with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return run(api.handle(HttpRequest(method, path, query or {}, named, body)))


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)

"""For users' tests: a whole deployment in memory, over the real engine, with its own clock.

async with Deployment("functions") as app:
    task = await app.mutation("tasks:add", text="buy milk")
    assert [t["_id"] for t in await app.query("tasks:get")] == [task]
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

import orjson

from syncline.action_ports import SiteRequest
from syncline.drivers.action_tasks import ActionTasks
from syncline.drivers.answers import Answer, Caller
from syncline.drivers.authentication import identity_attributes
from syncline.drivers.engine import Engine
from syncline.drivers.file_storage import FileStorage
from syncline.drivers.inline_runner import InlineRunner
from syncline.drivers.memory_interest import MemoryInterest
from syncline.drivers.push import PushReport
from syncline.drivers.scheduler import Scheduler
from syncline.errors import ApplicationError, CallFailedError
from syncline.function_path import parse
from syncline.local.bundle_store import BundleStore
from syncline.local.memory_documents import MemoryDocuments
from syncline.simulated.memory_environment import MemoryEnvironment
from syncline.simulated.memory_files import MemoryFiles
from syncline.simulated.memory_log import MemoryLog
from syncline.values import wire_json
from syncline.values.value import Value, normalize

if TYPE_CHECKING:
    from syncline.sync.session import QueryResult

__all__ = ["CallFailedError", "Deployment", "ManualClock", "SiteResponse", "Subscription"]


ROUNDS_MAX = 10_000
"""Moments at which something is due within one `advance`; ours: more are a mistake."""


class ManualClock:
    """A clock that moves only when it is told to (and a microsecond a look).

    Starts at the given moment, by default 2030-01-01T00:00:00Z.
    """

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._now_ns = int(start.timestamp()) * 1_000_000_000

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        self._now_ns += 1_000
        return self._now_ns

    def advance(self, seconds: float) -> None:
        """Move forward."""
        assert seconds >= 0, "time does not run backwards"
        self._now_ns += int(seconds * 1_000_000_000)


class _SeededEntropy:
    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - tests want the same run every time

    def bits(self, count: int) -> int:
        return self._random.getrandbits(count)


class Subscription:
    """A live query: `results` holds every result so far, newest last.

    When a mutation or push of the deployment has returned, the results show it.
    """

    def __init__(self) -> None:
        self.results: list[Value] = []

    @property
    def current(self) -> Value:
        """The newest result."""
        return self.results[-1]


class SiteResponse:
    """What an HTTP action has answered."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.pieces: list[bytes] = []
        """The body in the pieces in which it was sent."""
        self.is_aborted = False
        """The answer broke off."""

    async def respond(
        self, status: int, headers: list[tuple[bytes, bytes]], body: bytes, *, last: bool
    ) -> bool:
        """Take a piece (drivers.actions.Responder)."""
        if not self.status:
            self.status = status
            self.headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in headers]
        self.body += body
        self.pieces.append(body)
        return True

    def abort(self) -> None:
        """Part of the same."""
        self.is_aborted = True

    def header(self, name: str) -> str | None:
        """The first header of that name, in any case."""
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def json(self) -> Any:
        """The body, parsed."""
        return orjson.loads(self.body)


class Deployment:
    """A deployment of a functions folder, in memory. Use it as an async context manager.

    Args:
        functions: the folder with the functions.
        seed: of everything random; two runs with one seed give the same ids.
    """

    def __init__(self, functions: str | Path = "functions", *, seed: int = 0) -> None:
        self._functions = Path(functions)
        self.clock = ManualClock()
        self._entropy = _SeededEntropy(seed)
        self._caller = Caller(is_admin=True)
        self._engine: Engine | None = None
        self._collectors: list[_Collector] = []
        self._moved = asyncio.Event()

    @property
    def engine(self) -> Engine:
        """The engine itself, for tests that look deeper."""
        assert self._engine is not None, "use `async with Deployment(...) as app`"
        return self._engine

    async def __aenter__(self) -> Self:
        self._bundles = tempfile.mkdtemp(prefix="syncline-testing-")
        self._engine = Engine(
            name="testing",
            log=MemoryLog(self.clock),
            documents=MemoryDocuments(),
            interest=MemoryInterest(),
            runner=InlineRunner(),
            actions=ActionTasks(self.clock, self._entropy),
            bundles=BundleStore(Path(self._bundles)),
            variables=MemoryEnvironment(),
            clock=self.clock,
            entropy=self._entropy,
        )
        await self._engine.start()
        self.storage = FileStorage(
            self._engine,
            MemoryFiles(),
            clock=self.clock,
            entropy=self._entropy,
            url=self._engine.url,
        )
        self._engine.serve_files(self.storage)
        self.scheduler = Scheduler(self._engine, clock=self.clock, entropy=self._entropy)
        self._engine.on_matched(self._moved.set)
        try:
            await self._engine.push(self._functions)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        try:
            await self.engine.close()
        finally:
            shutil.rmtree(self._bundles)

    async def query(self, path: str, /, **arguments: object) -> Value:
        """The result of a query; CallFailedError or ApplicationError if it fails."""
        answer = await self.engine.query(_path(path), _encode(arguments), self._caller)
        return _value(answer)

    async def mutation(self, path: str, /, **arguments: object) -> Value:
        """The result of a committed mutation; CallFailedError or ApplicationError if it fails."""
        answer = await self.engine.mutation(_path(path), _encode(arguments), self._caller)
        await self._show(answer.ts)
        return _value(answer)

    async def action(self, path: str, /, **arguments: object) -> Value:
        """The result of an action; CallFailedError or ApplicationError if it fails.

        It runs here, as ordinary Python with the real network; `ctx.now` is this clock's.
        """
        answer = await self.engine.action(_path(path), _encode(arguments), self._caller)
        await self._show(answer.ts)
        return _value(answer)

    async def fetch(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> "SiteResponse":
        """The whole answer of an HTTP action; `path` may have a query behind "?"."""
        plain, _, query = path.partition("?")
        sent = {"host": "site.invalid", **(headers or {})}
        response = SiteResponse()
        request = SiteRequest(
            method=method,
            path=unquote(plain),
            query=query.encode(),
            headers=tuple((k.lower().encode(), v.encode()) for k, v in sent.items()),
            body=body,
        )
        await self.engine.serve(request, Caller(self._caller.identity), response)
        await self._show(self.engine.durable_ts())
        return response

    async def set_environment(self, **variables: str | None) -> None:
        """Set environment variables, as functions read them in `ctx.env`; None removes one."""
        await self.engine.environment.change(variables)
        await self._show(self.engine.durable_ts())

    async def _show(self, ts: int) -> None:
        """Wait until every subscription has its result at `ts`."""
        while self.engine.latest_ts() < ts:
            self._moved.clear()
            await self._moved.wait()
        for collector in tuple(self._collectors):
            await collector.settled()

    def as_user(
        self, subject: str, *, issuer: str = "https://test.invalid", **claims: object
    ) -> Self:
        """The same deployment as seen by a signed-in user: row rules hold, internals are hidden.

        Names of claims are those of UserIdentityAttributes (`givenName`, `emailVerified`, ...), or
        your own.
        """
        attributes = {"subject": subject, "issuer": issuer, **claims}
        return self._as(Caller(identity_attributes(attributes)))

    def as_anonymous(self) -> Self:
        """The same deployment as seen by a client that is not signed in."""
        return self._as(Caller())

    def _as(self, caller: Caller) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._caller = caller
        return other

    @asynccontextmanager
    async def subscribe(
        self, path: str, /, **arguments: object
    ) -> AsyncGenerator[Subscription, None]:
        """Follow a query as a client would; its results are collected while the block runs."""
        subscription = Subscription()
        watcher = _Collector(
            self.engine, subscription, _path(path), _encode(arguments), self._caller
        )
        await watcher.start()
        self._collectors.append(watcher)
        try:
            yield subscription
        finally:
            self._collectors.remove(watcher)
            watcher.stop()

    async def advance(self, *, seconds: float) -> None:
        """Let time pass; what was scheduled runs at its time, in order, to its end."""
        until = self.clock.now_ns() / 1e6 + seconds * 1000
        for _ in range(ROUNDS_MAX):
            due = await self.scheduler.next_due()
            if due is None or due > until:
                break
            self.clock.advance(max(0.0, (due - self.clock.now_ns() / 1e6) / 1000 + 1e-6))
            await self.scheduler.run_due()
        else:
            raise CallFailedError(
                f"After {ROUNDS_MAX} rounds there is still something due: a function schedules "
                "itself again at once."
            )
        self.clock.advance(max(0.0, (until - self.clock.now_ns() / 1e6) / 1000))
        await self._show(self.engine.durable_ts())

    async def push(self, functions: str | Path | None = None) -> PushReport:
        """Deploy the folder again, or another one."""
        report = await self.engine.push(Path(functions) if functions else self._functions)
        await self._show(self.engine.durable_ts())
        return report


class _Collector:
    """A queries.Watcher that keeps every new result."""

    def __init__(
        self, engine: Engine, into: Subscription, path: str, arguments: bytes, caller: Caller
    ) -> None:
        self._engine = engine
        self._into = into
        self._query = (path, arguments, caller)
        self._journal: str | None = None
        self._seen: QueryResult | None = None

    async def start(self) -> None:
        path, arguments, caller = self._query
        await self._engine.query(path, arguments, caller)
        self._watch()
        self.refreshed()

    def _watch(self) -> None:
        path, arguments, caller = self._query
        self._entry = self._engine.queries.watch(path, arguments, caller, self._journal, self)

    def refreshed(self) -> None:
        answer, result = self._entry.answer, self._entry.result
        if answer is None or result is None:
            return
        if self._seen is not None and result.fingerprint == self._seen.fingerprint:
            return
        self._seen = result
        self._journal = result.journal
        self._into.results.append(_value(answer))

    async def settled(self) -> None:
        """Wait until no run of the query is under way."""
        while (running := self._entry.running) is not None:
            await asyncio.shield(running)

    def moved(self, entry: object) -> None:
        self._engine.queries.unwatch(self._entry, self)
        self._watch()

    def stop(self) -> None:
        self._engine.queries.unwatch(self._entry, self)


def _path(text: str) -> str:
    return str(parse(text))


def _encode(arguments: dict[str, object]) -> bytes:
    return wire_json.encode(normalize(arguments))


def _value(answer: Answer) -> Value:
    if answer.value is not None:
        return wire_json.decode(answer.value)
    assert answer.error_message is not None
    if answer.error_data is not None:
        raise ApplicationError(wire_json.decode(answer.error_data))
    raise CallFailedError(answer.error_message)

"""Running actions: each once, apart from everything that holds data (docs/actions.md).

An action is started, may ask the deployment for things, and is answered when it ends; nothing of it
is recorded or repeated. Whoever waits for the answer may leave: the action goes on.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
import orjson

from syncline.action_ports import (
    ActionCall,
    ActionOutcome,
    ActionReply,
    ActionRequest,
    ActionRunner,
    ReadEnvironment,
    Respond,
    RunFunction,
    SearchVectors,
    SiteRequest,
    UseFiles,
    UseScheduler,
)
from syncline.drivers.action_files import use_files
from syncline.drivers.answers import COULD_NOT_COMPLETE, Answer, Caller, client_message
from syncline.drivers.bundle_loader import Bundles
from syncline.drivers.http_messages import HttpError
from syncline.drivers.log_events import LogEvent, LogStream
from syncline.drivers.replica import Replica
from syncline.drivers.system_calls import SYSTEM
from syncline.errors import CallerError, SynclineError, UnavailableError
from syncline.function_path import parse
from syncline.limits import ACTION_SECONDS_MAX, ACTIONS_MAX
from syncline.ports import Clock, Entropy, FunctionError

if TYPE_CHECKING:
    from syncline.drivers.file_storage import FileStorage

Reply = Callable[[Answer], None]

_OUTCOME: Final = "Server Error\n"
"""What stands before the part of an error message that says what happened."""


class Variables(Protocol):
    """What actions read: `drivers.environment.EnvironmentVariables`."""

    async def document(self) -> bytes:
        """All variables as they are now: a JSON object of texts."""
        ...


class Functions(Protocol):
    """What actions call: `drivers.engine.Engine`."""

    @property
    def environment(self) -> Variables:
        """The environment variables of functions."""
        ...

    def latest_ts(self) -> int:
        """The newest ts whose effects everybody may see."""
        ...

    async def fetch(self) -> None:
        """Learn what has been committed."""
        ...

    async def query(
        self, path: str, arguments: bytes, caller: Caller = ..., *, at: int | None = None
    ) -> Answer:
        """A query's result at the newest ts."""
        ...

    async def mutation(self, path: str, arguments: bytes, caller: Caller = ...) -> Answer:
        """Run a mutation; the answer is durable."""
        ...


class Responder(Protocol):
    """Where the answer to an HTTP request goes, piece by piece."""

    async def respond(
        self, status: int, headers: list[tuple[bytes, bytes]], body: bytes, *, last: bool
    ) -> bool:
        """Send the head with the first piece, then bodies. False: the client has gone."""
        ...

    def abort(self) -> None:
        """Break off an answer that has begun."""
        ...


class Actions:
    """The actions of one deployment that run in, or beside, this process."""

    def __init__(  # noqa: PLR0913 - what it is made of, by name
        self,
        *,
        runner: ActionRunner,
        functions: Functions,
        replica: Replica,
        bundles: Bundles,
        clock: Clock,
        entropy: Entropy,
        events: LogStream,
        redact: bool,
        seconds_max: float = ACTION_SECONDS_MAX,
    ) -> None:
        self._seconds_max = seconds_max
        self._runner = runner
        self.functions = functions
        self.replica = replica
        self._bundles = bundles
        self._clock = clock
        self._entropy = entropy
        self._events = events
        self._redact = redact
        self.files: FileStorage | None = None
        """Where files are kept, once that is known."""
        self._running = 0
        self._is_closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, path: str, arguments: bytes, caller: Caller, reply: Reply) -> None:
        """Run an action in the background; `reply` is called once when it has ended."""
        self._spawn(self._run_and_reply(path, arguments, caller, reply))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_and_reply(
        self, path: str, arguments: bytes, caller: Caller, reply: Reply
    ) -> None:
        try:
            answer = await self.run(path, arguments, caller)
        except SynclineError as error:
            answer = Answer(0, None, error.message)
        except Exception:
            reply(Answer(0, None, COULD_NOT_COMPLETE))
            raise
        reply(answer)

    async def run(self, path: str, arguments: bytes, caller: Caller, *, depth: int = 0) -> Answer:
        """Run an action to its end. `ts` of the answer is its newest mutation's, 0 without one.

        Raises:
            UnavailableError: too many run already, or the deployment is going down.
        """
        backend = EngineBackend(self, caller, depth)
        call = await self.call(path, arguments, caller, depth)
        outcome = await self._run(call, backend)
        lines = () if self._redact else outcome.log_lines
        if outcome.error is None:
            return Answer(backend.written, outcome.value, log_lines=lines)
        message = client_message(outcome.error, call.request_id, redact=self._redact)
        return Answer(backend.written, None, message, outcome.error.data, lines)

    async def serve(self, request: SiteRequest, caller: Caller, responder: Responder) -> None:
        """Answer an HTTP request by the deployed router (docs/http-actions.md).

        Raises:
            UnavailableError: too many actions run already, or the deployment is going down.
        """
        backend = EngineBackend(self, caller, 0, responder)
        call = await self.call("", b"", caller)
        outcome = await self._run(msgspec.structs.replace(call, site=request), backend)
        if outcome.error is None:
            return
        if backend.has_responded:
            # Its length or its end are missing: the client sees that it was cut off.
            responder.abort()
        else:
            body = _site_error(outcome.error, call.request_id, redact=self._redact)
            await responder.respond(500, [(b"content-type", b"application/json")], body, last=True)

    async def _run(self, call: ActionCall, backend: "EngineBackend") -> ActionOutcome:
        if self._is_closing:
            raise UnavailableError("ShuttingDown", "The deployment is shutting down.")
        if self._running >= ACTIONS_MAX:
            raise UnavailableError(
                "TooManyConcurrentActions",
                f"{ACTIONS_MAX} actions are running on this deployment: try again later.",
            )
        started = self._clock.now_ns()
        self._running += 1
        try:
            outcome = await self._runner.run(call, backend)
        finally:
            self._running -= 1
        self._report(call, outcome, started)
        return outcome

    def backend(self, caller: Caller, written: int) -> "EngineBackend":
        """The deployment as an action elsewhere sees it, which has caused commits to `written`."""
        backend = EngineBackend(self, caller, 0)
        backend.written = written
        return backend

    async def call(self, path: str, arguments: bytes, caller: Caller, depth: int = 0) -> ActionCall:
        """What whoever runs an action is given."""
        ts = self.functions.latest_ts()
        bundle = self.replica.deployment_at(ts).bundle
        await self.load(bundle)
        tables = self.replica.catalog_at(ts).user_tables()
        return ActionCall(
            path=path,
            arguments=arguments,
            identity=caller.identity,
            is_admin=caller.is_admin,
            is_inner=caller.is_inner,
            bundle=bundle,
            tables={table.number: table.name for table in tables},
            request_id=f"{self._entropy.bits(64):016x}",
            seconds_max=self._seconds_max,
            depth=depth,
        )

    async def load(self, bundle: str) -> None:
        """Make a deployed bundle ready, so that the first call need not wait for it."""
        folder = self._bundles.folder(bundle) if bundle else self._bundles.empty()
        if folder is None:
            raise UnavailableError("BundleMissing", f"The bundle {bundle} is not kept here.")
        await self._runner.load(bundle, folder)

    def _report(self, call: ActionCall, outcome: ActionOutcome, started: int) -> None:
        now = self._clock.now_ns()
        self._events.emit(
            LogEvent(
                path=f"{call.site.method} {call.site.path}" if call.site else call.path,
                kind="httpAction" if call.site else "action",
                request_id=call.request_id,
                duration_seconds=(now - started) / 1e9,
                cached=False,
                documents_read=0,
                bytes_read=0,
                retries=0,
                log_lines=outcome.log_lines,
                error=outcome.error.message if outcome.error else None,
                now_ms=now // 1_000_000,
            )
        )

    async def close(self) -> None:
        """Cancel every action, and start no more; what they clean up may still call functions."""
        self._is_closing = True
        await self._runner.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class EngineBackend:
    """The deployment as one action sees it (action_ports.ActionBackend)."""

    def __init__(
        self, actions: Actions, caller: Caller, depth: int, responder: Responder | None = None
    ) -> None:
        self._responder = responder
        self.has_responded = False
        self._actions = actions
        self._caller = msgspec.structs.replace(caller, is_inner=True)
        self._depth = depth
        self.written = 0
        """The newest ts that a mutation of this action was committed at."""

    async def ask(self, request: ActionRequest) -> ActionReply:
        """Do what the action wants."""
        match request:
            case RunFunction():
                return _reply(await self._run(request))
            case SearchVectors(arguments):
                # A system function: the action sees all, and the queries that it calls are ruled.
                whole = msgspec.structs.replace(self._caller, is_admin=True)
                await self._see_own_writes()
                return _reply(
                    await self._actions.functions.query("_system/vectors:nearest", arguments, whole)
                )
            case Respond(status, headers, body, is_last):
                assert self._responder is not None, "only requests are responded to"
                self.has_responded = True
                going = await self._responder.respond(status, headers, body, last=is_last)
                return ActionReply(b"true" if going else b"false")
            case UseFiles():
                return await self._use_files(request)
            case UseScheduler(operation, arguments):
                path = f"_system/scheduler:{operation}"
                answer = await self._actions.functions.mutation(path, arguments, SYSTEM)
                self.written = max(self.written, answer.ts)
                return _reply(answer)
            case ReadEnvironment():
                return ActionReply(await self._actions.functions.environment.document())

    async def _use_files(self, request: UseFiles) -> ActionReply:
        functions, storage = self._actions.functions, self._actions.files
        path = f"_system/storage:{request.operation}"
        whole = msgspec.structs.replace(self._caller, is_admin=True, identity=None)
        await self._see_own_writes()
        if request.operation in {"get_url", "get_metadata"}:
            return _reply(await functions.query(path, request.arguments, whole))
        if request.operation in {"generate_upload_url", "delete"}:
            answer = await functions.mutation(path, request.arguments, whole)
            self.written = max(self.written, answer.ts)
            return _reply(answer)
        if storage is None:
            raise UnavailableError("NoFiles", "This deployment keeps no files.")
        try:
            reply = await use_files(storage, request)
        except HttpError as error:
            return ActionReply(None, FunctionError(error.message, is_server_made=True, data=None))
        self.written = max(self.written, storage.written)
        return reply

    async def _see_own_writes(self) -> None:
        functions = self._actions.functions
        while functions.latest_ts() < self.written:
            await functions.fetch()

    async def _run(self, request: RunFunction) -> Answer:
        functions = self._actions.functions
        try:
            path = str(parse(request.path))
        except CallerError as error:
            return Answer(0, None, error.message)
        if request.kind == "query":
            await self._see_own_writes()
            return await functions.query(path, request.arguments, self._caller)
        if request.kind == "mutation":
            answer = await functions.mutation(path, request.arguments, self._caller)
        else:
            run = partial(self._actions.run, depth=self._depth + 1)
            answer = await run(path, request.arguments, self._caller)
        if answer.value is not None:
            self.written = max(self.written, answer.ts)
        return answer


def _site_error(error: FunctionError, request_id: str, *, redact: bool) -> bytes:
    """The body of a 500 (convex-protocol.md 5)."""
    head = f"[Request ID: {request_id}] Server Error"
    content: dict[str, object] = {"code": head}
    if not redact or error.is_server_made:
        first, _, trace = error.message.partition("\n")
        content = {"code": f"{head}: {first.removeprefix('Uncaught ')}", "trace": trace}
    if error.data is not None:
        content["data"] = orjson.Fragment(error.data)
    return orjson.dumps(content)


def _reply(answer: Answer) -> ActionReply:
    if answer.value is not None:
        return ActionReply(answer.value)
    message = answer.error_message or COULD_NOT_COMPLETE
    # The id is that of the inner call's own log entry, which the action need not know.
    text = message.partition(_OUTCOME)[2] or message
    return ActionReply(None, FunctionError(text, is_server_made=False, data=answer.error_data))

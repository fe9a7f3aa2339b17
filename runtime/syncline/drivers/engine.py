"""The engine of one deployment: composes replica, committer, mutations, queries and push.

HTTP, WebSocket sessions, the command line and `syncline.testing` all talk to this one object.
Everything it needs from outside comes through ports, so it runs unchanged over Postgres and
sockets, in memory, or in the seeded simulation.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec

from syncline.action_ports import ActionCall, ActionRunner, SiteRequest
from syncline.bundle_spec import BundleSpec, ProviderSpec
from syncline.commit.record import Commit, Position
from syncline.commit.tail import Tail
from syncline.drivers.actions import Actions, EngineBackend, Responder
from syncline.drivers.answers import ANONYMOUS, Answer, Caller
from syncline.drivers.bundle_loader import BundleLoader, Bundles
from syncline.drivers.committer import Committer
from syncline.drivers.environment import EnvironmentVariables
from syncline.drivers.file_storage import FileStorage
from syncline.drivers.log_events import LogEvent, LogStream
from syncline.drivers.mutations import Mutations, Reply
from syncline.drivers.push import Pusher, PushReport
from syncline.drivers.queries import Queries
from syncline.drivers.replica import Replica, read_tail
from syncline.drivers.searches import Searches
from syncline.drivers.site import SITE_PREFIX
from syncline.drivers.usage_counters import Usage, UsageCounters
from syncline.environment_ports import EnvironmentValues
from syncline.errors import CallerError, SynclineError, UnavailableError
from syncline.limits import (
    FOLD_COMMITS_MAX,
    FOLD_INTERVAL_SECONDS,
    HISTORY_DAYS,
    REQUEST_RECORD_DAYS,
    TAIL_BYTES_MAX,
    TAIL_SECONDS,
)
from syncline.ports import Clock, Entropy, FunctionRunner, InterestStore, Log
from syncline.ports import Documents as DocumentsPort
from syncline.segments.store import SegmentStore

NO_ACTIONS = "This deployment runs no actions."

_DAY_NS = 86_400 * 10**9

RELOAD_ATTEMPTS_MAX = 100
RELOAD_PAUSE_SECONDS = 0.1
"""How long a log that can't be reached is waited for at start and after a reset; ours: 10 s."""


class Store(DocumentsPort, Protocol):
    """Documents to start from."""

    async def open(self, log: Log) -> Position:
        """Make them complete up to some position of the log, and say which."""
        ...


class Engine:
    """One deployment in this process. `start` before use, `close` after."""

    def __init__(  # noqa: PLR0913 - the composition root: one port each
        self,
        *,
        name: str,
        log: Log,
        documents: Store,
        others_apply: bool = False,
        pipelining: bool = True,
        interest: InterestStore,
        runner: FunctionRunner,
        actions: ActionRunner | None = None,
        bundles: Bundles,
        variables: EnvironmentValues,
        clock: Clock,
        entropy: Entropy,
        segments: SegmentStore | None = None,
        redact: bool = False,
        url: str = "http://127.0.0.1:3210",
        site_url: str | None = None,
    ) -> None:
        """`actions`: what runs them; None: nothing here does.

        `others_apply`: other processes apply commits to the same documents.

        `pipelining`: build on commits that are not durable yet, which pays for a process that
        commits much (protocols.md rule 6); otherwise the database validates every commit.

        `segments`: search indexes that others have built, to begin with.

        `site_url`: where HTTP actions are; None: below `url`.

        `variables`: the values of environment variables.
        """
        self.name = name
        self.redact = redact
        self.url = url
        self.clock = clock
        self.events = LogStream()
        self._usage = UsageCounters(clock.now_ns() // 1_000_000)
        self.events.listen(self._usage.count)
        self._log = log
        self._documents = documents
        self._others_apply = others_apply
        self._pipelining = pipelining
        self._interest = interest
        self._segments = segments
        self._runner = BundleLoader(runner, bundles)
        self._action_runner = actions
        self._bundles = bundles
        self._entropy = entropy
        self._session = f"server-{entropy.bits(128):032x}"
        self._requests = 0
        self.environment = EnvironmentVariables(
            self,
            variables,
            clock=clock,
            entropy=entropy,
            built_in={
                "CONVEX_CLOUD_URL": url,
                "CONVEX_SITE_URL": site_url or f"{url}{SITE_PREFIX}",
            },
            others_commit=others_apply,
        )
        self._updates: list[Callable[[], None]] = []
        self._background: list[asyncio.Task[None]] = []
        self.on_failure: Callable[[BaseException], None] = _raise

    async def start(self) -> None:
        """Load the log, derive what is deployed, import its bundle and begin to commit."""
        self.replica = Replica(self._documents, Tail(), Position(0, 0))
        if self._others_apply:
            self.replica.source = self
        self._searches = Searches(self.replica, self._segments, self._log)
        self.replica.serve_searches(self._searches)
        self.replica.serve_environment(self.environment)
        await self._reload()
        self.committer = Committer(
            self._log,
            self.replica,
            clock=self.clock,
            entropy=self._entropy,
            on_durable=self._durable,
            reload=self._reload,
            on_reset=self._reset,
            pipelining=self._pipelining,
        )
        self.queries = Queries(
            replica=self.replica,
            runner=self._runner,
            interest=self._interest,
            clock=self.clock,
            entropy=self._entropy,
            events=self.events,
            redact=self.redact,
        )
        self.mutations = Mutations(
            log=self._log,
            replica=self.replica,
            committer=self.committer,
            runner=self._runner,
            clock=self.clock,
            entropy=self._entropy,
            events=self.events,
            redact=self.redact,
        )
        self._actions = self._make_actions()
        self._pusher = Pusher(
            log=self._log,
            replica=self.replica,
            committer=self.committer,
            runner=self._runner,
            clock=self.clock,
            entropy=self._entropy,
            session=f"push-{self._entropy.bits(128):032x}",
        )
        await self._runner.spec_of(self._deployed)
        self._run(self.committer.run())
        if not self._others_apply:
            # Others begin with stored segments, when somebody searches.
            self._run(self._warm_searches())
        self._run(self._keep_house())
        self._run(self._warm_actions())

    def _make_actions(self) -> Actions | None:
        if self._action_runner is None:
            return None
        return Actions(
            runner=self._action_runner,
            functions=self,
            replica=self.replica,
            bundles=self._bundles,
            clock=self.clock,
            entropy=self._entropy,
            events=self.events,
            redact=self.redact,
        )

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        self._background.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.on_failure(error)

    async def _reload(self) -> None:
        """Documents from the snapshot, the tail from there to the durable head."""
        attempts = 0
        while True:
            attempts += 1
            try:
                position = await self._documents.open(self._log)
                commits = await read_tail(self._log, position)
                if commits is not None:
                    await self.replica.load(position, commits)
            except UnavailableError:
                if attempts == RELOAD_ATTEMPTS_MAX:
                    raise
                await asyncio.sleep(RELOAD_PAUSE_SECONDS)
                continue
            if commits is not None:
                return

    def _reset(self) -> None:
        self.queries.invalidate_all()
        self._tell_updated()

    async def _durable(self, commits: Sequence[Commit]) -> None:
        await self.queries.durable(commits)
        self._tell_updated()

    def _tell_updated(self) -> None:
        for update in self._updates:
            update()

    def on_matched(self, update: Callable[[], None]) -> None:
        """Call `update` whenever the matched watermark has moved (the sessions' turn)."""
        self._updates.append(update)

    async def _keep_house(self) -> None:
        """Fold the log, unless it is the follower's work, and shorten the tail, now and then."""
        while True:
            await asyncio.sleep(FOLD_INTERVAL_SECONDS)
            try:
                if self._others_apply:
                    await self._shorten_tail()
                else:
                    await self.fold()
                    await self._prune()
                    await self.environment.sweep()
            except UnavailableError:
                continue

    async def _warm_searches(self) -> None:
        """Build the search indexes; if the log is reset meanwhile, the first search will."""
        with suppress(UnavailableError):
            await self._searches.warm()

    async def _warm_actions(self) -> None:
        """Have the deployed actions loaded before the first call; it says so if that fails."""
        if self._actions is None or not self._has_actions():
            return
        with suppress(SynclineError):
            await self.load_actions()

    def _has_actions(self) -> bool:
        spec = self.spec()
        return bool(spec.http) or any(each.kind == "action" for each in spec.functions)

    async def _prune(self) -> None:
        """Let go of history and request records past their retention, a small step at a time."""
        now = self.clock.now_ns()
        await self._log.prune(
            keep_after=now - HISTORY_DAYS * _DAY_NS,
            records_before=now - REQUEST_RECORD_DAYS * _DAY_NS,
        )

    async def fold(self) -> None:
        """Move what has been applied into the log's snapshot, and forget the oldest of the tail."""
        applied = await self._documents.watermark()
        position = await self._log.fold(applied, commits_max=FOLD_COMMITS_MAX)
        while position.ts < applied:
            before = position.ts
            position = await self._log.fold(applied, commits_max=FOLD_COMMITS_MAX)
            if position.ts == before:
                break
        await self._shorten_tail()

    async def _shorten_tail(self) -> None:
        oldest = self.clock.now_ns() - TAIL_SECONDS * 1_000_000_000
        await self._searches.advance()
        await self.replica.shorten(oldest, TAIL_BYTES_MAX, self._searches.watermark())

    def latest_ts(self) -> int:
        """The newest ts whose effects everybody may see."""
        return self.queries.matched

    def durable_ts(self) -> int:
        """The newest ts known to be on disk."""
        return self.replica.durable.ts

    async def fetch(self) -> None:
        """Learn what other processes have committed (snapshot_reader.TailSource)."""
        await self.committer.follow()

    def spec(self) -> BundleSpec:
        """What the serving bundle declares, as far as this process has heard."""
        return self._runner.known_spec(self._deployed)

    async def auth_providers(self, *, newest: bool) -> Sequence[ProviderSpec]:
        """The deployed providers; `newest`: also those that another process has just pushed."""
        if newest and self._others_apply:
            await self.committer.follow()
        return self.replica.deployment_at(self.replica.durable.ts).auth

    @property
    def _deployed(self) -> str:
        return self.replica.deployment_at(self.replica.durable.ts).bundle

    def on_log(self, listener: Callable[[LogEvent], None]) -> None:
        """Call `listener` with every function call's event."""
        self.events.listen(listener)

    def usage(self) -> Usage:
        """What the functions have used. CallerError: other processes run them, too."""
        if self._others_apply:
            raise CallerError(
                "UsageInLogs",
                "On AWS the calls of functions are counted from the logs of the deployment, "
                'by CloudWatch Logs Insights: docs/operations.md, "Usage", has the query.',
            )
        return self._usage.usage()

    async def query(
        self, path: str, arguments: bytes, caller: Caller = ANONYMOUS, *, at: int | None = None
    ) -> Answer:
        """A query's result at `at`, or at the newest ts. UnavailableError: `at` is too old."""
        if self._others_apply and (at is None or at > self.latest_ts()):
            # Another process may have acknowledged something since.
            await self.committer.follow()
        ts = self.latest_ts() if at is None else at
        if ts > self.latest_ts():
            raise UnavailableError(
                "TimestampInFuture", f"Timestamp {ts} is newer than anything committed."
            )
        entry = await self.queries.fetch(path, arguments, caller, None, ts)
        assert entry.answer is not None
        return msgspec.structs.replace(entry.answer, ts=ts)

    async def mutation(
        self,
        path: str,
        arguments: bytes,
        caller: Caller = ANONYMOUS,
        *,
        request: tuple[str, int] | None = None,
        scheduled: str | None = None,
    ) -> Answer:
        """Run a mutation; the answer is durable. `scheduled`: see `Mutations.start`."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def reply(answer: Answer) -> None:
            if not answered.done():
                answered.set_result(answer)

        self.start_mutation(
            path,
            arguments,
            caller,
            request,
            reply,
            maybe_resent=bool(request),
            scheduled=scheduled,
        )
        return await answered

    def start_mutation(
        self,
        path: str,
        arguments: bytes,
        caller: Caller,
        request: tuple[str, int] | None,
        reply: Reply,
        *,
        maybe_resent: bool,
        scheduled: str | None = None,
    ) -> None:
        """Run a mutation in the background; `reply` is called when its outcome is durable."""
        if request is None:
            self._requests += 1
            request = (self._session, self._requests)
        self.mutations.start(
            path,
            arguments,
            caller,
            request,
            reply,
            maybe_resent=maybe_resent,
            scheduled=scheduled,
        )

    async def action(self, path: str, arguments: bytes, caller: Caller = ANONYMOUS) -> Answer:
        """Run an action to its end. UnavailableError: too many run, or it is going down."""
        if self._actions is None:
            return Answer(self.latest_ts(), None, NO_ACTIONS)
        return await self._actions.run(path, arguments, caller)

    async def load_actions(self) -> None:
        """Have the deployed actions ready to start. SynclineError: they can't be loaded now."""
        if self._actions is not None:
            await self._actions.load(self._deployed)

    async def action_call(self, path: str, arguments: bytes, caller: Caller) -> ActionCall:
        """What an action that is run elsewhere is given."""
        assert self._actions is not None, "somebody else runs actions"
        return await self._actions.call(path, arguments, caller)

    def action_backend(self, caller: Caller, written: int) -> EngineBackend:
        """The deployment as an action elsewhere sees it, which has caused commits to `written`."""
        assert self._actions is not None, "somebody else runs actions"
        return self._actions.backend(caller, written)

    def start_action(self, path: str, arguments: bytes, caller: Caller, reply: Reply) -> None:
        """Run an action in the background; `reply` is called when it has ended."""
        if self._actions is None:
            answer = Answer(self.latest_ts(), None, NO_ACTIONS)
            asyncio.get_running_loop().call_soon(reply, answer)
        else:
            self._actions.start(path, arguments, caller, reply)

    async def serve(self, request: SiteRequest, caller: Caller, responder: Responder) -> None:
        """Answer an HTTP request by the deployed router. UnavailableError: as `action`."""
        if self._actions is None:
            raise UnavailableError("NoActions", NO_ACTIONS)
        await self._actions.serve(request, caller, responder)

    async def push(self, source: Path) -> PushReport:
        """Deploy a functions folder; DeveloperError says what to mend, and nothing has changed."""
        bundle, folder = self._bundles.add(source)
        report = await self._pusher.push(bundle, folder, self.url)
        self._run(self._warm_actions())
        return report

    def serve_files(self, storage: FileStorage) -> None:
        """From now on actions have files."""
        if self._actions is not None:
            self._actions.files = storage

    async def stop_actions(self) -> None:
        """Cancel every action and start no more; their callers are told so."""
        if self._actions is not None:
            await self._actions.close()

    async def close(self) -> None:
        """Stop background work and close runner and log."""
        await self.stop_actions()
        await self.mutations.close()
        await self.queries.close()
        await self._searches.close()
        if not self._others_apply:
            with suppress(UnavailableError):
                # So that the next start loads one snapshot and replays nothing.
                await self.fold()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._runner.close()
        await self._log.close()


def _raise(error: BaseException) -> None:
    raise error

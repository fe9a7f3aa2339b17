"""What one Lambda process keeps between invocations: an event loop, and the engine on it.

The loop runs only while an invocation does, so background work of the engine pauses with the
process. A process whose background work has failed is not used again: the next invocation begins
with a new loop and a new engine.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from aws_lambda_powertools import Logger

from syncline.aws.deployed import Deployed
from syncline.aws.gateway import MESSAGE_BYTES_MAX
from syncline.aws.http_events import PART_BYTES_MAX
from syncline.aws.settings import Settings
from syncline.drivers.authentication import Authenticator
from syncline.drivers.engine import Engine
from syncline.drivers.file_storage import FileStorage
from syncline.drivers.follower import FollowedDocuments
from syncline.drivers.http_api import HttpApi
from syncline.drivers.log_events import LogEvent
from syncline.drivers.memory_interest import MemoryInterest
from syncline.drivers.scheduler import NOBODY, Scheduler
from syncline.drivers.site import Site
from syncline.drivers.stored_session import StoredSessions
from syncline.drivers.tokens import Tokens
from syncline.errors import UnavailableError
from syncline.local.executor_pool import ExecutorPool
from syncline.machine import SystemEntropy, WebKeySets
from syncline.ports import FunctionRunner
from syncline.registration.auth_providers import Oidc
from syncline.sync.session import SessionLimits

CONNECTION_LIFE_MS: Final = 115 * 60_000
"""API Gateway ends a connection after two hours; five minutes are left for an action to end."""

LOG_SECONDS_MAX: Final = 20.0
"""A request for logs waits so long: a last look at the log groups ends before the gateway's thirty
seconds."""

SETTLING_MS: Final = 60
"""Twice by what messages of one socket overtake each other in the local cloud; ours. What AWS does
is settled by the smoke test (protocols.md rule 20)."""

ADMIN_MS: Final = 5_000
"""Ours: a message may wait for a cold function while the next one meets a warm one."""

_T = TypeVar("_T")

logger = logging.getLogger(__name__)
calls = Logger()


class Process:
    """The deployment in this process."""

    def __init__(
        self, settings: Settings, make_runner: Callable[[], FunctionRunner] | None = None
    ) -> None:
        """`make_runner`: of what runs functions; without it, a process beside this one does."""
        self._make_runner = make_runner or partial(_executor, settings.hash_seed)
        self.deployed = Deployed(settings)
        self.failure: BaseException | None = None
        self.may_backfill = False
        """Set before the engine starts, by whose role may write documents."""
        self.entropy = SystemEntropy()
        self.loop = asyncio.new_event_loop()
        self._work: asyncio.Task[Any] | None = None
        self._engine: Engine | None = None
        self._sessions: StoredSessions | None = None
        self._api: HttpApi | None = None
        self._scheduler: Scheduler | None = None

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run one invocation's work to its end, and what it left to be sent.

        Raises what the work raised, or what background work that it waits for has failed with.
        """
        self._work = self.loop.create_task(self._settled(work))
        try:
            return self.loop.run_until_complete(self._work)
        except asyncio.CancelledError:
            if self.failure is None:
                raise
            raise self.failure from None

    async def _settled(self, work: Coroutine[Any, Any, _T]) -> _T:
        try:
            return await work
        finally:
            # What is lost of it is repaired: by the sweep, and by what expires.
            for settle in (self.deployed.marked_log.settle, self.deployed.interest.settle):
                try:
                    await settle()
                except UnavailableError as error:
                    logger.warning("left to the sweep: %s: %s", error.code, error.message)

    async def engine(self) -> Engine:
        """The engine, started by the first who asks. UnavailableError: not now."""
        if self._engine is None:
            deployed, settings = self.deployed, self.deployed.settings
            engine = Engine(
                name=settings.deployment,
                log=deployed.marked_log,
                documents=FollowedDocuments(deployed.documents, may_backfill=self.may_backfill),
                others_apply=True,
                pipelining=False,
                # Of queries that this process shares; sessions have theirs in DynamoDB.
                interest=MemoryInterest(),
                runner=self._make_runner(),
                actions=deployed.actions,
                bundles=deployed.bundles,
                variables=deployed.variables,
                segments=deployed.segments,
                clock=deployed.clock,
                entropy=self.entropy,
                redact=settings.redact,
                url=settings.url,
            )
            engine.on_failure = self._failed
            engine.on_log(_log_call)
            await engine.start()
            engine.serve_files(self._storage(engine))
            self._engine = engine
        return self._engine

    async def sessions(self) -> StoredSessions:
        """Sessions on the engine."""
        if self._sessions is None:
            engine, deployed = await self.engine(), self.deployed
            self._sessions = StoredSessions(
                engine,
                store=deployed.sessions,
                gateway=deployed.gateway,
                interest=deployed.interest,
                wakeups=deployed.session_queue,
                actions=deployed.actions,
                authenticator=self._authenticator(engine),
                entropy=self.entropy,
                limits=SessionLimits(
                    chunk_bytes=MESSAGE_BYTES_MAX,
                    frame_bytes=MESSAGE_BYTES_MAX,
                    idle_ms=None,
                    orders_requests=True,
                    settling_ms=SETTLING_MS,
                    admin_ms=ADMIN_MS,
                    sends_pings=False,
                    life_ms=CONNECTION_LIFE_MS,
                ),
            )
        return self._sessions

    async def http_api(self) -> HttpApi:
        """The HTTP API on the engine."""
        if self._api is None:
            engine, deployed = await self.engine(), self.deployed
            self._api = HttpApi(
                engine,
                authenticator=self._authenticator(engine),
                files=deployed.exchange_files,
                storage=self._storage(engine),
                logs=deployed.logs,
                entropy=self.entropy,
                log_seconds_max=LOG_SECONDS_MAX,
                part_bytes_max=PART_BYTES_MAX,
            )
        return self._api

    async def scheduler(self) -> Scheduler:
        """What runs scheduled functions on the engine; actions are started, and run elsewhere."""
        if self._scheduler is None:
            engine, actions = await self.engine(), self.deployed.actions

            async def start(job: str, attempt: str, path: str, arguments: bytes) -> None:
                assert actions is not None, "claimed by who has no function that runs actions"
                call = await engine.action_call(path, arguments, NOBODY)
                await actions.start_scheduled(job, attempt, call)

            self._scheduler = Scheduler(
                engine,
                clock=self.deployed.clock,
                entropy=self.entropy,
                start_action=start if actions is not None else None,
            )
        return self._scheduler

    async def site(self) -> Site:
        """What answers requests to the site."""
        engine = await self.engine()
        return Site(engine, self._authenticator(engine))

    def _authenticator(self, engine: Engine) -> Authenticator:
        pool = self.deployed.settings.user_pool
        own = [Oidc(domain=pool.issuer, application_id=pool.client).spec()] if pool else []
        tokens = Tokens(engine, WebKeySets(), engine.clock, own=own, redact=engine.redact)
        return Authenticator(engine.name, self.deployed.admin_secret(), tokens)

    def _storage(self, engine: Engine) -> FileStorage:
        deployed = self.deployed
        return FileStorage(
            engine,
            deployed.files,
            clock=deployed.clock,
            entropy=self.entropy,
            url=engine.url,
        )

    def close(self) -> None:
        """End what runs; Lambda never asks for it, tests do."""
        if self._engine is not None:
            self.loop.run_until_complete(self._engine.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def abandon(self) -> None:
        """End what runs beside this process, whatever state the engine is in."""
        try:
            self.close()
        except Exception:
            # It had failed before; what it fails with as it goes is for the log.
            logger.exception("a failed engine did not close")

    def _failed(self, error: BaseException) -> None:
        self.failure = error
        if self._work is not None:
            # It might wait for ever.
            self._work.cancel()


_current: Process | None = None


def process() -> Process:
    """This process's deployment, made from the environment when first asked for."""
    global _current  # noqa: PLW0603 - one a process, as Lambda keeps it warm
    if _current is not None and _current.failure is not None:
        _current.abandon()
        _current = None
    if _current is None:
        _current = Process(Settings.from_environment(os.environ))
    return _current


def _log_call(event: LogEvent) -> None:
    """One line of JSON for each call of a function (docs/operations.md, "Logs")."""
    write = calls.error if event.error else calls.info
    write(event.path, call=msgspec.to_builtins(event))


def _executor(hash_seed: int) -> FunctionRunner:
    """Functions run apart from here: one that can't be stopped goes down alone (api.md)."""
    return ExecutorPool(
        1,
        hash_seed=hash_seed,
        libraries=[folder for folder in sys.path if folder],
    )

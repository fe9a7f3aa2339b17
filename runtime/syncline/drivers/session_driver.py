"""Drives one connection's session machine: runs its wishes, feeds it results, sends what it says.

The machine decides (sync/session.py); this object knows the engine and the socket. An update picks
the newest ts at which every result that the session holds is valid, within the matched watermark
and at or past whatever the session has been promised, so that each Transition is one snapshot
(architecture.md, rule 3).
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

import msgspec

from syncline.drivers.answers import ANONYMOUS, Answer, Caller
from syncline.drivers.credentials import AuthenticationError, Login
from syncline.drivers.queries import Entry
from syncline.drivers.session_calls import call_result, query_path
from syncline.errors import CallerError, UnavailableError
from syncline.function_path import parse
from syncline.sync.client_kind import ClientKind
from syncline.sync.session import (
    Close,
    Effect,
    QueryResult,
    QuerySpec,
    RunAction,
    RunMutation,
    Send,
    Session,
    SessionLimits,
    UpdatePlan,
    VerifyToken,
)

if TYPE_CHECKING:
    from syncline.drivers.sessions import Sessions

STARVING_ATTEMPTS = 20
"""Results a query that came in without a common ts before all are run at one exact ts."""

REPEATS_SECONDS = 0.02
"""Seconds in which a returning client's mutations follow its query set; ours, it is one burst."""

UNSENT_BYTES_MAX = 256 * 1024
"""Bytes that the transport may hold back before a Transition counts as unsent; ours."""


class Socket(Protocol):
    """The sending side of a connection."""

    @property
    def unsent_bytes(self) -> int:
        """What the transport has not handed to the network yet."""
        ...

    def send(self, messages: tuple[bytes, ...]) -> bool:
        """Queue messages in order until `flush`. False: the client reads too slowly."""
        ...

    def flush(self) -> None:
        """Send what was queued."""
        ...

    def close(self, code: int | None, reason: str) -> None:
        """Close with a code and reason; None: a close frame without a body."""
        ...


_T = TypeVar("_T", bound="SessionDriver")
_P = ParamSpec("_P")


def _guarded(step: Callable[Concatenate[_T, _P], None]) -> Callable[Concatenate[_T, _P], None]:
    """A step whose failure, a mistake of ours, ends its own connection and nobody else's.

    The client reconnects and starts over (convex-protocol 1.6).
    """

    @wraps(step)
    def guarded(self: _T, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            step(self, *args, **kwargs)
        except Exception as error:
            self.fail(error)

    return guarded


class SessionDriver:
    """One live connection of this process; a Watcher of the queries that it shows."""

    def __init__(
        self,
        sessions: "Sessions",
        client: ClientKind,
        socket: Socket,
        limits: SessionLimits | None = None,
    ) -> None:
        self._sessions = sessions
        self._engine = sessions.engine
        self._queries = sessions.engine.queries
        self._socket = socket
        self._machine = Session(client, now_ms=self._now_ms(), limits=limits)
        self._watched: dict[int, Entry] = {}
        self._specs: dict[int, QuerySpec] = {}
        self._shown: dict[int, QueryResult] = {}
        self._caller_shown = ANONYMOUS
        self._unsent: list[Send] = []
        self._fruitless = 0
        self._exact: asyncio.Task[None] | None = None
        self._verifying: asyncio.Task[None] | None = None
        self._repeats: asyncio.TimerHandle | None = None
        self._had_repeats = False

    def _now_ms(self) -> int:
        return self._engine.clock.now_ns() // 1_000_000

    # What happens to the connection

    @_guarded
    def receive(self, text: str | bytes) -> None:
        """A text message came in."""
        self._perform(self._machine.receive(text, self._now_ms(), self._engine.durable_ts()))

    def pong(self) -> None:
        """The client answered a protocol ping."""
        self._machine.pong_received(self._now_ms())

    @_guarded
    def tick(self, now_ms: int) -> None:
        """Time passes: Ping, idle close, transitions that have left meanwhile."""
        self._report_sent()
        self._perform(self._machine.tick(now_ms))

    def fail(self, error: Exception) -> None:
        """Something of ours went wrong: report it and close the connection."""
        context = {"message": "A session failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
        self._machine.close(1011, "InternalServerError")
        self._socket.close(1011, "InternalServerError")

    def end(self, code: int, reason: str) -> None:
        """Close from the server's side."""
        self._perform(self._machine.close(code, reason))

    def closed(self) -> None:
        """The socket is gone."""
        self._machine.close(1001, "")
        for query_id in list(self._watched):
            self._unwatch(query_id)
        for task in (self._exact, self._verifying):
            if task is not None:
                task.cancel()
        if self._repeats is not None:
            self._repeats.cancel()
        self._sessions.remove(self)

    # Effects

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self._send(effect)
                case RunMutation():
                    self._run_mutation(effect)
                case RunAction():
                    self._run_action(effect)
                case VerifyToken():
                    # One at a time: the machine holds the next token back till this one is known.
                    self._verifying = asyncio.get_running_loop().create_task(self._verify(effect))
                case Close():
                    self._socket.close(effect.code, effect.reason)
        if self._machine.wants_update:
            self._sessions.schedule(self)

    def _send(self, effect: Send) -> None:
        self._sessions.flush_later(self)
        if not self._socket.send(effect.frames):
            self._perform(self._machine.close(1013, "SlowConsumer"))
            return
        if effect.transitions:
            self._unsent.append(effect)

    @_guarded
    def flush(self) -> None:
        """Send what was queued; called by Sessions once per turn of the loop."""
        self._socket.flush()
        self._report_sent()

    def _report_sent(self) -> None:
        """Transitions leave in order; they count as sent once the transport is not congested."""
        if self._unsent and self._socket.unsent_bytes <= UNSENT_BYTES_MAX:
            for effect in self._unsent:
                self._machine.sent(effect)
            self._unsent.clear()
            if self._machine.wants_update:
                self._sessions.schedule(self)

    def _run_mutation(self, effect: RunMutation) -> None:
        caller = Caller(effect.identity, effect.is_admin)
        request_id = effect.request_id
        try:
            path = str(parse(effect.path))
        except CallerError as error:
            # Not at once: of a thousand in a row, each would start the next one inside of itself.
            answer = Answer(0, None, error.message)
            asyncio.get_running_loop().call_soon(self._answer_mutation, request_id, answer)
            return
        self._engine.start_mutation(
            path,
            effect.arguments,
            caller,
            (self._machine.session_id, request_id),
            lambda answer: self._answer_mutation(request_id, answer),
            maybe_resent=effect.maybe_resent,
        )

    @_guarded
    def _answer_mutation(self, request_id: int, answer: Answer) -> None:
        if not self._machine.is_closed:
            result = call_result(answer)
            self._perform(self._machine.mutation_finished(request_id, result, self._now_ms()))

    def _run_action(self, effect: RunAction) -> None:
        request_id = effect.request_id
        try:
            path = str(parse(effect.path))
        except CallerError as error:
            answer = Answer(0, None, error.message)
            asyncio.get_running_loop().call_soon(self._answer_action, request_id, answer)
            return
        self._engine.start_action(
            path,
            effect.arguments,
            Caller(effect.identity, effect.is_admin),
            lambda answer: self._answer_action(request_id, answer),
        )

    @_guarded
    def _answer_action(self, request_id: int, answer: Answer) -> None:
        """The action goes on when its client leaves; then nobody is there to be answered."""
        if not self._machine.is_closed:
            result = call_result(answer)
            self._perform(self._machine.action_finished(request_id, result, self._now_ms()))

    async def _verify(self, effect: VerifyToken) -> None:
        try:
            login: Login | AuthenticationError | None = await self._sessions.authenticator.session(
                effect
            )
        except AuthenticationError as error:
            login = error
        except UnavailableError:
            login = None
        except Exception as error:
            self.fail(error)
            return
        self._verified(effect.base_version, login)

    @_guarded
    def _verified(self, base: int, login: Login | AuthenticationError | None) -> None:
        """A token has been checked; None: it could not be, and the client comes back later."""
        machine, now_ms = self._machine, self._now_ms()
        match login:
            case Login(caller, expires_ms):
                effects = machine.authenticated(
                    base, caller.identity, now_ms, is_admin=caller.is_admin, expires_ms=expires_ms
                )
            case AuthenticationError():
                effects = machine.authentication_failed(base, login.message, now_ms)
            case None:
                effects = machine.authentication_unavailable(base, now_ms)
        self._perform(effects)

    # Updates

    @_guarded
    def refreshed(self) -> None:
        """A watched query has a new result (queries.Watcher)."""
        self._fruitless += 1
        shown = self._shown
        self._machine.invalidated(
            [
                query_id
                for query_id, entry in self._watched.items()
                if entry.result is not shown.get(query_id)
            ]
        )
        if self._machine.wants_update or self._machine.computing is not None:
            self._sessions.schedule(self)

    @_guarded
    def moved(self, entry: Entry) -> None:
        """A watched query goes on under another key: watch it anew (queries.Watcher)."""
        for query_id, watched in list(self._watched.items()):
            if watched is entry:
                self._watch(self._specs[query_id])
        self.refreshed()

    @_guarded
    def update(self) -> None:
        """Begin and finish what update can be finished now; called by Sessions."""
        machine = self._machine
        if machine.is_closed or self._exact is not None:
            return
        if machine.computing is None:
            if not machine.wants_update or self._awaits_repeats():
                return
            self._adopt(machine.plan_update())
        plan = machine.computing
        assert plan is not None
        ts = self._common_ts(plan)
        if ts is None:
            self._wait(plan)
        else:
            self._finish(
                plan,
                ts,
                {
                    query_id: entry.result
                    for query_id, entry in self._watched.items()
                    if entry.result is not None
                },
            )

    def _awaits_repeats(self) -> bool:
        """Whether mutations that have to be answered before the first update may be on their way.

        That they follow at once and not with the query set is rare, but happens.
        """
        if self._had_repeats or not self._machine.may_repeat_answered:
            return False
        if self._repeats is None:
            loop = asyncio.get_running_loop()
            self._repeats = loop.call_later(REPEATS_SECONDS, self._end_repeats)
        return True

    def _end_repeats(self) -> None:
        self._had_repeats = True
        self._sessions.schedule(self)

    def _adopt(self, plan: UpdatePlan) -> None:
        """Watch what the plan's query set holds."""
        for query_id in plan.removed:
            self._unwatch(query_id)
        caller = Caller(plan.identity, plan.is_admin)
        changed = caller != self._caller_shown
        self._caller_shown = caller
        for spec in plan.queries:
            if changed or spec.query_id not in self._watched:
                self._watch(spec)
        self._fruitless = 0

    def _watch(self, spec: QuerySpec) -> None:
        self._unwatch(spec.query_id)
        self._specs[spec.query_id] = spec
        self._watched[spec.query_id] = self._queries.watch(
            query_path(spec.path), spec.arguments, self._caller_shown, spec.journal, self
        )

    def _unwatch(self, query_id: int) -> None:
        entry = self._watched.pop(query_id, None)
        self._shown.pop(query_id, None)
        if entry is not None and entry not in self._watched.values():
            self._queries.unwatch(entry, self)

    def _common_ts(self, plan: UpdatePlan) -> int | None:
        """The newest ts at which all results are valid and which the client may be shown."""
        durable = self._engine.durable_ts()
        if self._machine.max_observed_ts > durable:
            # The client has seen another history: the machine closes the connection.
            return durable
        # What was answered since the plan was made counts too (architecture.md, rule 3).
        low, high = max(plan.minimum_ts, self._machine.answered_ts), self._queries.matched
        for entry in self._watched.values():
            if entry.result is None:
                return None
            low = max(low, entry.ts)
            stale_from = entry.stale_from
            if stale_from is not None and stale_from <= high:
                high = stale_from - 1
        return high if low <= high else None

    def _wait(self, plan: UpdatePlan) -> None:
        """Have what is stale run again; when that never meets, run everything at one exact ts."""
        matched = self._queries.matched
        for entry in self._watched.values():
            if not entry.is_valid_at(matched):
                self._queries.refresh(entry)
        self._sessions.wait(self)
        if plan.minimum_ts <= matched and self._is_starving():
            self._exact = asyncio.get_running_loop().create_task(self._run_exactly(plan, matched))

    def _is_starving(self) -> bool:
        """All queries have results, again and again, but never at one ts."""
        watched = self._watched.values()
        if self._fruitless <= STARVING_ATTEMPTS * len(watched):
            return False
        return all(entry.result is not None for entry in watched)

    async def _run_exactly(self, plan: UpdatePlan, ts: int) -> None:
        results: dict[int, QueryResult] = {}
        try:
            for query_id, entry in list(self._watched.items()):
                exact = entry if entry.is_valid_at(ts) else await self._queries.exact(entry, ts)
                assert exact.result is not None
                results[query_id] = exact.result
        except UnavailableError:
            # That ts is out of retention by now: begin anew at a later one.
            self._sessions.schedule(self)
            return
        except Exception as error:
            self.fail(error)
            return
        finally:
            self._exact = None
        if self._machine.computing is plan and ts >= self._machine.answered_ts:
            self._show(plan, ts, results)
        else:
            self._sessions.schedule(self)

    @_guarded
    def _show(self, plan: UpdatePlan, ts: int, results: dict[int, QueryResult]) -> None:
        self._finish(plan, ts, results)

    def _finish(self, plan: UpdatePlan, ts: int, results: dict[int, QueryResult]) -> None:
        for query_id, result in results.items():
            spec = self._specs.get(query_id)
            if spec is not None and spec.journal != result.journal:
                self._specs[query_id] = msgspec.structs.replace(spec, journal=result.journal)
        self._shown = results
        self._fruitless = 0
        self._perform(self._machine.finish_update(plan, ts, results, self._now_ms()))

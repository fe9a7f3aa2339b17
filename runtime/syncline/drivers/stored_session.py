"""Sessions whose messages any executor may handle: load, step, store, send (protocols.md rule 19).

A queue gives each connection's messages out in order, at least once; between two messages the
session lies in a store. Whoever handles one loads the session, carries its wishes out, stores the
new version by compare-and-set together with `sending`, posts the frames, and clears `sending`. So
at most one handler ever posts the frames of a version. If one dies in between, nobody can know what
has arrived: whoever finds its mark closes the connection, and the client resumes by itself.

Everything before the store may happen twice without harm: mutations are recorded under (session,
request), read sets are registered under a name of their own, wakeups are hints.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Final, Protocol, TypeAlias

import msgspec

from syncline.action_ports import ActionCall
from syncline.drivers.answers import Answer, Caller
from syncline.drivers.authentication import Authenticator
from syncline.drivers.credentials import AuthenticationError
from syncline.drivers.engine import NO_ACTIONS, Engine
from syncline.drivers.session_calls import call_result, query_path
from syncline.errors import CallerError, UnavailableError
from syncline.function_path import parse
from syncline.index.key_range import KeyRange
from syncline.ports import (
    ConnectionGateway,
    Entropy,
    InterestStore,
    SessionRecord,
    SessionStore,
    SessionWakeups,
)
from syncline.sync.delivery import (
    ActionEnded,
    Event,
    Left,
    Opened,
    QueueMessage,
    Received,
    Refresh,
    Tick,
)
from syncline.sync.session import (
    CallResult,
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

RECEIVES_MAX: Final = 2
"""A message received more often closes its connection (protocols.md rule 19)."""

SNAPSHOTS_MAX: Final = 10
"""Snapshots that go out of retention in a row before a message is given back; ours."""

RUNS_MAX: Final = 3
"""Runs of an update whose results are overtaken while their interest is registered; ours. After
them a refresh is put behind the connection's messages, so that others have their turn."""


NOTHING_NEW: Final = 0
"""The ts of a refresh that only looks whether what waits has waited long enough."""

_Shown: TypeAlias = tuple[QueryResult, Sequence[KeyRange]]


class _Stored(msgspec.Struct, array_like=True):
    """What a record's `state` holds beside the session."""

    seen: int
    """The ts of the newest update: no later one may be older, whichever process makes it."""
    ranges: bytes
    """Digest of the registered read set; empty: none."""
    session: bytes


_decode_stored = msgspec.msgpack.Decoder(_Stored).decode


@dataclass(slots=True)
class _Handling:
    """One message being handled."""

    session: Session
    registered: int = 0
    """The interest that the record names."""
    interest: int = 0
    seen: int = 0
    ranges: bytes = b""
    frames: list[bytes] = field(default_factory=list[bytes])
    actions: list[tuple[int, ActionCall]] = field(default_factory=list[tuple[int, ActionCall]])
    """To be started, by their request ids."""
    is_closing: bool = False

    def has_seen(self, refresh: Refresh) -> bool:
        """Whether an update has shown what it is about."""
        return refresh.ts is not None and self.seen >= refresh.ts


class ActionStarter(Protocol):
    """Starts actions elsewhere; an ActionEnded comes back through the connection's queue."""

    async def start(self, connection: str, request_id: int, call: ActionCall) -> None:
        """Start one. UnavailableError or CallerError: it may not have been started."""
        ...


class StoredSessions:
    """Handles the messages of stored sessions in one executor."""

    def __init__(  # noqa: PLR0913 - one port each
        self,
        engine: Engine,
        *,
        store: SessionStore,
        gateway: ConnectionGateway,
        interest: InterestStore,
        wakeups: SessionWakeups,
        authenticator: Authenticator,
        entropy: Entropy,
        limits: SessionLimits,
        actions: ActionStarter | None = None,
    ) -> None:
        """`interest`: shared by all executors; registered are pairs (connection, number)."""
        self._engine = engine
        self._store = store
        self._gateway = gateway
        self._interest = interest
        self._wakeups = wakeups
        self._authenticator = authenticator
        self._entropy = entropy
        self._limits = limits
        self._actions = actions

    def _now_ms(self) -> int:
        return self._engine.clock.now_ns() // 1_000_000

    async def handle(self, connection: str, message: QueueMessage) -> None:
        """Handle one message; when this returns, the queue may forget it.

        Raises:
            UnavailableError: the log can't be reached now; the queue gives the message out again.
        """
        while True:
            record = await self._store.load(connection)
            if message.receives > RECEIVES_MAX:
                await self._give_up(connection)
                return
            if record is not None and record.sending:
                # Another handler's mark: it died, or is so slow that this message came again.
                await self._give_up(connection)
                return
            if record is not None and message.sequence <= record.sequence:
                return
            handling = await self._take(connection, record, message.event)
            if handling is None:
                return
            changed = SessionRecord(
                version=record.version + 1 if record else 1,
                sequence=message.sequence,
                sending=bool(handling.frames or handling.actions) or handling.is_closing,
                interest=handling.interest,
                tick_ms=None if handling.session.is_closed else handling.session.next_tick_ms,
                silence_ms=handling.session.silence_ms,
                state=_encode(handling),
            )
            if await self._store.put(connection, changed):
                break
            # Another handler's version was stored: its read set counts.
            self._forget(connection, handling)
        if handling.registered not in (0, changed.interest):
            self._interest.unregister((connection, handling.registered))
        if changed.sending:
            await self._send(connection, changed, handling)

    def _forget(self, connection: str, handling: _Handling) -> None:
        """Unregister a read set that no record names."""
        if handling.interest not in (0, handling.registered):
            self._interest.unregister((connection, handling.interest))

    async def _take(
        self, connection: str, record: SessionRecord | None, event: Event
    ) -> _Handling | None:
        """The session after an event; None: there is nothing to change."""
        if isinstance(event, Opened):
            session = Session(event.client, now_ms=self._now_ms(), limits=self._limits)
            return _Handling(session)
        if record is None:
            await self._gateway.disconnect(connection)
            return None
        handling = self._decode(record)
        session = handling.session
        if session.is_closed:
            return None
        if isinstance(event, Refresh) and handling.has_seen(event) and not session.is_settling:
            # Its own mutation, mostly: the update after the answer has shown it.
            return None
        await self._step(handling, event)
        await self._show(connection, handling)
        # That took a while: what had only to wait for it to pass may have no message behind it.
        await self._carry_out(handling, session.settle(self._now_ms()))
        await self._show(connection, handling)
        if session.is_closed:
            self._forget(connection, handling)
            handling.interest, handling.ranges = 0, b""
        if session.is_settling:
            # Behind what is on its way: by then it is known whose the requests are.
            await self._wakeups.wake(connection, NOTHING_NEW)
        return handling

    async def _show(self, connection: str, handling: _Handling) -> None:
        """Every update that is wanted."""
        while handling.session.wants_update:
            await self._update(connection, handling)

    async def _step(self, handling: _Handling, event: Event) -> None:
        session = handling.session
        match event:
            case Received(text):
                await self._carry_out(handling, session.receive(text, self._now_ms()))
            case Tick():
                await self._carry_out(handling, session.tick(self._now_ms()))
            case Refresh():
                await self._carry_out(handling, session.settle(self._now_ms()))
                if not handling.has_seen(event):
                    await self._engine.committer.follow()
                    session.invalidated()
            case ActionEnded(request_id, result):
                # It may be told twice, or of a connection that has started over.
                if request_id in session.running_actions:
                    await self._carry_out(
                        handling, session.action_finished(request_id, result, self._now_ms())
                    )
            case Left() | Opened():
                session.close(1001, "")

    def _decode(self, record: SessionRecord) -> _Handling:
        stored = _decode_stored(record.state)
        session = Session.decode_state(stored.session, limits=self._limits)
        interest = record.interest
        return _Handling(session, interest, interest, stored.seen, stored.ranges)

    # What the session wishes

    async def _carry_out(self, handling: _Handling, effects: Iterable[Effect]) -> None:
        session = handling.session
        todo = deque(effects)
        while todo:
            match todo.popleft():
                case Send() as send:
                    handling.frames.extend(send.frames)
                    # Nobody computes another update before these frames have left.
                    session.sent(send)
                case RunMutation() as wish:
                    result = call_result(await self._mutate(session, wish))
                    todo.extend(session.mutation_finished(wish.request_id, result, self._now_ms()))
                case RunAction() as wish:
                    refusal = await self._take_action(handling, wish)
                    if refusal is not None:
                        now_ms = self._now_ms()
                        todo.extend(session.action_finished(wish.request_id, refusal, now_ms))
                case VerifyToken() as token:
                    todo.extend(await self._verify(session, token))
                case Close():
                    handling.is_closing = True

    async def _take_action(self, handling: _Handling, wish: RunAction) -> CallResult | None:
        """Have it started once the session is stored; why not, if it can't be."""
        caller = Caller(wish.identity, wish.is_admin)
        try:
            if self._actions is None:
                return CallResult(0, None, NO_ACTIONS)
            path = str(parse(wish.path))
            call = await self._engine.action_call(path, wish.arguments, caller)
        except CallerError as error:
            return CallResult(0, None, error.message)
        handling.actions.append((wish.request_id, call))
        return None

    async def _mutate(self, session: Session, wish: RunMutation) -> Answer:
        try:
            path = str(parse(wish.path))
        except CallerError as error:
            return Answer(0, None, error.message)
        caller = Caller(wish.identity, wish.is_admin)
        request = (session.session_id, wish.request_id)
        return await self._engine.mutation(path, wish.arguments, caller, request=request)

    async def _verify(self, session: Session, token: VerifyToken) -> list[Effect]:
        base = token.base_version
        try:
            login = await self._authenticator.session(token)
        except AuthenticationError as error:
            return session.authentication_failed(base, error.message, self._now_ms())
        except UnavailableError:
            return session.authentication_unavailable(base, self._now_ms())
        caller = login.caller
        return session.authenticated(
            base,
            caller.identity,
            self._now_ms(),
            is_admin=caller.is_admin,
            expires_ms=login.expires_ms,
        )

    # Updates

    async def _update(self, connection: str, handling: _Handling) -> None:
        """Show every query at one newest ts; its read sets are registered before it is sent."""
        session = handling.session
        session.invalidated()
        plan = session.plan_update()
        runs = 0
        while True:
            runs += 1
            ts, shown = await self._results(handling, plan)
            ranges = [key_range for _, read in shown.values() for key_range in read]
            if not await self._register(connection, handling, ts, ranges):
                break
            if runs == RUNS_MAX:
                await self._wakeups.wake(connection)
                break
        handling.seen = ts
        results = {query_id: result for query_id, (result, _) in shown.items()}
        await self._carry_out(handling, session.finish_update(plan, ts, results, self._now_ms()))

    async def _register(
        self,
        connection: str,
        handling: _Handling,
        ts: int,
        ranges: Sequence[KeyRange],
    ) -> bool:
        """Whether results at `ts` have been overtaken while their read set became registered.

        Register first, then look at the log: a commit is seen by one or the other (rule 17). What
        was registered before this message need not look: every later commit finds it there.
        """
        digest = _digest(ranges)
        if digest == handling.ranges:
            return False
        self._forget(connection, handling)
        handling.interest = self._entropy.bits(63) + 1 if ranges else 0
        handling.ranges = digest
        if not ranges:
            return False
        await self._interest.register((connection, handling.interest), ranges)
        await self._engine.committer.follow()
        return self._engine.replica.overtaken_at(ts, ranges) is not None

    async def _results(
        self, handling: _Handling, plan: UpdatePlan
    ) -> tuple[int, Mapping[int, _Shown]]:
        """The results of all queries of a plan, at one durable ts."""
        engine, session = self._engine, handling.session
        minimum = max(plan.minimum_ts, session.answered_ts, session.max_observed_ts, handling.seen)
        caller = Caller(plan.identity, plan.is_admin)
        for _ in range(SNAPSHOTS_MAX):
            if engine.latest_ts() < minimum:
                await engine.committer.follow()
            ts = engine.latest_ts()
            if ts < minimum:
                # The client has seen another history: the machine sends it away.
                return ts, {}
            try:
                return ts, {
                    spec.query_id: await self._fetch(spec, caller, ts) for spec in plan.queries
                }
            except UnavailableError:
                continue
        raise UnavailableError("SnapshotsExpire", "Snapshots expire faster than queries finish.")

    async def _fetch(self, spec: QuerySpec, caller: Caller, ts: int) -> _Shown:
        entry = await self._engine.queries.fetch(
            query_path(spec.path), spec.arguments, caller, spec.journal, ts
        )
        assert entry.result is not None
        assert entry.outcome is not None
        # Taken out at once: the entry is shared, and goes on to newer results.
        return entry.result, entry.outcome.read_ranges

    # Sending

    async def _send(self, connection: str, record: SessionRecord, handling: _Handling) -> None:
        try:
            for request_id, call in handling.actions:
                assert self._actions is not None
                # Behind the mark: whoever finds it knows that this may have happened, so an action
                # is started at most once, and a client that could wait for ever is sent away.
                await self._actions.start(connection, request_id, call)
            for frame in handling.frames:
                await self._gateway.post(connection, frame)
        except (CallerError, UnavailableError):
            # The connection is gone, or what was posted or started is in doubt.
            await self._give_up(connection)
            return
        if handling.is_closing:
            await self._gateway.disconnect(connection)
        # Refused if somebody has given the connection up meanwhile.
        await self._store.put(
            connection, replace(record, version=record.version + 1, sending=False)
        )

    async def _give_up(self, connection: str) -> None:
        """Close a connection of which nobody knows what has arrived."""
        await self._gateway.disconnect(connection)
        while (record := await self._store.load(connection)) is not None:
            handling = self._decode(record)
            if handling.session.is_closed and not record.sending:
                return
            handling.session.close(1011, "DeliveryInDoubt")
            closed = replace(
                record,
                version=record.version + 1,
                sending=False,
                interest=0,
                tick_ms=None,
                silence_ms=0,
                state=_encode(handling),
            )
            if await self._store.put(connection, closed):
                self._interest.unregister((connection, record.interest))
                return


def _encode(handling: _Handling) -> bytes:
    session = handling.session.encode_state()
    return msgspec.msgpack.encode(_Stored(handling.seen, handling.ranges, session))


def _digest(ranges: Sequence[KeyRange]) -> bytes:
    """16 bytes that tell read sets apart; empty for the empty one."""
    if not ranges:
        return b""
    bounds = sorted({(each.lo, each.hi) for each in ranges})
    return blake2b(msgspec.msgpack.encode(bounds), digest_size=16).digest()

"""The session machine: one client's socket as a value that events move and effects leave.

Every method takes what happened and the driver's clock (ms since the epoch) and returns the effects
to carry out, in order. The machine does no I/O and never waits; between two calls the whole session
can be turned into bytes and back (`encode_state`, `decode_state`).

    client text  -> receive                    -> RunMutation, RunAction, VerifyToken, Send, Close
    finished     -> mutation_finished, ...     -> Send(response), RunMutation
    token known  -> authenticated, ...         -> what was held back
    data changed -> invalidated
    wants_update -> plan_update -> (driver gets results at one ts) -> finish_update -> Send
    frames left  -> sent
    time passes  -> tick (at the latest at next_tick_ms) -> Send(Ping), Close

The peer's mistakes are effects (FatalError and Close), never exceptions; assertions state what the
driver must keep. Rules: convex-protocol.md 1.4 to 1.8, protocols.md 19 and 20, docs/sessions.md.
"""

from collections.abc import Iterable, Mapping

from syncline.errors import ProtocolError
from syncline.sync import frames
from syncline.sync.client_kind import ClientKind
from syncline.sync.effects import (
    Close,
    Effect,
    QuerySpec,
    RunAction,
    RunMutation,
    Send,
    UpdatePlan,
    VerifyToken,
)
from syncline.sync.inbound import awaits_admin, hold_message, is_settling, take_held, take_message
from syncline.sync.messages import decode_message, read_text
from syncline.sync.phases import HANDLING, Handling, Phase
from syncline.sync.results import CallResult, QueryResult
from syncline.sync.state import (
    Identity,
    SessionLimits,
    SessionState,
    decode_session_state,
    encode_session_state,
)
from syncline.sync.step import GOING_AWAY, INTERNAL_ERROR, TRY_AGAIN, Step
from syncline.sync.updates import complete_plan, make_plan

__all__ = [
    "GOING_AWAY",
    "INTERNAL_ERROR",
    "TRY_AGAIN",
    "CallResult",
    "ClientKind",
    "Close",
    "Effect",
    "Phase",
    "QueryResult",
    "QuerySpec",
    "RunAction",
    "RunMutation",
    "Send",
    "Session",
    "SessionLimits",
    "UpdatePlan",
    "VerifyToken",
]


class Session:
    """One connection of one client."""

    __slots__ = ("_limits", "_state")

    def __init__(
        self,
        client: ClientKind,
        *,
        now_ms: int,
        limits: SessionLimits | None = None,
        state: SessionState | None = None,
    ) -> None:
        self._limits = limits or SessionLimits()
        self._state = state or SessionState(client, now_ms, now_ms, now_ms, now_ms)

    # What the driver may ask

    @property
    def phase(self) -> Phase:
        """Where the session stands."""
        return self._state.phase

    @property
    def is_closed(self) -> bool:
        """Whether the session is over: every event is ignored from now on."""
        return self._state.phase is Phase.CLOSED

    @property
    def session_id(self) -> str:
        """The client's session id, which names its requests; empty before Connect."""
        return self._state.session_id

    @property
    def running_mutation(self) -> RunMutation | None:
        """The mutation asked for and not yet reported finished."""
        return self._state.requests.running

    @property
    def running_actions(self) -> tuple[int, ...]:
        """The ids of actions asked for and not yet reported finished."""
        return tuple(self._state.requests.actions)

    @property
    def max_observed_ts(self) -> int:
        """The newest ts that the client had seen before it connected; 0 if none."""
        return self._state.max_observed_ts

    @property
    def answered_ts(self) -> int:
        """The newest ts named in a response: no later Transition may lie below it."""
        return self._state.answered_ts

    @property
    def computing(self) -> UpdatePlan | None:
        """The plan that waits for `finish_update`."""
        return self._state.computing

    @property
    def wants_update(self) -> bool:
        """Whether to call `plan_update`: something changed, and no update is in the way."""
        state = self._state
        return (
            state.update_wanted
            and state.computing is None
            and state.unsent_transitions < self._limits.unsent_transitions
            and state.phase is not Phase.CLOSED
            and not (state.connection_count > 0 and is_settling(state, self._limits))
            and not (self.may_repeat_answered and (state.requests.mutations or state.held.requests))
        )

    @property
    def is_settling(self) -> bool:
        """Whether something waits for an Authenticate that it may have overtaken; see `settle`.

        Requests do, and the first update of a client that comes back: it would be shown, for a
        moment, what nobody in particular may see.
        """
        state = self._state
        is_waiting = bool(state.held.requests) or (
            state.connection_count > 0 and state.update_wanted
        )
        return is_waiting and is_settling(state, self._limits)

    @property
    def may_repeat_answered(self) -> bool:
        """Whether the client came back, was shown nothing yet, and breaks on late answers.

        It repeats mutations of which it has the answer but not the Transition. The first one
        settles them, and PyPI 0.8.1 then reconnects on the repeated answer and may hang for ever:
        so no update is wanted while mutations run.
        """
        state = self._state
        return not state.client.knows_late_answers and state.sent_ts < state.max_observed_ts

    def query(self, query_id: int) -> QuerySpec | None:
        """A subscription as it stands, with the journal of its newest result."""
        query = self._state.query_set.queries.get(query_id)
        if query is None:
            return None
        return QuerySpec(query_id, query.path, query.arguments, query.journal)

    @property
    def silence_ms(self) -> int:
        """So long the client bears without a frame; 0: the session is over."""
        return 0 if self.is_closed else self._state.client.silence_ms

    @property
    def next_tick_ms(self) -> int | None:
        """When `tick` has something to do at the latest, if nothing happens before; None: never."""
        state, limits = self._state, self._limits
        times: list[int] = []
        if limits.sends_pings:
            times.append(state.last_sent_ms + state.client.ping_interval_ms)
        if limits.idle_ms is not None:
            times.append(state.last_heard_ms + limits.idle_ms)
        if state.held.since_ms is not None:
            times.append(state.held.since_ms + limits.held_ms)
        if self._lacks_admin:
            times.append(state.connected_ms + limits.admin_ms)
        if self.is_settling:
            times.append(state.connected_ms + limits.settling_ms)
        if (end_ms := self._end_ms) is not None:
            times.append(max(end_ms, state.now_ms + 1) if state.requests.actions else end_ms)
        return min(times, default=None)

    @property
    def _lacks_admin(self) -> bool:
        """Whether queries were left out of an update for want of an admin."""
        state = self._state
        may_wait = self._limits.admin_ms and not state.identity_version
        return bool(may_wait and state.query_set.stale) and not state.update_wanted

    @property
    def _end_ms(self) -> int | None:
        """When the connection has lived long enough."""
        life_ms, opened_ms = self._limits.life_ms, self._state.opened_ms
        if life_ms is None:
            return None
        # Connections open at any millisecond, so those of its last digits spread the ends.
        return opened_ms + life_ms - opened_ms * 7919 % 1000 * life_ms // 10_000

    def _begin(self, now_ms: int) -> Step:
        self._state.now_ms = now_ms
        return Step(self._state, self._limits)

    # What the client says

    def receive(self, text: str | bytes, now_ms: int, newest_ts: int | None = None) -> list[Effect]:
        """A text frame arrived.

        `newest_ts`: the newest ts that the server knows, if it is at hand. A client that has seen
        a newer one is disconnected at once, otherwise with its first update.
        """
        step = self._begin(now_ms)
        state = self._state
        if state.phase is Phase.CLOSED:
            return step.effects
        state.last_heard_ms = now_ms
        try:
            text = read_text(text)
            message = decode_message(text)
            handling = HANDLING[state.phase][type(message).__name__]
            if handling is Handling.TAKE:
                take_message(step, message, text)
                if newest_ts is not None and newest_ts < state.max_observed_ts:
                    step.close_behind()
                elif state.held.count:
                    take_held(step)
            elif handling is Handling.HOLD:
                hold_message(step, text)
            elif handling is Handling.REFUSE:
                raise ProtocolError("UnexpectedConnect", "Received a second Connect message")
        except ProtocolError as error:
            step.fail(error.message)
        return step.effects

    # What the driver finished

    def mutation_finished(self, request_id: int, result: CallResult, now_ms: int) -> list[Effect]:
        """The running mutation has its outcome, durably: answer it and start the next one.

        Report it before any update at or past its ts is finished: a Transition that passes an
        unanswered mutation makes the client's optimistic update flicker (convex-protocol.md 1.5).
        """
        step = self._begin(now_ms)
        state = self._state
        if state.phase is Phase.CLOSED:
            return step.effects
        running = state.requests.running
        assert running is not None, f"no mutation runs, but {request_id} finished"
        assert running.request_id == request_id, f"{running.request_id} runs, not {request_id}"
        assert result.value is None or result.recorded or result.ts > state.sent_ts, (
            f"a Transition to {state.sent_ts} passed mutation {request_id} at {result.ts}"
        )
        state.requests.running = None
        step.respond(frames.mutation_response, request_id, result)
        step.start_mutation()
        return step.effects

    def action_finished(self, request_id: int, result: CallResult, now_ms: int) -> list[Effect]:
        """An action has its outcome: answer it."""
        step = self._begin(now_ms)
        state = self._state
        if state.phase is Phase.CLOSED:
            return step.effects
        assert request_id in state.requests.actions, f"action {request_id} doesn't run"
        del state.requests.actions[request_id]
        step.respond(frames.action_response, request_id, result)
        return step.effects

    def authenticated(
        self,
        base_version: int,
        identity: bytes | None,
        now_ms: int,
        *,
        is_admin: bool = False,
        expires_ms: int | None = None,
    ) -> list[Effect]:
        """The token is good: `identity` is UserIdentityAttributes as JSON, None for a plain admin.

        `expires_ms`: from then on requests and updates are answered by AuthError.
        """
        step = self._begin(now_ms)
        if self._state.phase is Phase.CLOSED:
            return step.effects
        self._check_verifying(base_version)
        step.enter(Phase.CONNECTED)
        step.change_identity(Identity(identity, is_admin, expires_ms))
        try:
            take_held(step)
        except ProtocolError as error:
            step.fail(error.message)
        return step.effects

    def authentication_failed(self, base_version: int, message: str, now_ms: int) -> list[Effect]:
        """The token is not good: tell the client, which then fetches another one."""
        step = self._begin(now_ms)
        if self._state.phase is not Phase.CLOSED:
            self._check_verifying(base_version)
            step.refuse_identity(message, update_attempted=True)
        return step.effects

    def authentication_unavailable(self, base_version: int, now_ms: int) -> list[Effect]:
        """The token could not be checked now (keys unreachable): the client tries again later."""
        step = self._begin(now_ms)
        if self._state.phase is not Phase.CLOSED:
            self._check_verifying(base_version)
            step.close(TRY_AGAIN, "AuthenticationUnavailable")
        return step.effects

    def _check_verifying(self, base_version: int) -> None:
        state = self._state
        assert state.phase is Phase.VERIFYING, "no token is being verified"
        assert base_version == state.identity_version, f"not the token of {base_version}"

    # Updates

    def invalidated(self, query_ids: Iterable[int] | None = None) -> None:
        """Data that these queries (None: all) read was written; unknown ids are skipped."""
        if self._state.query_set.invalidate(query_ids):
            self._state.update_wanted = True

    def plan_update(self) -> UpdatePlan:
        """Begin the update that is wanted; end it with `finish_update`."""
        assert self.wants_update, "no update is wanted, or none may begin"
        state = self._state
        return make_plan(state, awaits_admin=awaits_admin(state, self._limits))

    def finish_update(
        self, plan: UpdatePlan, ts: int, results: Mapping[int, QueryResult], now_ms: int
    ) -> list[Effect]:
        """Show the client the results of a plan, all of them valid at `ts`.

        So must be the results that the client holds of all other queries; `results` may bring new
        ones for them too.

        `ts` is durable, at or past `plan.minimum_ts`. If the server knows nothing so new, because
        the client has seen another history (`maxObservedTimestamp`), call with the newest durable
        ts: the connection is closed, and nothing older is shown.
        """
        step = self._begin(now_ms)
        state = self._state
        if state.phase is Phase.CLOSED:
            return step.effects
        assert state.computing is not None, "no update is being computed"
        assert state.computing.number == plan.number, "another update is being computed"
        state.computing = None
        if ts < state.max_observed_ts:
            step.close_behind()
            return step.effects
        assert ts >= plan.minimum_ts, f"an update to {ts}, but {plan.minimum_ts} was shown"
        if state.phase is not Phase.VERIFYING and step.refuse_expired():
            return step.effects
        send = complete_plan(state, self._limits, plan, ts, results)
        if send is not None:
            step.send(send)
        return step.effects

    def sent(self, effect: Send) -> None:
        """The frames have been handed to the transport: later updates need not wait for them."""
        state = self._state
        state.unsent_transitions = max(state.unsent_transitions - effect.transitions, 0)

    # Time, and the end

    def pong_received(self, now_ms: int) -> None:
        """The transport heard from the client, if only a pong."""
        self._state.last_heard_ms = now_ms

    def tick(self, now_ms: int) -> list[Effect]:
        """Time has passed: a Ping after a silence of ours, the end after one of the client's."""
        step = self._begin(now_ms)
        state = self._state
        if state.phase is Phase.CLOSED:
            return step.effects
        idle_ms = self._limits.idle_ms
        held_since = state.held.since_ms
        if idle_ms is not None and now_ms - state.last_heard_ms >= idle_ms:
            step.close(GOING_AWAY, "InactiveClient")
        elif held_since is not None and now_ms - held_since >= self._limits.held_ms:
            step.close(INTERNAL_ERROR, "EarlierMessageMissing")
        elif (
            (end_ms := self._end_ms) is not None and now_ms >= end_ms and not state.requests.actions
        ):
            step.close(GOING_AWAY, "ConnectionLifeEnds")
        elif (
            self._limits.sends_pings
            and now_ms - state.last_sent_ms >= state.client.ping_interval_ms
        ):
            step.send(Send((frames.PING,)))
        return [*step.effects, *self.settle(now_ms)]

    def settle(self, now_ms: int) -> list[Effect]:
        """Take what waited for an Authenticate, once none is to be expected."""
        step = self._begin(now_ms)
        if self._lacks_admin and not awaits_admin(self._state, self._limits):
            self._state.update_wanted = True
        if self._state.phase is Phase.CONNECTED and self._state.held.requests:
            try:
                take_held(step)
            except ProtocolError as error:
                step.fail(error.message)
        return step.effects

    def close(self, code: int, reason: str) -> list[Effect]:
        """End the session for a reason of the driver's; closing twice does nothing."""
        step = Step(self._state, self._limits)
        if self._state.phase is not Phase.CLOSED:
            step.close(code, reason)
        return step.effects

    def encode_state(self) -> bytes:
        """The whole session, without its limits, as bytes that `decode_state` reads."""
        return encode_session_state(self._state)

    @classmethod
    def decode_state(cls, data: bytes, *, limits: SessionLimits | None = None) -> "Session":
        """The session that was encoded; it goes on exactly as the other would have.

        Raises:
            msgspec.DecodeError: if the bytes are not such a session.
        """
        state = decode_session_state(data)
        return cls(state.client, now_ms=state.now_ms, limits=limits, state=state)

"""What the client says, in the order in which it was meant (protocols.md rule 20).

Base versions order changes of the query set and of the identity; whatever has to see an identity
waits until that is known. Request ids are remembered, so that none is answered twice.
"""

from typing import Final

from syncline.errors import ProtocolError
from syncline.sync import frames
from syncline.sync.effects import RunAction, RunMutation, VerifyToken
from syncline.sync.messages import (
    Action,
    Authenticate,
    ClientMessage,
    Connect,
    ModifyQuerySet,
    Mutation,
    decode_message,
    decode_observed_ts,
)
from syncline.sync.phases import Phase
from syncline.sync.results import CallResult
from syncline.sync.state import Identity, SessionLimits, SessionState
from syncline.sync.step import TRY_AGAIN, Step
from syncline.sync.updates import component_message

_SEEN_RUNS_MAX: Final = 10_000
"""So many gaps between request ids are remembered; clients count up, so they make few."""


def take_message(step: Step, message: ClientMessage, text: str) -> None:
    """Take a message whose turn it is by its phase; it may still be ahead by its base version.

    Raises:
        ProtocolError: with the text of the FatalError that answers it.
    """
    match message:
        case Mutation() | Action() if _is_ahead(step, message.request_id):
            held = step.state.held.requests
            if message.request_id not in held:
                _hold_ahead(step, held, message.request_id, text)
        case Mutation():
            _take_mutation(step, message)
        case Action():
            _take_action(step, message)
        case ModifyQuerySet():
            _take_query_set(step, message, text)
        case Authenticate():
            _take_authenticate(step, message, text)
        case Connect():
            _take_connect(step, message)
        case _:  # an Event is never taken
            raise AssertionError(message)


def _take_connect(step: Step, message: Connect) -> None:
    state = step.state
    state.session_id = message.session_id
    state.connected_ms = state.now_ms
    state.connection_count = message.connection_count
    if message.max_observed_timestamp is not None:
        state.max_observed_ts = decode_observed_ts(message.max_observed_timestamp)
    if message.client_ts is not None:
        state.clock_skew_ms = message.client_ts - state.now_ms
    step.enter(Phase.CONNECTED)


def _take_mutation(step: Step, message: Mutation) -> None:
    state = step.state
    requests = state.requests
    if not _accept_request(step, message):
        return
    if message.component_path:
        text = component_message(message.component_path, is_admin=state.identity.is_admin)
        step.respond(frames.mutation_response, message.request_id, CallResult(0, None, text))
        return
    if requests.mutations >= step.limits.mutations:
        step.close(TRY_AGAIN, "TooManyConcurrentMutations")
        return
    requests.waiting.append(
        RunMutation(
            message.request_id,
            message.udf_path,
            bytes(message.args),
            state.identity.attributes,
            state.identity.is_admin,
            state.connection_count > 0,
        )
    )
    step.start_mutation()


def _take_action(step: Step, message: Action) -> None:
    state = step.state
    requests = state.requests
    if not _accept_request(step, message):
        return
    if message.component_path:
        text = component_message(message.component_path, is_admin=state.identity.is_admin)
        step.respond(frames.action_response, message.request_id, CallResult(0, None, text))
        return
    if len(requests.actions) >= step.limits.actions:
        step.close(TRY_AGAIN, "TooManyConcurrentActions")
        return
    requests.actions[message.request_id] = None
    step.effects.append(
        RunAction(
            message.request_id,
            message.udf_path,
            bytes(message.args),
            state.identity.attributes,
            state.identity.is_admin,
        )
    )


def is_settling(state: SessionState, limits: SessionLimits) -> bool:
    """Whether an Authenticate that was sent before the first requests may still be on its way.

    Connect may have been taken by a machine whose clock is far ahead: that would be a long wait.
    """
    elapsed_ms = abs(state.now_ms - state.connected_ms)
    return state.identity_version == 0 and elapsed_ms < limits.settling_ms


def awaits_admin(state: SessionState, limits: SessionLimits) -> bool:
    """Whether an Authenticate that makes the client an admin may still be on its way."""
    return state.identity_version == 0 and state.now_ms < state.connected_ms + limits.admin_ms


def _is_ahead(step: Step, request_id: int) -> bool:
    """Whether an earlier message is, or may be, still to come."""
    state = step.state
    if is_settling(state, step.limits):
        return True
    if not step.limits.orders_requests or state.connection_count > 0:
        return False
    return request_id > state.requests.seen_from_zero


def _accept_request(step: Step, message: Mutation | Action) -> bool:
    """Whether the request is to be answered: not seen before, by an identity still valid."""
    requests = step.state.requests
    if not requests.is_new(message.request_id):
        return False
    if requests.seen_runs > _SEEN_RUNS_MAX:
        step.close(TRY_AGAIN, "TooManyRequestIds")
        return False
    return not step.refuse_expired()


def _take_query_set(step: Step, message: ModifyQuerySet, text: str) -> None:
    query_set = step.state.query_set
    held = step.state.held
    base = message.base_version
    if base < query_set.version or base in held.query_sets:
        raise _mismatch(base, query_set.version)
    if base > query_set.version:
        _hold_ahead(step, held.query_sets, base, text)
        return
    problem = query_set.apply(message)
    if problem is not None:
        raise ProtocolError("InvalidModification", problem)
    step.want_transition()


def _take_authenticate(step: Step, message: Authenticate, text: str) -> None:
    state = step.state
    base = message.base_version
    if base < state.identity_version or base in state.held.authentications:
        raise _mismatch(base, state.identity_version)
    if base > state.identity_version:
        _hold_ahead(step, state.held.authentications, base, text)
        if state.phase is Phase.CONNECTED:
            step.enter(Phase.REORDERING)
        return
    kind = message.token_type
    match kind:
        case "None":
            if state.phase is Phase.REORDERING:
                step.enter(Phase.CONNECTED)
            step.change_identity(Identity())
        case "User" | "Admin":
            assert message.value is not None, "a token is never decoded without its value"
            step.enter(Phase.VERIFYING)
            step.effects.append(VerifyToken(base, kind, message.value, message.acting_as))


def hold_message(step: Step, text: str) -> None:
    """Keep a message that its phase does not allow yet."""
    held = step.state.held
    if step.state.phase is Phase.AWAITING_CONNECT and held.since_ms is None:
        held.since_ms = step.state.now_ms
    held.inbox.append(text)
    _count_held(step, len(text))


def _hold_ahead(step: Step, place: dict[int, str], base: int, text: str) -> None:
    held = step.state.held
    if held.since_ms is None:
        held.since_ms = step.state.now_ms
    place[base] = text
    _count_held(step, len(text))


def _count_held(step: Step, characters: int) -> None:
    held = step.state.held
    held.characters += characters
    if held.count > step.limits.held_messages or held.characters > step.limits.held_characters:
        step.close(TRY_AGAIN, "TooManyMessagesHeldBack")


def take_held(step: Step) -> None:
    """Take what was held back, as far as its turn has come.

    Raises:
        ProtocolError: as `take_message`.
    """
    state = step.state
    while (text := _next_held(step)) is not None:
        state.held.characters -= len(text)
        take_message(step, decode_message(text), text)
        if state.phase is Phase.CLOSED:
            return
    held = state.held
    if not held.query_sets and not held.authentications and not held.requests:
        held.since_ms = None


def _next_held(step: Step) -> str | None:
    state = step.state
    held = state.held
    if state.phase not in (Phase.CONNECTED, Phase.REORDERING):
        return None
    if text := held.authentications.pop(state.identity_version, None):
        return text
    if text := held.query_sets.pop(state.query_set.version, None):
        return text
    if state.phase is Phase.CONNECTED and held.authentications:
        step.enter(Phase.REORDERING)
    if state.phase is Phase.REORDERING:
        return _take_missing(step)
    if held.requests and not _is_ahead(step, first := min(held.requests)):
        return held.requests.pop(first)
    return held.inbox.pop(0) if held.inbox else None


def _take_missing(step: Step) -> str | None:
    """The missing Authenticate, if it lies behind the one that it was meant to precede."""
    inbox = step.state.held.inbox
    for at, text in enumerate(inbox):
        message = decode_message(text)
        if (
            isinstance(message, Authenticate)
            and message.base_version == step.state.identity_version
        ):
            return inbox.pop(at)
    return None


def _mismatch(base: int, current: int) -> ProtocolError:
    return ProtocolError(
        "BaseVersionMismatch",
        f"Base version {base} passed up doesn't match the current version {current}",
    )

"""What the client says, message by message: effects of each, and what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.sync.phases import HANDLING, MOVES, Handling, Phase
from syncline.sync.session import (
    CallResult,
    Close,
    Effect,
    RunAction,
    RunMutation,
    Session,
    SessionLimits,
    VerifyToken,
)
from tests.unit.sync.conversation import (
    PYTHON,
    SESSION_ID,
    START_MS,
    Conversation,
    add,
    frames_of,
    remove,
)

ANN = b'{"subject":"ann"}'


def in_phase(phase: Phase) -> Conversation:
    conversation = Conversation(connect=phase is not Phase.AWAITING_CONNECT)
    if phase is Phase.VERIFYING:
        conversation.signs_in(0)
    elif phase is Phase.REORDERING:
        conversation.signs_in(1)
    elif phase is Phase.CLOSED:
        conversation.session.close(1001, "Shutdown")
    assert conversation.session.phase is phase
    return conversation


MESSAGES: dict[str, dict[str, Any]] = {
    "Connect": {"sessionId": SESSION_ID},
    "Authenticate": {"baseVersion": 0, "tokenType": "None"},
    "ModifyQuerySet": {"baseVersion": 0, "newVersion": 1, "modifications": []},
    "Mutation": {"requestId": 0, "udfPath": "a:b", "args": [{}]},
    "Action": {"requestId": 0, "udfPath": "a:b", "args": [{}]},
    "Event": {"eventType": "ClientConnect", "event": None},
}


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("kind", list(MESSAGES))
def test_each_message_is_handled_as_the_table_says(phase: Phase, kind: str):
    conversation = in_phase(phase)
    before = json.dumps(repr(conversation.session.encode_state()))
    effects = conversation.says(kind, **MESSAGES[kind])
    handling = HANDLING[phase][kind]
    held = conversation.session._state.held.inbox
    if handling is Handling.REFUSE:
        assert frames_of(effects)[0]["type"] == "FatalError"
        assert effects[-1] == Close(None, "")
    elif handling is Handling.HOLD:
        assert effects == []
        assert [json.loads(text)["type"] for text in held] == [kind]
    elif handling is Handling.IGNORE:
        assert effects == []
        assert conversation.session.phase is phase
        assert json.dumps(repr(conversation.session.encode_state())) == before
    else:
        assert held == []
        assert conversation.session.phase is not Phase.CLOSED


def test_every_phase_handles_every_message_and_every_phase_can_be_left():
    assert set(HANDLING) == set(Phase)
    assert all(set(row) == set(MESSAGES) for row in HANDLING.values())
    assert {move.source for move in MOVES} == set(Phase) - {Phase.CLOSED}


def test_an_illegal_move_is_our_bug():
    session = in_phase(Phase.AWAITING_CONNECT).session
    with pytest.raises(AssertionError, match="no token is being verified"):
        session.authenticated(0, None, START_MS)


def test_a_mutation_is_run_with_what_the_client_wrote():
    conversation = Conversation()
    effects = conversation.mutates(3, udfPath="tasks.js:add", args=[{"text": "é"}])
    arguments = b'[{"text": "\\u00e9"}]'
    assert effects == [RunMutation(3, "tasks.js:add", arguments, None, False, False)]
    assert conversation.session.session_id == SESSION_ID
    assert conversation.session.running_mutation == effects[0]


def test_a_client_that_was_connected_before_may_resend():
    conversation = Conversation(connect=False)
    conversation.connects(connectionCount=1)
    (mutation,) = conversation.mutates(0)
    assert isinstance(mutation, RunMutation)
    assert mutation.maybe_resent


def test_mutations_run_one_at_a_time_in_the_order_of_arrival():
    conversation = Conversation()
    assert len(conversation.mutates(5)) == 1
    assert conversation.mutates(2) == []
    assert conversation.mutates(9) == []
    response, following = conversation.finished(5, ts=100)
    assert frames_of([response])[0]["requestId"] == 5
    assert isinstance(following, RunMutation)
    assert following.request_id == 2
    assert conversation.finished(2, ts=101)[1].request_id == 9


def test_actions_run_beside_each_other_and_beside_mutations():
    conversation = Conversation()
    conversation.mutates(0)
    assert conversation.acts(1) == [RunAction(1, "mail:send", b"[{}]", None, False)]
    assert len(conversation.acts(2)) == 1
    assert conversation.session.running_actions == (1, 2)
    effects = conversation.session.action_finished(2, CallResult(0, b"1.0"), START_MS)
    assert frames_of(effects)[0]["type"] == "ActionResponse"
    assert conversation.session.running_actions == (1,)


def test_a_request_id_is_answered_once_only():
    conversation = Conversation()
    conversation.mutates(0)
    assert conversation.mutates(0) == []
    conversation.finished(0, ts=100)
    assert conversation.mutates(0) == []
    assert conversation.acts(0) == []


def test_too_many_mutations_close_the_connection():
    conversation = Conversation(limits=SessionLimits(mutations=2))
    conversation.mutates(0)
    conversation.mutates(1)
    assert conversation.mutates(2) == [Close(1013, "TooManyConcurrentMutations")]
    assert conversation.session.is_closed
    assert conversation.finished(0, ts=100) == []


def test_too_many_actions_close_the_connection():
    conversation = Conversation(limits=SessionLimits(actions=1))
    conversation.acts(0)
    assert conversation.acts(1) == [Close(1013, "TooManyConcurrentActions")]


def test_odd_request_ids_are_remembered_up_to_a_bound_only():
    conversation = Conversation(limits=SessionLimits(mutations=20_000))
    effects = []
    for request_id in range(0, 20_002, 2):
        effects = conversation.mutates(request_id)
    assert effects == [Close(1013, "TooManyRequestIds")]


def test_components_are_refused_without_running_anything():
    conversation = Conversation()
    (frame,) = frames_of(conversation.mutates(0, componentPath="child"))
    assert frame["type"] == "MutationResponse"
    assert frame["result"] == "Only admins may name a component: call without componentPath."
    assert frame["ts"] is None
    (frame,) = frames_of(conversation.acts(1, componentPath="child"))
    assert frame["success"] is False
    assert conversation.session.wants_update
    assert len(conversation.mutates(2, componentPath="")) == 1


def test_a_token_is_verified_while_later_messages_wait():
    conversation = Conversation()
    effects = conversation.says(
        "Authenticate",
        baseVersion=0,
        tokenType="Admin",
        value="key",
        impersonating={"subject": "u1"},
    )
    assert effects == [VerifyToken(0, "Admin", "key", b'{"subject": "u1"}')]
    assert conversation.modifies(0, add(0)) == []
    assert conversation.mutates(0) == []
    assert not conversation.session.wants_update
    (mutation,) = conversation.session.authenticated(0, ANN, START_MS, is_admin=True)
    assert isinstance(mutation, RunMutation)
    assert (mutation.identity, mutation.is_admin) == (ANN, True)
    plan, (frame,) = conversation.updates(100, {0: "x"})
    assert (plan.identity, plan.is_admin) == (ANN, True)
    assert (frame["endVersion"]["querySet"], frame["endVersion"]["identity"]) == (1, 1)


def test_a_mutation_keeps_the_identity_of_its_arrival():
    conversation = Conversation()
    conversation.mutates(0)
    conversation.mutates(1)
    conversation.signs_in(0)
    conversation.session.authenticated(0, ANN, START_MS)
    second = conversation.finished(0, ts=100)[1]
    assert isinstance(second, RunMutation)
    assert second.identity is None


def test_signing_out_needs_no_verification():
    conversation = Conversation()
    conversation.signs_in(0)
    conversation.session.authenticated(0, ANN, START_MS)
    assert conversation.signs_out(1) == []
    (mutation,) = conversation.mutates(0)
    assert isinstance(mutation, RunMutation)
    assert mutation.identity is None
    _, (frame,) = conversation.updates(100)
    assert frame["endVersion"]["identity"] == 2


def test_a_refused_token_is_an_auth_error_with_the_current_version():
    conversation = Conversation()
    conversation.signs_out(0)
    conversation.signs_in(1)
    effects = conversation.session.authentication_failed(1, "expired long ago", START_MS)
    assert frames_of(effects) == [
        {
            "type": "AuthError",
            "error": "expired long ago",
            "baseVersion": 1,
            "authUpdateAttempted": True,
        }
    ]
    assert effects[-1] == Close(None, "")


def test_a_token_that_cannot_be_checked_now_is_no_auth_error():
    conversation = Conversation()
    conversation.signs_in(0)
    effects = conversation.session.authentication_unavailable(0, START_MS)
    assert effects == [Close(1013, "AuthenticationUnavailable")]


@pytest.mark.parametrize("request_kind", ["mutates", "acts"])
def test_a_request_of_an_expired_identity_is_refused(request_kind: str):
    conversation = Conversation()
    conversation.signs_in(0)
    conversation.session.authenticated(0, ANN, START_MS, expires_ms=START_MS + 60_000)
    assert len(conversation.mutates(0)) == 1
    conversation.now_ms += 60_000
    effects = getattr(conversation, request_kind)(1)
    assert frames_of(effects) == [
        {
            "type": "AuthError",
            "error": "Convex token identity expired",
            "baseVersion": 1,
            "authUpdateAttempted": False,
        }
    ]
    assert effects[-1] == Close(None, "")


def test_messages_before_connect_wait_for_it_in_order():
    conversation = Conversation(connect=False)
    conversation.mutates(4)
    conversation.modifies(0, add(0))
    conversation.mutates(3)
    effects = conversation.connects()
    assert [effect.request_id for effect in effects if isinstance(effect, RunMutation)] == [4]
    assert conversation.session._state.query_set.version == 1
    assert conversation.finished(4, ts=100)[1].request_id == 3


def test_query_sets_that_arrive_early_wait_for_the_earlier_ones():
    conversation = Conversation()
    assert conversation.modifies(2, remove(0)) == []
    assert conversation.modifies(1, add(1)) == []
    assert not conversation.session.wants_update
    assert len(conversation.mutates(0)) == 1
    assert conversation.modifies(0, add(0)) == []
    plan, _ = conversation.updates(100, {1: "x"})
    assert plan.query_set == 3
    assert [spec.query_id for spec in plan.queries] == [1]
    assert plan.removed == (0,)


def test_an_early_authenticate_holds_everything_for_the_earlier_one():
    conversation = Conversation()
    assert conversation.signs_in(1, "second") == []
    assert conversation.mutates(0) == []
    assert conversation.signs_out(0) == [VerifyToken(1, "User", "second", None)]
    (mutation,) = conversation.session.authenticated(1, ANN, START_MS)
    assert isinstance(mutation, RunMutation)
    assert mutation.identity == ANN


def test_the_missing_authenticate_is_found_behind_the_early_one():
    conversation = Conversation(connect=False)
    conversation.signs_in(1, "second")
    conversation.mutates(0)
    conversation.signs_in(0, "first")
    assert conversation.connects() == [VerifyToken(0, "User", "first", None)]
    second = conversation.session.authenticated(0, None, START_MS)
    assert second == [VerifyToken(1, "User", "second", None)]
    (mutation,) = conversation.session.authenticated(1, ANN, START_MS)
    assert isinstance(mutation, RunMutation)


def test_after_one_of_two_missing_authentications_the_other_is_waited_for():
    conversation = Conversation()
    conversation.signs_in(2, "third")
    assert conversation.signs_out(0) == []
    assert conversation.session.phase is Phase.REORDERING
    assert conversation.mutates(0) == []
    assert conversation.signs_out(1) == [VerifyToken(2, "User", "third", None)]


def test_held_messages_that_close_the_connection_are_the_last_ones_taken():
    conversation = Conversation(limits=SessionLimits(mutations=1), connect=False)
    for request_id in range(4):
        conversation.mutates(request_id)
    run, close = conversation.connects()
    assert isinstance(run, RunMutation)
    assert close == Close(1013, "TooManyConcurrentMutations")


def test_a_base_version_that_has_passed_is_fatal():
    conversation = Conversation()
    conversation.modifies(0)
    conversation.modifies(1)
    effects = conversation.modifies(1)
    assert frames_of(effects) == [
        {
            "type": "FatalError",
            "error": "Base version 1 passed up doesn't match the current version 2",
        }
    ]
    assert effects[-1] == Close(None, "")


def test_a_base_version_of_an_identity_that_has_passed_is_fatal():
    conversation = Conversation()
    conversation.signs_out(0)
    (frame,) = frames_of(conversation.signs_out(0))
    assert frame["error"] == "Base version 0 passed up doesn't match the current version 1"


def test_the_same_early_version_twice_is_fatal():
    conversation = Conversation()
    conversation.modifies(5)
    assert frames_of(conversation.modifies(5))[0]["type"] == "FatalError"
    conversation = Conversation()
    conversation.signs_in(5)
    assert frames_of(conversation.signs_in(5))[0]["type"] == "FatalError"


def test_a_violation_found_in_a_held_message_is_fatal():
    conversation = Conversation()
    conversation.signs_in(0)
    conversation.modifies(0, remove(3))
    effects = conversation.session.authenticated(0, ANN, START_MS)
    assert frames_of(effects) == [
        {"type": "FatalError", "error": "Query 3 is not in the query set"}
    ]


def test_a_query_cannot_be_added_twice():
    conversation = Conversation()
    (frame,) = frames_of(conversation.modifies(0, add(1), add(1)))
    assert frame["error"] == "Query 1 is already in the query set"


def test_held_messages_are_bounded_in_number():
    conversation = Conversation(limits=SessionLimits(held_messages=2), connect=False)
    conversation.mutates(0)
    conversation.mutates(1)
    assert conversation.mutates(2) == [Close(1013, "TooManyMessagesHeldBack")]


def test_held_messages_are_bounded_in_size_and_free_it_when_taken():
    conversation = Conversation(limits=SessionLimits(held_characters=1_000))
    for base in range(0, 40, 2):
        assert conversation.modifies(base + 1) == []
        assert conversation.modifies(base) == []
    assert conversation.session._state.held.characters == 0
    long = "x" * 1_000
    effects = conversation.modifies(50, add(0, long))
    assert effects == [Close(1013, "TooManyMessagesHeldBack")]


def test_a_held_message_whose_predecessor_never_comes_ends_the_connection():
    conversation = Conversation()
    conversation.modifies(1)
    assert conversation.session.next_tick_ms == START_MS + 10_000
    assert conversation.session.tick(START_MS + 9_999) == []
    effects = conversation.session.tick(START_MS + 10_000)
    assert effects == [Close(1011, "EarlierMessageMissing")]


def test_a_gap_that_was_closed_is_forgotten():
    conversation = Conversation()
    conversation.modifies(1)
    conversation.modifies(0)
    assert conversation.session.next_tick_ms == START_MS + 15_000


def test_a_client_that_has_seen_a_newer_ts_than_the_server_is_sent_away():
    conversation = Conversation(connect=False)
    text = json.dumps(
        {"type": "Connect", "sessionId": SESSION_ID, "maxObservedTimestamp": "ZAAAAAAAAAA="}
    )
    behind = Session.decode_state(conversation.session.encode_state())
    assert behind.receive(text, START_MS, 99) == [Close(1013, "ServerBehindClient")]
    assert conversation.session.receive(text, START_MS, 100) == []


def test_input_that_is_no_message_is_fatal():
    session = Conversation().session
    effects = session.receive("{", START_MS)
    (frame,) = frames_of(effects)
    assert frame["type"] == "FatalError"
    assert frame["error"].startswith("Received Invalid JSON on websocket: ")
    assert effects[-1] == Close(None, "")
    assert session.receive("{", START_MS) == []


def ran(effects: list[Effect]) -> list[int]:
    return [each.request_id for each in effects if isinstance(each, RunMutation | RunAction)]


SWAPPING = SessionLimits(orders_requests=True)


@given(st.permutations(range(5)))
def test_requests_of_a_new_session_run_in_the_order_of_their_ids(order: list[int]):
    conversation = Conversation(limits=SWAPPING)
    begun: list[int] = []
    for request_id in order:
        twin = Session.decode_state(conversation.session.encode_state(), limits=SWAPPING)
        conversation.session = twin
        act = conversation.acts if request_id % 2 else conversation.mutates
        begun += ran(act(request_id))
    while running := conversation.session.running_mutation:
        begun += ran(conversation.finished(running.request_id, 1))
    assert [each for each in begun if each % 2 == 0] == [0, 2, 4]
    assert [each for each in begun if each % 2] == [1, 3]
    assert conversation.session._state.held.count == 0
    assert conversation.session._state.held.since_ms is None


def test_a_request_whose_predecessor_never_comes_ends_the_connection():
    conversation = Conversation(limits=SWAPPING)
    assert conversation.mutates(1) == []
    assert conversation.session.tick(START_MS + 10_000) == [Close(1011, "EarlierMessageMissing")]


SETTLING = SessionLimits(orders_requests=True, settling_ms=60)


def reconnected() -> Conversation:
    conversation = Conversation(limits=SETTLING, connect=False)
    conversation.connects(connectionCount=1)
    return conversation


def test_a_request_that_overtakes_the_authenticate_of_its_connection_waits_for_it():
    conversation = reconnected()
    assert ran(conversation.mutates(8)) == ran(conversation.acts(7)) == []
    assert conversation.session.is_settling
    conversation.modifies(0)
    (verify,) = conversation.signs_in(0)
    assert isinstance(verify, VerifyToken)
    effects = conversation.session.authenticated(0, ANN, START_MS)
    assert ran(effects) == [7, 8]
    assert {each.identity for each in effects} == {ANN}
    assert not conversation.session.is_settling


@pytest.mark.parametrize("wait", ["tick", "settle"])
def test_a_request_of_a_client_without_a_token_waits_for_the_end_of_the_time(wait: str):
    conversation = reconnected()
    assert ran(conversation.mutates(9)) == ran(conversation.mutates(8)) == []
    assert conversation.session.next_tick_ms == START_MS + 60
    pass_time = getattr(conversation.session, wait)
    assert pass_time(START_MS + 59) == []
    assert ran(pass_time(START_MS + 60)) == [8]
    assert ran(conversation.finished(8, 1)) == [9]
    conversation.now_ms += 60
    assert ran(conversation.acts(10)) == [10]


def test_a_returning_client_is_shown_nothing_before_it_may_be_known_who_it_is():
    conversation = reconnected()
    conversation.modifies(0, add(0))
    assert not conversation.session.wants_update
    assert conversation.session.is_settling
    assert conversation.session.next_tick_ms == START_MS + 60
    conversation.session.settle(START_MS + 60)
    assert conversation.session.wants_update
    assert not conversation.session.is_settling


def test_a_machine_whose_clock_is_far_behind_waits_for_nothing():
    conversation = reconnected()
    conversation.now_ms -= 3_600_000
    assert ran(conversation.mutates(8)) == [8]
    assert not conversation.session.is_settling


def test_a_returning_client_is_shown_its_queries_as_soon_as_it_is_known():
    conversation = reconnected()
    conversation.modifies(0, add(0))
    conversation.signs_in(0)
    conversation.session.authenticated(0, ANN, START_MS)
    assert conversation.session.wants_update


def test_a_new_client_is_shown_its_queries_at_once():
    conversation = Conversation(limits=SETTLING)
    conversation.modifies(0, add(0))
    assert conversation.session.wants_update


def test_what_waited_is_taken_with_the_first_message_after_the_time():
    conversation = reconnected()
    assert ran(conversation.acts(7)) == []
    conversation.now_ms += 61
    assert ran(conversation.acts(9)) == [9, 7]


def test_a_new_session_keeps_the_order_of_its_ids_after_the_time():
    conversation = Conversation(limits=SETTLING)
    assert conversation.acts(1) == []
    assert conversation.session.settle(START_MS + 60) == []
    conversation.now_ms += 60
    assert ran(conversation.acts(0)) == [0, 1]


def test_a_returning_client_that_breaks_on_late_answers_is_shown_nothing_while_its_requests_wait():
    conversation = Conversation(PYTHON, limits=SETTLING, connect=False)
    conversation.connects(connectionCount=1, maxObservedTimestamp="ZAAAAAAAAAA=")
    conversation.modifies(0, add(0))
    conversation.mutates(7)
    assert not conversation.session.wants_update
    conversation.now_ms += 60
    assert ran(conversation.session.settle(conversation.now_ms)) == [7]
    assert not conversation.session.wants_update
    conversation.finished(7, 200)
    assert conversation.session.wants_update


def test_what_a_client_repeats_after_a_reconnect_has_gaps():
    conversation = Conversation(limits=SWAPPING, connect=False)
    conversation.connects(connectionCount=1)
    assert ran(conversation.mutates(7)) == [7]

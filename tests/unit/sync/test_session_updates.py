"""Updates: when one is wanted, what it plans, and the Transition that it ends in."""

import itertools
import json

import pytest

from syncline.sync.client_kind import ClientKind
from syncline.sync.session import CallResult, Close, QueryResult, Send, SessionLimits
from tests.unit.sync.conversation import (
    NPM,
    PYTHON,
    START_MS,
    Conversation,
    add,
    frames_of,
    remove,
    version,
)

ANN = b'{"subject":"ann"}'


def subscribed(*query_ids: int, client=NPM, limits: SessionLimits | None = None) -> Conversation:
    """A client that holds the results [id] of some queries at ts 100."""
    conversation = Conversation(client, limits)
    conversation.modifies(0, *(add(query_id) for query_id in query_ids))
    conversation.updates(100, {query_id: [query_id] for query_id in query_ids})
    assert not conversation.session.wants_update
    return conversation


def test_the_example_of_the_reference_goes_as_it_says():
    conversation = Conversation()
    assert not conversation.session.wants_update
    conversation.modifies(0, add(0))
    assert conversation.session.wants_update
    _, (first,) = conversation.updates(100, {0: []})
    assert first["startVersion"] == version(0, 0, "AAAAAAAAAAA=")
    assert first["endVersion"] == version(1, 0, "ZAAAAAAAAAA=")
    assert [each["type"] for each in first["modifications"]] == ["QueryUpdated"]
    conversation.mutates(0)
    (response,) = frames_of(conversation.finished(0, ts=200))
    assert response["ts"] == "yAAAAAAAAAA="
    conversation.session.invalidated([0])
    _, (second,) = conversation.updates(200, {0: ["x"]})
    assert second["startVersion"] == first["endVersion"]
    assert second["endVersion"] == version(1, 0, "yAAAAAAAAAA=")
    assert second["modifications"][0]["value"] == ["x"]


@pytest.mark.parametrize("succeeds", [True, False])
def test_every_mutation_response_is_followed_by_a_transition_even_an_empty_one(succeeds: bool):
    conversation = Conversation()
    conversation.mutates(0)
    result = CallResult(200, b"null") if succeeds else CallResult(150, None, "no", b"1.0")
    conversation.session.mutation_finished(0, result, START_MS)
    plan, (frame,) = conversation.updates(200)
    assert plan.minimum_ts == result.ts
    assert frame["modifications"] == []
    assert frame["endVersion"]["ts"] == "yAAAAAAAAAA="


@pytest.mark.parametrize("succeeds", [True, False])
def test_every_action_response_is_followed_by_a_transition(succeeds: bool):
    conversation = Conversation()
    conversation.acts(0)
    result = CallResult(200, b"null" if succeeds else None)
    conversation.session.action_finished(0, result, START_MS)
    plan, (frame,) = conversation.updates(200)
    assert plan.minimum_ts == 200
    assert frame["modifications"] == []


def test_only_what_changed_is_planned():
    conversation = subscribed(0, 1, 2)
    conversation.session.invalidated([1, 77])
    plan, (frame,) = conversation.updates(200, {1: "new"})
    assert [spec.query_id for spec in plan.queries] == [1]
    assert [each["queryId"] for each in frame["modifications"]] == [1]


def test_an_equal_result_is_not_sent_again():
    conversation = subscribed(0, 1)
    conversation.session.invalidated()
    _, (frame,) = conversation.updates(200, {0: [0], 1: "new"})
    assert [each["queryId"] for each in frame["modifications"]] == [1]


def test_nothing_is_sent_when_nothing_changed_and_nobody_waits():
    conversation = subscribed(0)
    conversation.session.invalidated([0])
    _, frames = conversation.updates(200, {0: [0]})
    assert frames == []
    conversation.session.invalidated([0])
    _, (frame,) = conversation.updates(300, {0: "new"})
    assert frame["startVersion"]["ts"] == "ZAAAAAAAAAA="


def test_invalidating_queries_that_are_gone_wants_nothing():
    conversation = subscribed(0)
    conversation.session.invalidated([5])
    assert not conversation.session.wants_update


def test_results_for_queries_that_were_not_planned_are_sent_too():
    conversation = subscribed(0, 1)
    conversation.session.invalidated([0])
    _, (frame,) = conversation.updates(200, {0: "a", 1: "b"})
    assert [each["queryId"] for each in frame["modifications"]] == [0, 1]


def test_a_change_of_identity_runs_all_queries_again():
    conversation = subscribed(0, 1)
    conversation.signs_in(0)
    conversation.session.authenticated(0, ANN, START_MS)
    plan, (frame,) = conversation.updates(200, {0: [0], 1: "ann's"})
    assert [spec.query_id for spec in plan.queries] == [0, 1]
    assert plan.identity == ANN
    assert frame["endVersion"]["identity"] == 1
    assert [each["queryId"] for each in frame["modifications"]] == [1]


def test_every_remove_is_answered_even_of_a_query_that_never_had_a_result():
    conversation = subscribed(0)
    conversation.modifies(1, add(1), remove(0))
    conversation.modifies(2, remove(1))
    plan, (frame,) = conversation.updates(200)
    assert plan.queries == ()
    assert frame["modifications"] == [
        {"type": "QueryRemoved", "queryId": 0},
        {"type": "QueryRemoved", "queryId": 1},
    ]
    assert frame["endVersion"]["querySet"] == 3


def test_one_update_is_computed_at_a_time():
    conversation = subscribed(0)
    conversation.session.invalidated([0])
    plan = conversation.session.plan_update()
    assert conversation.session.computing == plan
    conversation.session.invalidated([0])
    assert not conversation.session.wants_update
    with pytest.raises(AssertionError, match="no update is wanted"):
        conversation.session.plan_update()
    conversation.session.finish_update(plan, 200, {0: QueryResult.success(b"1")}, START_MS)
    assert conversation.session.wants_update


def test_updates_are_held_back_while_two_wait_to_leave():
    conversation = subscribed(0)
    unsent: list[Send] = []
    for ts in (200, 300):
        conversation.session.invalidated([0])
        plan = conversation.session.plan_update()
        result = QueryResult.success(b"%d" % ts)
        (send,) = conversation.session.finish_update(plan, ts, {0: result}, START_MS)
        assert isinstance(send, Send)
        unsent.append(send)
    conversation.session.invalidated([0])
    assert not conversation.session.wants_update
    conversation.session.sent(unsent[0])
    assert conversation.session.wants_update


def test_what_changes_while_an_update_is_computed_belongs_to_the_next_one():
    conversation = subscribed(0, 1)
    conversation.session.invalidated([0, 1])
    plan = conversation.session.plan_update()
    conversation.modifies(1, add(2), remove(1))
    results = {query_id: QueryResult.success(b'"new"') for query_id in (0, 1, 2)}
    (frame,) = frames_of(conversation.session.finish_update(plan, 200, results, START_MS))
    # What the client has removed meanwhile is in the set of this version: it is kept true too.
    assert [each["queryId"] for each in frame["modifications"]] == [0, 1]
    assert frame["endVersion"]["querySet"] == 1
    plan, (frame,) = conversation.updates(200, {2: "new"})
    assert [each["queryId"] for each in frame["modifications"]] == [1, 2]
    assert frame["endVersion"]["querySet"] == 2


def test_a_response_during_an_update_is_owed_a_later_transition():
    conversation = subscribed(0)
    conversation.mutates(0)
    conversation.session.invalidated([0])
    plan = conversation.session.plan_update()
    conversation.finished(0, ts=300)
    conversation.session.finish_update(plan, 200, {0: QueryResult.success(b"1")}, START_MS)
    plan, (frame,) = conversation.updates(300)
    assert plan.minimum_ts == 300
    assert frame["modifications"] == []


def test_a_transition_never_goes_back():
    conversation = subscribed(0)
    conversation.session.invalidated([0])
    plan = conversation.session.plan_update()
    assert plan.minimum_ts == 100
    with pytest.raises(AssertionError, match="an update to 99, but 100 was shown"):
        conversation.session.finish_update(plan, 99, {0: QueryResult.success(b"1")}, START_MS)


def test_a_transition_must_not_pass_a_mutation_that_is_not_answered():
    conversation = subscribed(0)
    conversation.mutates(0)
    conversation.session.invalidated([0])
    conversation.updates(200, {0: "with the write"})
    with pytest.raises(AssertionError, match="a Transition to 200 passed mutation 0 at 200"):
        conversation.finished(0, ts=200)


def test_an_outcome_recorded_long_ago_is_answered_all_the_same():
    conversation = subscribed(0)
    conversation.mutates(0)
    result = CallResult(50, b"null", recorded=True)
    (frame,) = frames_of(conversation.session.mutation_finished(0, result, START_MS))
    assert frame["success"] is True
    plan, _ = conversation.updates(100)
    assert plan.minimum_ts == 100


def test_only_the_running_mutation_can_finish():
    conversation = Conversation()
    with pytest.raises(AssertionError, match="no mutation runs, but 0 finished"):
        conversation.finished(0, ts=100)
    conversation.mutates(0)
    with pytest.raises(AssertionError, match="0 runs, not 1"):
        conversation.finished(1, ts=100)
    with pytest.raises(AssertionError, match="action 0 doesn't run"):
        conversation.session.action_finished(0, CallResult(0, b"1"), START_MS)


def test_a_client_that_has_seen_a_newer_ts_is_shown_nothing_older():
    conversation = Conversation(connect=False)
    conversation.connects(maxObservedTimestamp="yAAAAAAAAAA=")
    conversation.modifies(0)
    plan = conversation.session.plan_update()
    assert plan.minimum_ts == 200
    effects = conversation.session.finish_update(plan, 199, {}, START_MS)
    assert effects == [Close(1013, "ServerBehindClient")]


@pytest.mark.parametrize("client", [PYTHON, NPM])
def test_a_returning_client_that_knows_no_late_answers_has_all_of_them_before_its_first_transition(
    client: ClientKind,
):
    conversation = Conversation(client, connect=False)
    conversation.connects(maxObservedTimestamp="yAAAAAAAAAA=")
    conversation.modifies(0, add(0))
    conversation.mutates(7)
    conversation.mutates(8)
    assert conversation.session.wants_update is (client is NPM)
    conversation.finished(7, ts=300)
    assert conversation.session.wants_update is (client is NPM)
    conversation.finished(8, ts=400)
    _, (frame,) = conversation.updates(400, {0: ["x"]})
    assert frame["modifications"][0]["value"] == ["x"]
    conversation.mutates(9)
    conversation.session.invalidated()
    assert conversation.session.wants_update


def test_a_new_client_is_shown_its_queries_while_its_mutations_run():
    conversation = Conversation(PYTHON)
    conversation.modifies(0, add(0))
    conversation.mutates(0)
    assert conversation.session.wants_update


def test_an_update_of_an_expired_identity_is_refused():
    conversation = subscribed(0)
    conversation.signs_in(0)
    conversation.session.authenticated(0, ANN, START_MS, expires_ms=START_MS + 1)
    plan = conversation.session.plan_update()
    effects = conversation.session.finish_update(
        plan, 200, {0: QueryResult.success(b"1")}, START_MS + 1
    )
    (frame,) = frames_of(effects)
    assert (frame["type"], frame["authUpdateAttempted"]) == ("AuthError", False)
    assert effects[-1] == Close(None, "")


def test_an_expired_identity_may_be_replaced_while_its_update_is_computed():
    conversation = subscribed(0)
    conversation.signs_in(0)
    conversation.session.authenticated(0, ANN, START_MS, expires_ms=START_MS + 1)
    plan = conversation.session.plan_update()
    conversation.signs_in(1)
    results = {0: QueryResult.success(b"1")}
    (frame,) = frames_of(conversation.session.finish_update(plan, 200, results, START_MS + 1))
    assert frame["type"] == "Transition"


def test_the_journal_of_a_result_goes_to_the_client_and_into_the_next_run():
    conversation = Conversation()
    conversation.modifies(0, add(0, journal="from before"))
    plan, (frame,) = conversation.updates(100, {0: QueryResult.success(b"1", (), "end 7")})
    assert plan.queries[0].journal == "from before"
    assert frame["modifications"][0]["journal"] == "end 7"
    conversation.session.invalidated([0])
    assert conversation.session.plan_update().queries[0].journal == "end 7"
    spec = conversation.session.query(0)
    assert spec is not None
    assert spec.journal == "end 7"
    assert conversation.session.query(1) is None


def test_a_new_query_without_a_result_yet_is_answered_by_a_later_update():
    conversation = Conversation()
    conversation.modifies(0, add(0), add(1))
    _, (frame,) = conversation.updates(100, {0: "x"})
    assert [each["queryId"] for each in frame["modifications"]] == [0]
    assert not conversation.session.wants_update
    conversation.session.invalidated([1])
    _, (frame,) = conversation.updates(200, {1: "y"})
    assert [each["queryId"] for each in frame["modifications"]] == [1]


def test_a_query_that_was_answered_needs_its_result_in_every_plan():
    conversation = subscribed(0)
    conversation.session.invalidated([0])
    plan = conversation.session.plan_update()
    with pytest.raises(AssertionError, match="query 0 was answered and has no new result"):
        conversation.session.finish_update(plan, 200, {}, START_MS)


def test_a_query_in_a_component_fails_without_being_run():
    conversation = Conversation()
    conversation.modifies(0, add(0, componentPath="child"), add(1, componentPath=""))
    plan, (frame,) = conversation.updates(100, {1: "x"})
    assert [spec.query_id for spec in plan.queries] == [1]
    failed = frame["modifications"][0]
    assert (failed["type"], failed["queryId"]) == ("QueryFailed", 0)
    assert failed["errorMessage"].startswith("Only admins may name a component")
    assert "errorData" not in failed
    conversation.signs_in(0)
    conversation.session.authenticated(0, None, START_MS, is_admin=True)
    _, (frame,) = conversation.updates(100, {1: "x"})
    assert frame["modifications"][0]["errorMessage"].startswith("There is no component 'child'")


def test_a_large_transition_leaves_in_chunks_for_npm():
    conversation = Conversation(limits=SessionLimits(chunk_bytes=1_000))
    conversation.modifies(0, add(0))
    _, parts = conversation.updates(100, {0: "x" * 5_000})
    assert {part["type"] for part in parts} == {"TransitionChunk"}
    whole = json.loads("".join(part["chunk"] for part in parts))
    assert whole["modifications"][0]["value"] == "x" * 5_000


def test_a_large_transition_leaves_whole_for_others():
    conversation = Conversation(PYTHON, SessionLimits(chunk_bytes=1_000))
    conversation.modifies(0, add(0))
    _, (frame,) = conversation.updates(100, {0: "x" * 5_000})
    assert frame["type"] == "Transition"


def test_chunks_also_keep_to_the_frames_of_the_transport():
    limits = SessionLimits(frame_bytes=2_000)
    conversation = Conversation(NPM, limits)
    conversation.modifies(0, add(0))
    _, parts = conversation.updates(100, {0: "x" * 5_000})
    assert {part["type"] for part in parts} == {"TransitionChunk"}


def test_a_result_too_large_for_a_client_without_chunks_becomes_an_error():
    conversation = Conversation(PYTHON, SessionLimits(frame_bytes=2_000))
    conversation.modifies(0, add(0), add(1))
    _, (frame,) = conversation.updates(100, {0: "x" * 2_000, 1: "small"})
    failed, updated = frame["modifications"]
    assert failed["type"] == "QueryFailed"
    assert "more than the 2000 that one message to this client may have" in failed["errorMessage"]
    assert updated["value"] == "small"
    conversation.session.invalidated([0])
    _, frames = conversation.updates(200, {0: "x" * 2_000})
    assert frames == []


def test_results_that_fit_one_by_one_leave_in_transitions_of_which_the_last_moves_the_ts():
    conversation = Conversation(PYTHON, SessionLimits(frame_bytes=2_000))
    conversation.modifies(0, *(add(query_id) for query_id in range(4)))
    plan = conversation.session.plan_update()
    results = {query_id: QueryResult.success(b'"%b"' % (b"x" * 1_200)) for query_id in range(4)}
    (send,) = conversation.session.finish_update(plan, 100, results, START_MS)
    assert isinstance(send, Send)
    assert all(len(frame) <= 2_000 for frame in send.frames)
    frames = frames_of([send])
    assert len(frames) == 4
    for before, after in itertools.pairwise(frames):
        assert before["endVersion"] == after["startVersion"]
    assert frames[0]["startVersion"] == version(0, 0, "AAAAAAAAAAA=")
    assert frames[0]["endVersion"] == version(1, 0, "AAAAAAAAAAA=")
    assert frames[-1]["endVersion"] == version(1, 0, "ZAAAAAAAAAA=")


def test_a_response_too_large_for_the_transport_becomes_an_error_that_says_what_happened():
    conversation = Conversation(limits=SessionLimits(frame_bytes=1_000))
    conversation.mutates(0)
    effects = conversation.finished(0, ts=200, value=b'"%b"' % (b"x" * 1_000))
    (frame,) = frames_of(effects)
    assert frame["success"] is False
    assert frame["result"].startswith("It ran and took effect, but its result takes 11")
    conversation.acts(1)
    failed = CallResult(0, None, "x" * 1_000)
    (frame,) = frames_of(conversation.session.action_finished(1, failed, START_MS))
    assert frame["result"].startswith("Its error takes")
    plan, _ = conversation.updates(200)
    assert plan.minimum_ts == 200


def test_the_clock_skew_is_that_of_connect():
    conversation = Conversation(connect=False)
    conversation.connects(clientTs=START_MS - 12)
    conversation.now_ms += 5_000
    conversation.modifies(0)
    _, (frame,) = conversation.updates(100)
    assert frame["clientClockSkew"] == -12
    assert frame["serverTs"] == (START_MS + 5_000) * 1_000_000


def test_a_closed_session_ignores_whatever_still_happens():
    conversation = Conversation()
    conversation.modifies(0, add(0))
    conversation.mutates(0)
    conversation.acts(1)
    session = conversation.session
    plan = session.plan_update()
    conversation.signs_in(0)
    assert session.close(1001, "Shutdown") == [Close(1001, "Shutdown")]
    assert session.close(1001, "Shutdown") == []
    assert conversation.finished(0, ts=100) == []
    assert session.action_finished(1, CallResult(0, b"1"), START_MS) == []
    assert session.authenticated(0, None, START_MS) == []
    assert session.authentication_failed(0, "no", START_MS) == []
    assert session.authentication_unavailable(0, START_MS) == []
    assert session.finish_update(plan, 100, {}, START_MS) == []
    assert session.tick(START_MS + 10**9) == []
    session.invalidated()
    assert not session.wants_update


SWAPPING = SessionLimits(orders_requests=True, settling_ms=60, admin_ms=5_000)


def asks_as_admin_to_be() -> Conversation:
    """A new client asked for a system function, and its Authenticate was overtaken by that."""
    conversation = Conversation(limits=SWAPPING)
    conversation.modifies(0, add(0, "_system/cli/tables"), add(1))
    plan, _ = conversation.updates(100, {1: "anybody's"})
    assert [query.query_id for query in plan.queries] == [1]
    assert not conversation.session.wants_update
    assert not conversation.session.is_settling
    assert conversation.session.next_tick_ms == START_MS + 5_000
    return conversation


def test_a_query_for_admins_waits_for_the_authenticate_that_it_may_have_overtaken():
    conversation = asks_as_admin_to_be()
    conversation.signs_in(0)
    conversation.session.authenticated(0, None, START_MS, is_admin=True)
    plan, _ = conversation.updates(101, {0: "the tables", 1: "anybody's"})
    assert plan.is_admin
    assert [query.query_id for query in plan.queries] == [0, 1]


@pytest.mark.parametrize("wait", ["tick", "settle"])
def test_a_query_for_admins_by_a_client_without_a_token_is_answered_after_the_time(wait: str):
    conversation = asks_as_admin_to_be()
    pass_time = getattr(conversation.session, wait)
    pass_time(START_MS + 4_999)
    assert not conversation.session.wants_update
    pass_time(START_MS + 5_000)
    plan, _ = conversation.updates(101, {0: QueryResult.failure("Could not find it.")})
    assert [query.query_id for query in plan.queries] == [0]
    assert not conversation.session.wants_update


def test_where_messages_keep_their_order_a_query_for_admins_is_answered_at_once():
    conversation = Conversation()
    conversation.modifies(0, add(0, "_system/cli/tables"))
    plan, _ = conversation.updates(100, {0: QueryResult.failure("Could not find it.")})
    assert [query.query_id for query in plan.queries] == [0]


def test_a_query_for_admins_may_be_removed_while_it_waits():
    conversation = asks_as_admin_to_be()
    conversation.modifies(1, remove(0))
    plan, _ = conversation.updates(101)
    assert plan.queries == ()
    assert plan.removed == (0,)

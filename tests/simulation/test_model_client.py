"""The model client: what it says, when it settles requests, and what it does not put up with.

The frames are those of convex-protocol.md 1.3 and 1.5.
"""

import json
from typing import Any

import pytest

from tests.simulation.model_client import (
    CONNECTION_LOST,
    ModelClient,
    Result,
    Settled,
    Snapshot,
    encode_ts,
)

Json = dict[str, Any]


class Stage:
    """A client, what it has sent and been told, and a server played by hand."""

    def __init__(self) -> None:
        self.sent: list[Json] = []
        self.snapshots: list[Snapshot] = []
        self.settled: list[Settled] = []
        self.client = ModelClient("s", self.snapshots.append)

    def open(self) -> "Stage":
        self.sent.clear()
        self.client.open(lambda text: self.sent.append(json.loads(text)))
        return self

    def mutate(self) -> int:
        return self.client.mutate("tasks:add", {}, self.settled.append)

    def tell(self, message: Json) -> None:
        self.client.receive(json.dumps(message))

    def transition(self, ts: int, *changes: Json, query_set: int = 1, identity: int = 0) -> None:
        end = {"querySet": query_set, "identity": identity, "ts": encode_ts(ts)}
        self.tell(transition(self.client.version, end, *changes))

    def respond(self, request_id: int, ts: int, result: Any = None) -> None:
        self.tell(response(request_id, success=True, ts=encode_ts(ts), result=result))

    @property
    def kinds(self) -> list[str]:
        return [message["type"] for message in self.sent]


def transition(start: Json, end: Json, *changes: Json) -> Json:
    return {
        "type": "Transition",
        "startVersion": start,
        "endVersion": end,
        "modifications": list(changes),
    }


def updated(query_id: int, value: Any = None, journal: str | None = None) -> Json:
    return {
        "type": "QueryUpdated",
        "queryId": query_id,
        "value": value,
        "logLines": [],
        "journal": journal,
    }


def removed(query_id: int) -> Json:
    return {"type": "QueryRemoved", "queryId": query_id}


def response(request_id: int, **fields: Any) -> Json:
    return {"type": "MutationResponse", "requestId": request_id, "logLines": [], **fields}


def failure(request_id: int, **fields: Any) -> Json:
    return response(request_id, success=False, ts=None, result="boom", **fields)


@pytest.fixture
def stage() -> Stage:
    return Stage().open()


def test_the_first_connection_begins_with_connect_and_an_empty_query_set(stage: Stage):
    connect, modify = stage.sent
    assert connect["sessionId"] == "s"
    assert connect["connectionCount"] == 0
    assert connect["lastCloseReason"] == "InitialConnect"
    assert "maxObservedTimestamp" not in connect
    assert modify == {
        "type": "ModifyQuerySet",
        "baseVersion": 0,
        "newVersion": 1,
        "modifications": [],
    }


def test_a_subscribed_query_is_held_as_of_the_transition(stage: Stage):
    query_id = stage.client.subscribe("tasks:get", {"list": "a"})
    assert stage.client.subscribe("tasks:get", {"list": "a"}) == query_id
    stage.transition(100, updated(query_id, [1.0]), query_set=2)
    assert stage.snapshots == [
        Snapshot(100, None, {query_id: Result("tasks:get", '{"list": "a"}', [1.0])})
    ]
    stage.client.unsubscribe(query_id)
    assert stage.kinds.count("ModifyQuerySet") == 2
    stage.client.unsubscribe(query_id)
    stage.transition(100, removed(query_id), query_set=3)
    assert stage.snapshots[-1].results == {}


def test_a_mutation_settles_with_the_first_transition_at_or_past_its_ts(stage: Stage):
    stage.transition(100)
    request_id = stage.mutate()
    stage.transition(150)
    stage.respond(request_id, 200, "id")
    assert stage.settled == []
    stage.transition(200)
    assert stage.settled == [Settled(request_id, True, "id", 200)]
    stage.client.assert_settled()


def test_mutations_settle_in_the_order_of_their_requests(stage: Stage):
    first, second = stage.mutate(), stage.mutate()
    stage.respond(first, 200)
    stage.respond(second, 210)
    stage.transition(220)
    assert [each.request_id for each in stage.settled] == [first, second]


def test_a_failed_mutation_settles_at_once_with_its_data(stage: Stage):
    request_id = stage.mutate()
    stage.tell(failure(request_id, errorData={"code": 1.0}))
    assert stage.settled == [Settled(request_id, False, "boom", None, {"code": 1.0})]


def test_a_reconnect_says_everything_again_and_resends_what_is_not_reflected(stage: Stage):
    client = stage.client
    query_id = client.subscribe("tasks:get", {})
    client.authenticate("token")
    reflected, answered, unanswered = (stage.mutate() for _ in range(3))
    stage.respond(reflected, 200)
    stage.transition(200, updated(query_id, 1.0, "journal"), query_set=2, identity=1)
    stage.respond(answered, 300, "first")
    client.lost("InternalServerError")
    waiting = stage.mutate()

    stage.open()
    assert stage.kinds == ["Connect", "Authenticate", "ModifyQuerySet", *["Mutation"] * 3]
    connect, authenticate, modify, *mutations = stage.sent
    assert connect["connectionCount"] == 1
    assert connect["lastCloseReason"] == "InternalServerError"
    assert connect["maxObservedTimestamp"] == encode_ts(300)
    assert authenticate["baseVersion"] == 0
    assert modify["baseVersion"] == 0
    (addition,) = modify["modifications"]
    assert addition["journal"] == "journal"
    assert [each["requestId"] for each in mutations] == [answered, unanswered, waiting]

    stage.respond(answered, 300, "first")
    stage.transition(400, updated(query_id, 1.0), identity=1)
    assert [each.request_id for each in stage.settled] == [reflected, answered]


def test_an_action_under_way_fails_with_the_connection_and_one_never_sent_waits(stage: Stage):
    stage.client.act("mail:send", {}, stage.settled.append)
    stage.client.lost()
    assert stage.settled == [Settled(0, False, CONNECTION_LOST, None)]
    stage.client.act("mail:send", {}, stage.settled.append)
    stage.open()
    assert stage.kinds[-1] == "Action"
    stage.tell(
        {"type": "ActionResponse", "requestId": 1, "success": True, "result": 1.0, "logLines": []}
    )
    assert stage.settled[-1] == Settled(1, True, 1.0, None)


def test_a_transition_in_chunks_is_put_together(stage: Stage):
    end = {"querySet": 1, "identity": 0, "ts": encode_ts(100)}
    whole = json.dumps(transition(stage.client.version, end))
    parts = [whole[at : at + 20] for at in range(0, len(whole), 20)]
    for number, part in enumerate(parts):
        chunk = {"chunk": part, "partNumber": number, "totalParts": len(parts)}
        stage.tell({"type": "TransitionChunk", "transitionId": "1", **chunk})
        stage.tell({"type": "Ping"})
    assert [snapshot.ts for snapshot in stage.snapshots] == [100]


def test_an_identity_is_in_force_from_the_transition_that_names_it(stage: Stage):
    stage.client.authenticate("a")
    stage.client.authenticate(None)
    stage.transition(100)
    stage.transition(100, identity=1)
    stage.transition(100, identity=2)
    assert [snapshot.token for snapshot in stage.snapshots] == [None, "a", None]


def test_a_refused_token_is_not_used_again(stage: Stage):
    stage.client.authenticate("bad")
    stage.tell({"type": "AuthError", "error": "no", "baseVersion": 0, "authUpdateAttempted": True})
    assert stage.client.auth_errors == ["no"]
    stage.client.lost()
    assert stage.open().kinds == ["Connect", "ModifyQuerySet"]


# What a wrong server does


def test_a_gap_between_transitions_is_noticed(stage: Stage):
    with pytest.raises(AssertionError, match="Invalid start version"):
        stage.tell(transition({"querySet": 9}, stage.client.version))


def test_going_back_in_time_is_noticed(stage: Stage):
    stage.transition(100)
    with pytest.raises(AssertionError, match="back from 100"):
        stage.transition(99)


def test_going_back_in_time_over_a_reconnect_is_noticed(stage: Stage):
    stage.transition(100)
    stage.client.lost()
    stage.open()
    with pytest.raises(AssertionError, match="back from 100"):
        stage.transition(99)


def test_a_transition_that_lacks_an_acknowledged_mutation_is_noticed(stage: Stage):
    stage.respond(stage.mutate(), 200)
    with pytest.raises(AssertionError, match="back from 200"):
        stage.transition(199)


def test_an_effect_shown_before_its_response_is_noticed(stage: Stage):
    request_id = stage.mutate()
    stage.transition(200)
    with pytest.raises(AssertionError, match="before the response"):
        stage.respond(request_id, 200)


@pytest.mark.parametrize("second", [{"ts": 300}, {"result": "second"}])
def test_another_outcome_for_a_resent_mutation_is_noticed(stage: Stage, second: Json):
    request_id = stage.mutate()
    stage.respond(request_id, 200, "first")
    stage.client.lost()
    stage.open()
    with pytest.raises(AssertionError, match="another outcome"):
        stage.respond(request_id, **{"ts": 200, "result": "first", **second})


def test_two_responses_on_one_connection_are_noticed(stage: Stage):
    request_id = stage.mutate()
    stage.respond(request_id, 200)
    with pytest.raises(AssertionError, match="two responses"):
        stage.respond(request_id, 200)


def test_an_unanswered_add_and_an_unanswered_remove_are_noticed(stage: Stage):
    query_id = stage.client.subscribe("tasks:get", {})
    with pytest.raises(AssertionError, match="queries are"):
        stage.transition(100, query_set=2)
    stage = Stage().open()
    stage.client.unsubscribe(stage.client.subscribe("tasks:get", {}))
    with pytest.raises(AssertionError, match="Remove was not answered"):
        stage.transition(100, query_set=3)
    assert query_id == 0


def test_a_result_for_a_query_of_a_later_version_is_noticed(stage: Stage):
    query_id = stage.client.subscribe("tasks:get", {})
    with pytest.raises(AssertionError, match="not in the set"):
        stage.transition(100, updated(query_id), query_set=1)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "FatalError", "error": "Base version 3 passed up"},
        {"type": "Unheard"},
        response(7, success=True, ts=encode_ts(1), result=None),
    ],
)
def test_what_no_correct_server_says_is_noticed(stage: Stage, message: Json):
    with pytest.raises(AssertionError):
        stage.tell(message)


def test_a_message_between_chunks_is_noticed(stage: Stage):
    chunk = {"chunk": "{", "partNumber": 0, "totalParts": 2, "transitionId": "1"}
    stage.tell({"type": "TransitionChunk", **chunk})
    with pytest.raises(AssertionError, match="between chunks"):
        stage.transition(100)


def test_what_is_left_open_at_the_end_is_noticed(stage: Stage):
    stage.mutate()
    with pytest.raises(AssertionError, match="unsettled"):
        stage.client.assert_settled()

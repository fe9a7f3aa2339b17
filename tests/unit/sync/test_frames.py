"""Server messages, byte for byte (convex-protocol.md 1.3)."""

import json

import pytest

from syncline.sync import frames
from syncline.sync.chunks import split_transition
from syncline.sync.results import CallResult, QueryResult


def test_a_transition_carries_versions_modifications_and_clocks():
    updated = QueryResult.success(b'[{"n":1.0}]', ["[LOG] 'hi'"], "page 1")
    frame = frames.transition(
        frames.state_version(0, 0, 0),
        frames.state_version(1, 0, 100),
        [frames.query_removed(7), frames.query_modification(0, updated.fragment)],
        clock_skew_ms=-12,
        server_ms=1_790_000_000_000,
    )
    assert frame == (
        b'{"type":"Transition","startVersion":{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="},'
        b'"endVersion":{"querySet":1,"identity":0,"ts":"ZAAAAAAAAAA="},"modifications":['
        b'{"type":"QueryRemoved","queryId":7},'
        b'{"queryId":0,"type":"QueryUpdated","value":[{"n":1.0}],"logLines":["[LOG] \'hi\'"],'
        b'"journal":"page 1"}],"clientClockSkew":-12,"serverTs":1790000000000000000}'
    )


def test_a_clock_skew_that_is_not_known_is_null():
    version = frames.state_version(0, 0, 0)
    frame = frames.transition(version, version, [], clock_skew_ms=None, server_ms=1)
    assert json.loads(frame)["clientClockSkew"] is None


def test_a_failed_query_has_error_data_only_if_its_error_has():
    failed = QueryResult.failure("no", log_lines=["[WARN] x"])
    assert json.loads(b'{"queryId":1' + failed.fragment) == {
        "queryId": 1,
        "type": "QueryFailed",
        "errorMessage": "no",
        "logLines": ["[WARN] x"],
        "journal": None,
    }
    with_data = QueryResult.failure("no", b"null")
    assert json.loads(b'{"queryId":1' + with_data.fragment)["errorData"] is None


def test_results_differ_in_their_fingerprints_if_a_client_can_tell():
    results = [
        QueryResult.success(b"1"),
        QueryResult.success(b"2"),
        QueryResult.success(b"1", ["[LOG] a"]),
        QueryResult.success(b"1", (), "j"),
        QueryResult.failure("1"),
        QueryResult.failure("1", b"null"),
    ]
    assert len({result.fingerprint for result in results}) == len(results)
    assert QueryResult.success(b"1").fingerprint == results[0].fingerprint


def test_errors_that_differ_in_their_request_id_only_count_as_the_same():
    one = QueryResult.failure("[Request ID: 1] Server Error\nboom", same_as="boom")
    other = QueryResult.failure("[Request ID: 2] Server Error\nboom", same_as="boom")
    assert one.fingerprint == other.fingerprint
    assert one.fragment != other.fragment


@pytest.mark.parametrize(
    ("result", "mutation", "action"),
    [
        (
            CallResult(200, b'"k57"', log_lines=("[LOG] a",)),
            {"success": True, "result": "k57", "ts": "yAAAAAAAAAA=", "logLines": ["[LOG] a"]},
            {"success": True, "result": "k57", "logLines": ["[LOG] a"]},
        ),
        (
            CallResult(200, None, 'say "no"'),
            {"success": False, "result": 'say "no"', "ts": None, "logLines": []},
            {"success": False, "result": 'say "no"', "logLines": []},
        ),
        (
            CallResult(200, None, "no", b'{"code":1.0}'),
            {
                "success": False,
                "result": "no",
                "ts": None,
                "logLines": [],
                "errorData": {"code": 1},
            },
            {"success": False, "result": "no", "logLines": [], "errorData": {"code": 1}},
        ),
    ],
)
def test_responses_say_how_a_request_ended(result, mutation, action):
    head = {"requestId": 3}
    frame = json.loads(frames.mutation_response(3, result))
    assert frame == {"type": "MutationResponse"} | head | mutation
    frame = json.loads(frames.action_response(3, result))
    assert frame == {"type": "ActionResponse"} | head | action


def test_errors_of_the_session_are_text_safely_encoded():
    assert frames.fatal_error('a "b"') == b'{"type":"FatalError","error":"a \\"b\\""}'
    assert json.loads(frames.fatal_error("lone \ud800")) == {
        "type": "FatalError",
        "error": "lone ?",
    }
    assert frames.auth_error("no", 2, update_attempted=True) == (
        b'{"type":"AuthError","error":"no","baseVersion":2,"authUpdateAttempted":true}'
    )


def test_a_transition_in_chunks_is_the_transition_again():
    frame = b'{"type":"Transition","text":"' + 'é"\\'.encode() * 300 + b'"}'
    chunks = split_transition(frame, 256)
    assert len(chunks) > 5
    assert all(len(chunk) <= 256 for chunk in chunks)
    parts = [json.loads(chunk) for chunk in chunks]
    assert "".join(part["chunk"] for part in parts).encode() == frame
    assert [part["partNumber"] for part in parts] == list(range(len(parts)))
    assert {part["totalParts"] for part in parts} == {len(parts)}
    assert {part["transitionId"] for part in parts} == {str(len(frame))}
    assert {part["type"] for part in parts} == {"TransitionChunk"}

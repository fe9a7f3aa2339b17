"""Client messages by the shapes of convex-protocol.md 1.2, and what is wrong with others."""

import pytest

from syncline.errors import ProtocolError
from syncline.sync.messages import (
    Action,
    Add,
    Authenticate,
    Connect,
    Event,
    ModifyQuerySet,
    Mutation,
    Remove,
    decode_message,
    decode_observed_ts,
    read_text,
)

SESSION_ID = "0b6c7b4e-6a51-4b0e-9a51-2f9d0c1d7a10"


def test_connect_is_read():
    message = decode_message(
        f'{{"type":"Connect","sessionId":"{SESSION_ID}","connectionCount":2,'
        '"lastCloseReason":null,"maxObservedTimestamp":"ZAAAAAAAAAA=","clientTs":1790000000000}'
    )
    assert message == Connect(SESSION_ID, 2, None, "ZAAAAAAAAAA=", 1_790_000_000_000)


def test_optional_fields_of_connect_may_be_absent():
    message = decode_message(f'{{"type":"Connect","sessionId":"{SESSION_ID}"}}')
    assert message == Connect(SESSION_ID)


def test_a_query_set_is_read_and_arguments_stay_as_they_were_written():
    message = decode_message(
        '{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":['
        '{"type":"Add","queryId":0,"udfPath":"tasks:get","args":[ {"list": "\\u00e9"} ],'
        '"journal":null,"componentPath":""},{"type":"Remove","queryId":7}]}'
    )
    assert isinstance(message, ModifyQuerySet)
    added, removed = message.modifications
    assert isinstance(added, Add)
    assert bytes(added.args) == b'[ {"list": "\\u00e9"} ]'
    assert removed == Remove(7)


def test_requests_are_read_with_the_type_anywhere():
    mutation = decode_message('{"requestId":3,"udfPath":"a:b","args":[{}],"type":"Mutation"}')
    assert isinstance(mutation, Mutation)
    action = decode_message(
        '{"type":"Action","requestId":4,"udfPath":"a:b","args":[{}],"componentPath":"c","new":1}'
    )
    assert isinstance(action, Action)
    assert action.component_path == "c"


@pytest.mark.parametrize("key", ["impersonating", "acting_as"])
def test_whom_an_admin_acts_as_is_read_under_either_name(key: str):
    message = decode_message(
        f'{{"type":"Authenticate","baseVersion":1,"tokenType":"Admin","value":"k","{key}":'
        '{"subject":"u1"}}'
    )
    assert isinstance(message, Authenticate)
    assert message.acting_as == b'{"subject":"u1"}'


def test_acting_as_nobody_is_none():
    text = '{"type":"Authenticate","baseVersion":0,"tokenType":"User","value":"t"'
    for end in ("}", ',"impersonating":null}'):
        message = decode_message(text + end)
        assert isinstance(message, Authenticate)
        assert message.acting_as is None


def test_events_are_read_whatever_they_hold():
    assert decode_message('{"type":"Event","eventType":"X","event":{"any":[1,"json"]}}') == Event()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "5",
        '"Connect"',
        "{}",
        '{"type":"Hello"}',
        '{"type":5}',
        '{"type":"Connect"}',
        '{"type":"Connect","sessionId":"not-a-uuid"}',
        f'{{"type":"Connect","sessionId":"{SESSION_ID}\\n"}}',
        f'{{"type":"Connect","sessionId":"{SESSION_ID}","connectionCount":-1}}',
        f'{{"type":"Connect","sessionId":"{SESSION_ID}","clientTs":{"9" * 400}}}',
        f'{{"type":"Connect","sessionId":"{SESSION_ID}","clientTs":1e400}}',
        '{"type":"Mutation","requestId":4294967296,"udfPath":"a:b","args":[{}]}',
        '{"type":"Mutation","requestId":1.5,"udfPath":"a:b","args":[{}]}',
        '{"type":"Mutation","requestId":true,"udfPath":"a:b","args":[{}]}',
        '{"type":"Mutation","requestId":1,"udfPath":null,"args":[{}]}',
        '{"type":"Mutation","requestId":1,"udfPath":"a:b"}',
        '{"type":"Mutation","requestId":1,"udfPath":"a:b","args":{}}',
        '{"type":"Mutation","requestId":1,"udfPath":"a:b","args":[{]}',
        '{"type":"Mutation","requestId":1,"udfPath":"a:b","args":["\\ud800"]}',
        '{"type":"Mutation","requestId":1,"udfPath":"\ud800","args":[{}]}',
        '{"type":"Action","requestId":1,"udfPath":"a:b","args":' + "[" * 100_000,
        '{"type":"Action","requestId":1,"udfPath":"a:b","args":'
        + "[" * 99_999
        + "]" * 99_999
        + "}",
        '{"type":"Authenticate","baseVersion":0,"tokenType":"User"}',
        '{"type":"Authenticate","baseVersion":0,"tokenType":"System","value":"x"}',
        '{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":[{"type":"X"}]}',
        (
            '{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":'
            '[{"type":"Add","queryId":1,"udfPath":"a:b","args":7}]}'
        ),
    ],
)
def test_anything_else_is_invalid_json_on_the_websocket(text: str):
    with pytest.raises(ProtocolError, match=r"^Received Invalid JSON on websocket: "):
        decode_message(text)


def test_a_query_set_must_move_forward():
    with pytest.raises(ProtocolError, match="New version 3 is not greater than the base version 3"):
        decode_message(
            '{"type":"ModifyQuerySet","baseVersion":3,"newVersion":3,"modifications":[]}'
        )


def test_a_frame_must_be_utf_8():
    assert read_text("é".encode()) == "é"
    assert read_text("é") == "é"
    with pytest.raises(ProtocolError, match="Invalid JSON on websocket: 'utf-8' codec"):
        read_text(b'{"type":"Mutation","args":["\xff"]}')


def test_an_observed_timestamp_is_read():
    assert decode_observed_ts("ZAAAAAAAAAA=") == 100
    assert decode_observed_ts("/////////38=") == 2**63 - 1


@pytest.mark.parametrize("text", ["", "ZAAA", "ZAAAAAAAAAA", "//////////8=", "zé", "ZAAAAAAAAAA=="])
def test_a_malformed_observed_timestamp_is_refused(text: str):
    with pytest.raises(ProtocolError, match="Received Invalid JSON on websocket"):
        decode_observed_ts(text)

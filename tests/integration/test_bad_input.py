"""What breaks the protocol of the WebSocket, and the end that the docs promise for it.

After each test a client that was connected all the time and a new one are served as ever, and the
server has logged no traceback. Documented in docs/sessions.md, "Bad input". What HTTP has as well
is said over both.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from syncline.limits import ARGUMENTS_BYTES_MAX, CLIENT_MESSAGE_BYTES_MAX
from tests.clients.server import DevServer
from tests.integration.raw_client import (
    BINARY,
    CLOSE,
    CUT_OFF,
    PING,
    TEXT,
    Bystander,
    Conversation,
    a_room,
    add,
    ask,
    changed,
    connect_message,
    frame,
    mutation,
    query_set,
    serving,
)

TEXT_START = "Received Invalid JSON on websocket: "
READ = add(0, "counters:read", name="a")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with serving(tmp_path_factory.mktemp("bad-input")) as running:
        yield running


@pytest.fixture(scope="module")
def bystander(server: DevServer) -> Iterator[Bystander]:
    with Conversation(server) as conversation:
        yield Bystander(server, conversation)


@pytest.fixture(scope="module", autouse=True)
def early(server: DevServer) -> Iterator[list[Conversation]]:
    """Connections whose messages wait for others that never come, from before the first test on."""
    messages = (
        [MUTATION],
        [connect_message(), query_set(1, READ)],
        [connect_message(), token("None", base=1), MUTATION],
    )
    with ExitStack() as stack:
        yield [stack.enter_context(Conversation(server)).say(*each) for each in messages]


@pytest.fixture(autouse=True)
def _nobody_else_notices(bystander: Bystander) -> Iterator[None]:
    yield
    bystander.look()


def without(message: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != field}


def token(kind: str, value: str | None = None, base: int = 0, **more: Any) -> dict[str, Any]:
    given = {} if value is None else {"value": value}
    return {"type": "Authenticate", "baseVersion": base, "tokenType": kind, **given, **more}


# The protocol is broken: FatalError, and the connection ends

MUTATION = mutation(0, "counters:increment", name="a")
ACTION = changed(MUTATION, type="Action")
MALFORMED: dict[str, Any] = {
    "nothing": "",
    "no JSON": "hello",
    "cut off": '{"type":"Event"',
    "two in one": "{}{}",
    "single quotes": "{'type':'Event'}",
    "an array": [],
    "a number": 7,
    "null": None,
    "no type": {},
    "a type that is no text": {"type": 3},
    "an unknown type": {"type": "Subscribe"},
    "a server's message": {"type": "Ping"},
    "half a mutation": {"type": "Mutation"},
    **{f"a mutation without {name}": without(MUTATION, name) for name in ("requestId", "udfPath")},
    **{f"requestId {each!r}": changed(MUTATION, requestId=each) for each in (-1, 0.5, 2**32, "0")},
    **{f"an action with requestId {each!r}": changed(ACTION, requestId=each) for each in (-1, [])},
    "a huge requestId": changed(MUTATION, requestId=10**400),
    "a path that is no text": changed(MUTATION, udfPath=None),
    "args that are an object": changed(MUTATION, args={}),
    "args that are null": changed(ACTION, args=None),
    "no args": without(MUTATION, "args"),
    "a query's args that are text": query_set(0, changed(READ, args="[]")),
    "modifications that are an object": changed(query_set(0), modifications={}),
    "an unknown modification": query_set(0, {"type": "Replace", "queryId": 0}),
    "a queryId below zero": query_set(0, changed(READ, queryId=-1)),
    "a journal that is a number": query_set(0, changed(READ, journal=1)),
    "a base version that is text": changed(query_set(0), baseVersion="0"),
    "a version above 2^32": changed(query_set(0), newVersion=2**32),
    "an unknown kind of token": token("Robot", "x"),
    "a user without a token": token("User"),
    "a token that is a number": changed(token("User"), value=7),
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("connects", [True, False], ids=["connected", "at first"])
def test_message_that_is_none_is_a_fatal_error(server: DevServer, message: Any, connects: bool):
    with Conversation(server) as client:
        text = message if isinstance(message, str) else json.dumps(message)
        ending = client.say(*[connect_message()] * connects, text).ending()
    assert ending.fatal_error.startswith(TEXT_START)


BAD_CONNECTS = {
    "no session": without(connect_message(), "sessionId"),
    "a session that is no UUID": connect_message(sessionId="me"),
    "a count below zero": connect_message(connectionCount=-1),
    "a clock beyond 64 bits": connect_message(clientTs=2**63),
    **{
        f"the timestamp {each!r}": connect_message(maxObservedTimestamp=each)
        for each in ("x", "", "AAAA", "AAAAAAAAAAA", "//////////8=", "AAAAAAAAAAA=\n", "é" * 12, 3)
    },
}


@pytest.mark.parametrize("message", BAD_CONNECTS.values(), ids=BAD_CONNECTS.keys())
def test_connect_that_is_none_is_a_fatal_error(server: DevServer, message: dict[str, Any]):
    with Conversation(server) as client:
        assert client.say(message).ending().fatal_error.startswith(TEXT_START)


OUT_OF_ORDER = {
    "a second Connect": ([connect_message()], "Received a second Connect message"),
    "a query set based on an old version": (
        [query_set(0), query_set(0)],
        "Base version 0 passed up doesn't match the current version 1",
    ),
    "two query sets ahead with one base": ([query_set(4), query_set(4)], "Base version 4 passed"),
    "a query set that stays where it is": (
        [query_set(0, new=0)],
        "New version 0 is not greater than the base version 0",
    ),
    "a query set that goes back": ([query_set(5, new=4)], "New version 4 is not greater"),
    "a query added twice": ([query_set(0, READ, READ)], "Query 0 is already in the query set"),
    "a query added again": (
        [query_set(0, READ), query_set(1, READ)],
        "Query 0 is already in the query set",
    ),
    "an unknown query removed": (
        [query_set(0, {"type": "Remove", "queryId": 3})],
        "Query 3 is not in the query set",
    ),
    "an identity based on an old version": (
        [token("None"), token("None")],
        "Base version 0 passed up doesn't match the current version 1",
    ),
    "two identities ahead with one base": (
        [token("None", base=4), token("None", base=4)],
        "Base version 4 passed up doesn't match the current version 0",
    ),
}


@pytest.mark.parametrize(("messages", "text"), OUT_OF_ORDER.values(), ids=OUT_OF_ORDER.keys())
def test_message_against_what_was_said_before_is_a_fatal_error(
    server: DevServer, messages: list[dict[str, Any]], text: str
):
    with Conversation(server) as client:
        ending = client.say(connect_message(), *messages).ending()
    assert ending.fatal_error.startswith(text)


def call_text(arguments: str) -> tuple[str, str, bytes]:
    """A mutation with these arguments in three forms: alone, among queries, and for HTTP."""
    args = f'"udfPath":"results:echo","args":[{{"value":{arguments}}}]'
    added = f'[{{"type":"Add","queryId":0,{args}}}]'
    change = '"type":"ModifyQuerySet","baseVersion":0,"newVersion":1'
    return (
        f'{{"type":"Mutation","requestId":0,{args}}}',
        f'{{{change},"modifications":{added}}}',
        f'{{"path":"results:echo","args":{{"value":{arguments}}}}}'.encode(),
    )


UNREADABLE = {
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "a number with a leading zero": "01",
    "half a surrogate pair": '"\\ud800"',
    "a field named by half a surrogate pair": '{"\\udfff":1}',
    "a control character in a text": '"\x01"',
    "1,000 levels": "[" * 1000 + "]" * 1000,
    "10,000 levels": "[" * 10_000 + "]" * 10_000,
    "10,000 objects in each other": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "a million arrays that never end": "[" * 1_000_000,
    "an array closed by a brace": "[1}",
}


@pytest.mark.parametrize("arguments", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_arguments_that_are_no_json_break_the_protocol(server: DevServer, arguments: str):
    alone, among_queries, body = call_text(arguments)
    for message in (alone, among_queries):
        with Conversation(server) as client:
            ending = client.say(connect_message(), message).ending()
        assert ending.fatal_error.startswith(TEXT_START)
    for kind in ("query", "mutation"):
        answer = ask(server, "POST", f"/api/{kind}", body)
        assert (answer.status, answer.error) == (400, "BadJsonBody")


@pytest.mark.parametrize(
    "message",
    [
        b"\xff",
        b'{"type":"Event","event":"\xc3\x28"}',
        b'{"type":"Mutation","requestId":0,"udfPath":"results:echo","args":[{"value":"\xff"}]}',
        b'{"type":"Mutation","requestId":0,"udfPath":"results:echo","args":[{"value":"\xed\xa0\x80"}]}',
    ],
    ids=["one byte", "in what is ignored", "in arguments", "a surrogate"],
)
@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
def test_bytes_that_are_no_utf8_are_a_fatal_error(server: DevServer, message: bytes, opcode: int):
    with Conversation(server) as client:
        ending = client.say(connect_message()).say_frames(frame(opcode, message)).ending()
    assert ending.fatal_error.startswith(TEXT_START)
    body = message.replace(b'"udfPath"', b'"path"')
    answer = ask(server, "POST", "/api/query", body)
    assert (answer.status, answer.error) == (400, "BadJsonBody")


# Frames

BAD_FRAMES = {
    "a reserved bit": (frame(TEXT, b"{}", first_bits=0xC0), 1002),
    "a reserved opcode": (frame(3, b"{}"), 1002),
    "a continuation of nothing": (frame(0, b"{}"), 1002),
    "a message inside of another": (
        frame(TEXT, b"{", first_bits=0) + frame(TEXT, b"}"),
        1002,
    ),
    "a ping in parts": (frame(PING, b"x", first_bits=0), 1002),
    "a long ping": (frame(PING, b"x" * 126), 1002),
    "a close frame of one byte": (frame(CLOSE, b"\x03"), 1002),
    "a close code that must not be sent": (frame(CLOSE, (1005).to_bytes(2, "big")), 1002),
    "a close reason that is no UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "a terabyte announced": (bytes((0x81, 0xFF)) + (2**40).to_bytes(8, "big") + bytes(4), 1009),
    "a negative length": (bytes((0x81, 0xFF)) + (2**63).to_bytes(8, "big") + bytes(4), 1009),
    "one byte too many announced": (
        bytes((0x81, 0xFF)) + (CLIENT_MESSAGE_BYTES_MAX + 1).to_bytes(8, "big") + bytes(4),
        1009,
    ),
}


@pytest.mark.parametrize(("sent", "code"), BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
def test_frames_against_the_rules_end_the_connection(server: DevServer, sent: bytes, code: int):
    with Conversation(server) as client:
        ending = client.say(connect_message()).say_frames(sent).ending()
    assert (ending.messages, ending.code) == ((), code)


def test_message_above_the_limit_ends_the_connection_whether_in_one_frame_or_in_many(
    server: DevServer,
):
    part = b" " * (CLIENT_MESSAGE_BYTES_MAX // 2)
    for frames in (
        [frame(TEXT, part * 3)],
        [frame(TEXT, part, first_bits=0), frame(0, part, first_bits=0), frame(0, part)],
    ):
        with Conversation(server) as client:
            ending = client.say(connect_message()).say_frames(*frames).ending()
        # Whoever still sends when the close frame comes may find the connection reset instead.
        assert ending.code in {1009, CUT_OFF}
        assert ending.messages == ()


def test_message_may_come_in_parts_as_bytes_and_with_a_ping_between(server: DevServer):
    with Conversation(server) as client:
        text = json.dumps(connect_message()).encode()
        client.say_frames(
            frame(BINARY, text[:7], first_bits=0),
            frame(PING, b"still here?"),
            *(frame(0, text[at : at + 1], first_bits=0) for at in range(7, len(text))),
            frame(0, b""),
        )
        client.assert_works()


def test_largest_arguments_are_taken_and_larger_ones_refused_by_the_function(server: DevServer):
    fitting = "x" * (ARGUMENTS_BYTES_MAX - len(json.dumps([{"number": ""}])))
    with Conversation(server) as client:
        client.say(connect_message(), query_set(0, add(0, "mistakes:double", number=fitting)))
        assert "Value does not match validator" in client.modification(0)["errorMessage"]
        client.say(query_set(1, add(1, "mistakes:double", number=fitting + "xx")))
        refused = client.modification(1)["errorMessage"]
        assert "Arguments for mistakes.js:double are too large (actual: 16 MiB" in refused
        client.assert_works(2)


def test_fatal_error_arrives_although_the_client_goes_on_talking(server: DevServer):
    text = json.dumps({"type": "Event", "eventType": "x" * 50_000, "event": None}).encode()
    for _ in range(20):
        with Conversation(server) as client:
            client.say(connect_message(), "{")
            for _ in range(20):
                client.say_frames(frame(TEXT, text))
            assert client.ending().fatal_error.startswith(TEXT_START)


# Ahead of its turn


def test_what_comes_before_connect_waits_for_it(server: DevServer):
    with Conversation(server) as client:
        client.say(mutation(0, "counters:increment", name=a_room()), query_set(0, READ))
        client.say({"type": "Event", "eventType": "x", "event": None}, connect_message())
        assert client.hear_until("MutationResponse")["success"]
        client.assert_works(1, 1)


def test_versions_that_come_out_of_order_are_put_in_order(server: DevServer):
    with Conversation(server) as client:
        client.say(connect_message(), query_set(2), query_set(1), token("None", base=1))
        client.say(query_set(0), token("None"))
        client.assert_works(3)


def test_client_that_has_seen_the_future_is_sent_away(server: DevServer):
    with Conversation(server) as client:
        ending = client.say(connect_message(maxObservedTimestamp="/////////38=")).ending()
    assert (ending.messages, ending.code, ending.reason) == ((), 1013, "ServerBehindClient")


# Requests


def test_request_ids_may_go_back_but_each_is_answered_once(server: DevServer):
    room = a_room()
    ids = [5, 3, 5, 2**32 - 1, 3]
    with Conversation(server) as client:
        client.say(connect_message())
        client.say(*[mutation(each, "counters:increment", name=room) for each in ids])
        client.say(changed(mutation(5, "x:y"), type="Action"))
        client.assert_works(request_id=6)
        client.say(changed(mutation(7, "x:y"), type="Action"))
        assert client.hear_until("ActionResponse")["requestId"] == 7
    assert server.query("counters:read", name=room) == 3


def flood(*messages: dict[str, Any]) -> bytes:
    return b"".join(frame(TEXT, json.dumps(message).encode()) for message in messages)


FLOODS = {
    "mutations": (
        [connect_message(), *[mutation(each, "results:chatty_change") for each in range(4000)]],
        "TooManyConcurrentMutations",
    ),
    "actions": (
        [connect_message(), *[changed(ACTION, requestId=2 * each) for each in range(10_002)]],
        "TooManyConcurrentActions",
    ),
    "messages before Connect": ([MUTATION] * 1001, "TooManyMessagesHeldBack"),
    "versions ahead": (
        [connect_message(), *[query_set(each) for each in range(1, 1002)]],
        "TooManyMessagesHeldBack",
    ),
}


@pytest.mark.parametrize(("messages", "reason"), FLOODS.values(), ids=FLOODS.keys())
def test_more_than_is_kept_for_one_client_ends_its_connection(
    server: DevServer, messages: list[dict[str, Any]], reason: str
):
    with Conversation(server) as client:
        ending = client.say_frames(flood(*messages)).ending()
    assert (ending.code, ending.reason) == (1013, reason)


def test_hundreds_of_bad_paths_are_answered_in_their_order(server: DevServer):
    with Conversation(server) as client:
        client.say(connect_message(), mutation(0, "counters:increment", name=a_room()))
        client.say_frames(flood(*[mutation(each, "../bad") for each in range(1, 900)]))
        answered = [client.hear_until("MutationResponse")["requestId"] for _ in range(900)]
        assert answered == list(range(900))
        client.assert_works(request_id=900)


# Identities


def impersonating(**attributes: Any) -> dict[str, Any]:
    return {"impersonating": attributes}


BAD_IDENTITIES: dict[str, tuple[Any, int, str]] = {
    "not an object": ([], 400, "must be a JSON object"),
    "nobody": ({}, 400, "needs `issuer` and `subject`"),
    "a subject that is a number": ({"issuer": "i", "subject": 3}, 400, "needs `issuer`"),
    "a reserved field": ({"tokenIdentifier": "t", "$x": 1}, 400, "unreadable"),
    "300 levels": ({"tokenIdentifier": "t", "x": json.loads("[" * 300 + "]" * 300)}, 400, "unread"),
}


@pytest.mark.parametrize(
    ("identity", "status", "text"), BAD_IDENTITIES.values(), ids=BAD_IDENTITIES.keys()
)
def test_impersonated_identity_that_is_none_is_refused(
    server: DevServer, identity: Any, status: int, text: str
):
    encoded = base64.b64encode(json.dumps(identity).encode()).decode()
    for message in (
        token("Admin", server.admin_key, impersonating=identity),
        token("Admin", server.admin_key, acting_as=identity),
        token("Admin", f"{server.admin_key}:{encoded}"),
    ):
        assert text in refused_identity(server, message)
    answer = ask(
        server, "GET", "/api/query_ts", b"", ("Authorization", f"Convex {message['value']}")
    )
    assert (answer.status, answer.error) == (status, "InvalidAuthHeader")
    assert text in answer.json["message"]


TOKENS = {
    "a user's that is no JWT": ("User", "x", "Could not parse JWT payload"),
    "a user's that is not ASCII": ("User", "é.é.é", "Could not parse JWT payload"),
    "a user's of no issuer": ("User", "e30.e30.", "Missing issuer claim"),
    "a wrong admin key": ("Admin", "local|0000", "is not the key of this deployment"),
    "an empty admin key": ("Admin", "", "is not the key of this deployment"),
    "an admin key that is not ASCII": ("Admin", "é", "is not the key of this deployment"),
}


@pytest.mark.parametrize(("kind", "value", "text"), TOKENS.values(), ids=TOKENS.keys())
def test_token_that_is_none_is_an_auth_error(server: DevServer, kind: str, value: str, text: str):
    assert text in refused_identity(server, token(kind, value))


@pytest.mark.parametrize("identity", ["x", "é", "e30", "/w=="])
def test_identity_after_the_admin_key_must_be_base64_of_json(server: DevServer, identity: str):
    assert "unreadable" in refused_identity(
        server, token("Admin", f"{server.admin_key}:{identity}")
    )


def refused_identity(server: DevServer, message: dict[str, Any]) -> str:
    """The text of the AuthError that answers a token, after which the connection ends."""
    with Conversation(server) as client:
        ending = client.say(connect_message(), message, MUTATION).ending()
    [error] = ending.messages
    assert (error["type"], error["baseVersion"], error["authUpdateAttempted"]) == (
        "AuthError",
        0,
        True,
    )
    assert (ending.code, ending.reason) == (1000, "")
    return error["error"]


def test_hundreds_of_tokens_out_of_order_are_checked_one_after_the_other(server: DevServer):
    with Conversation(server) as client:
        client.say(connect_message())
        client.say_frames(
            flood(*[token("Admin", server.admin_key, base=each) for each in range(1, 900)])
        )
        client.say(token("Admin", server.admin_key))
        while client.hear_until("Transition")["endVersion"]["identity"] != 900:
            pass
        client.assert_works()


# At the end, because they wait for ten seconds


def test_what_never_gets_its_turn_ends_the_connection(early: list[Conversation]):
    for client in early:
        ending = client.ending()
        assert (ending.code, ending.reason) == (1011, "EarlierMessageMissing")

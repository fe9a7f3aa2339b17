"""Calls that can't succeed: the call fails and says why, and its connection goes on.

The same call is made over the WebSocket and over HTTP, and both are told the same. After each test
a client that was connected all the time and a new one are served as ever, and the server has logged
no traceback. Documented in docs/sessions.md ("Bad input") and docs/http-api.md ("Errors").
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from syncline.values.document_id import encode_id
from tests.clients.server import DevServer
from tests.integration.raw_client import (
    FIRST_TS,
    Bystander,
    Conversation,
    a_room,
    add,
    ask,
    changed,
    connect_message,
    mutation,
    query_set,
    serving,
)

READ = add(0, "counters:read", name="a")
MUTATION = mutation(0, "counters:increment", name="a")
ACTION = changed(MUTATION, type="Action")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with serving(tmp_path_factory.mktemp("bad-calls")) as running:
        yield running


@pytest.fixture(scope="module")
def bystander(server: DevServer) -> Iterator[Bystander]:
    with Conversation(server) as conversation:
        yield Bystander(server, conversation)


@pytest.fixture(autouse=True)
def _nobody_else_notices(bystander: Bystander) -> Iterator[None]:
    yield
    bystander.look()


@dataclass(frozen=True)
class Said:
    """What one call was told, over the WebSocket as query or mutation and over HTTP."""

    text: str
    data: Any


def told(server: DevServer, kind: str, path: str, arguments: str) -> Said:
    """Make a call that fails, over both; the connection works before and after."""
    with Conversation(server) as client:
        client.say(connect_message())
        client.assert_works()
        if kind == "query":
            change = query_set(1, changed(READ, udfPath=path, args="@"))
            client.say(json.dumps(change).replace('"@"', f"[{arguments}]"))
            failed = client.modification(0)
            assert failed["type"] == "QueryFailed", failed
            message = failed["errorMessage"]
            client.assert_works(2, 1)
        else:
            change = changed(mutation(1, path), args="@")
            client.say(json.dumps(change).replace('"@"', f"[{arguments}]"))
            failed = client.hear_until("MutationResponse")
            assert (failed["success"], failed["ts"]) == (False, None)
            message = failed["result"]
            client.assert_works(1, 2)
        assert failed["logLines"] == []
    body = f'{{"path":{json.dumps(path)},"args":[{arguments}]}}'.encode()
    answer = ask(server, "POST", f"/api/{kind}", body)
    assert (answer.status, answer.json["status"]) == (200, "error")
    first, _, text = message.partition("\n")
    assert first.startswith("[Request ID: ")
    assert first.endswith("] Server Error")
    assert answer.json["errorMessage"].partition("\n")[2] == text
    assert answer.json.get("errorData") == failed.get("errorData")
    return Said(text, failed.get("errorData"))


VALUES = {
    "64 levels": ("[" * 64 + "]" * 64, "nested deeper than 64 levels"),
    "70 levels of objects": ('{"a":' * 70 + "1" + "}" * 70, "nested deeper than 64 levels"),
    "a number beyond float64": ("1e999", "number is infinity"),
    "400 digits": ("9" * 400, "number is infinity"),
    "a reserved field": ('{"$x":1,"y":2}', "the field name '$x' starts with '$'"),
    "an unknown special value": ('{"$set":[]}', "the single-key object '$set'"),
    "$undefined": ('{"$undefined":null}', "the single-key object '$undefined'"),
    "$integer that is no base64": ('{"$integer":"x"}', "standard base64"),
    "$integer of 7 bytes": ('{"$integer":"AAAAAAAAAA=="}', "must hold 8 bytes, got 7"),
    "$bytes that are a number": ('{"$bytes":3}', "$bytes must hold a base64 string"),
    "$float with an ordinary number": ('{"$float":"AAAAAAAAAAA="}', "write it as a JSON number"),
    "a field name beyond ASCII": ('{"é":1}', "other than printable ASCII"),
    "a long field name": (json.dumps({"k" * 1025: 1}), "1024"),
    "8193 elements": (json.dumps([0] * 8193), "an array of 8193 elements (limit: 8192)"),
    "1025 fields": (
        json.dumps({f"f{each}": 0 for each in range(1025)}),
        "an object of 1025 fields (limit: 1024)",
    ),
}


@pytest.mark.parametrize(("value", "text"), VALUES.values(), ids=VALUES.keys())
def test_json_that_is_no_value_fails_the_call(server: DevServer, value: str, text: str):
    for kind, path, more in (
        ("query", "results:echo", ""),
        ("mutation", "results:keep", '"room":"r",'),
    ):
        said = told(server, kind, path, f'{{{more}"value":{value}}}')
        name = path.replace(":", ".js:")
        assert said.text.startswith(f"Invalid arguments for {name}: ")
        assert text in said.text


ARGUMENTS = {
    "a missing one": ("{}", "Object is missing the required field `number`"),
    "one too many": ('{"number":1,"more":2}', "Object contains extra field `more`"),
    "of another type": ('{"number":"1"}', "Value does not match validator."),
    "an Int64 for a float": (
        '{"number":{"$integer":"AQAAAAAAAAA="}}',
        "Value does not match validator.",
    ),
}


@pytest.mark.parametrize(("arguments", "text"), ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_arguments_that_a_function_does_not_take_fail_the_call(
    server: DevServer, arguments: str, text: str
):
    said = told(server, "query", "mistakes:double", arguments)
    assert said.text.startswith(f"ArgumentValidationError: {text}")


@pytest.mark.parametrize("args", ["[]", "[{},{}]", "[1]", "[[]]", "[null]"])
def test_args_are_one_object(server: DevServer, args: str):
    with Conversation(server) as client:
        client.say(connect_message())
        for base, path in enumerate(("results:echo", "results:keep")):
            query = json.dumps(query_set(base, changed(READ, queryId=base, udfPath=path, args="@")))
            client.say(query.replace('"@"', args))
            if path == "results:echo":
                failed = client.modification(base)["errorMessage"]
                assert "the arguments must be one object" in failed
        change = json.dumps(changed(mutation(0, "results:keep"), args="@"))
        client.say(change.replace('"@"', args))
        assert "the arguments must be one object" in client.hear_until("MutationResponse")["result"]
        client.assert_works(2, 1)
    for kind in ("query", "mutation"):
        body = f'{{"path":"results:echo","args":{args}}}'.encode()
        answer = ask(server, "POST", f"/api/{kind}", body)
        assert (answer.status, answer.error) == (400, "BadArgs")


FUNCTIONS = {
    "an unknown module": ("query", "nowhere:get", "Could not find public function for"),
    "an unknown function": ("mutation", "tasks:nothing", "Could not find public function for"),
    "a module without default": ("query", "tasks", "Could not find public function for 'tasks'."),
    "an internal function": ("query", "mistakes:secret", "Could not find public function for"),
    "a system function": ("query", "_system/cli/tables", "Could not find public function for"),
    "what is no function": ("query", "schema:schema", "Could not find public function for"),
    "a mutation as a query": (
        "query",
        "tasks:add",
        "Trying to execute tasks.js:add as Query, but it is defined as Mutation.",
    ),
    "a query as a mutation": (
        "mutation",
        "tasks:get",
        "Trying to execute tasks.js:get as Mutation, but it is defined as Query.",
    ),
}


@pytest.mark.parametrize(("kind", "path", "text"), FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_function_that_may_not_be_called_so_is_named(
    server: DevServer, kind: str, path: str, text: str
):
    assert told(server, kind, path, "{}").text.startswith(text)


@pytest.mark.parametrize(
    "path", ["", ":", "a:b:c", "../tasks:get", "a b:c", "tasks.py:get", "é:é", "\0", "x" * 2000]
)
def test_path_that_is_none_fails_its_call_only(server: DevServer, path: str):
    with Conversation(server) as client:
        client.say(connect_message(), query_set(0, changed(READ, udfPath=path)))
        failed = client.modification(0)["errorMessage"]
        assert "Could not find public function for" in failed
        client.say(changed(MUTATION, udfPath=path))
        assert "is not a function path" in client.hear_until("MutationResponse")["result"]
        client.say(changed(ACTION, requestId=1, udfPath=path))
        assert "is not a function path" in client.hear_until("ActionResponse")["result"]
        client.assert_works(1, 2)
    for kind in ("query", "mutation", "action"):
        answer = ask(server, "POST", f"/api/{kind}", json.dumps({"path": path}).encode())
        assert (answer.status, answer.error) == (400, "BadConvexFunctionIdentifier")


@pytest.mark.parametrize("component", ["child", "../x", "é"])
def test_component_is_refused(server: DevServer, component: str):
    named = {"componentPath": component}
    with Conversation(server) as client:
        client.say(connect_message(), query_set(0, changed(READ, **named)))
        assert client.modification(0)["type"] == "QueryFailed"
        client.say(changed(MUTATION, **named))
        assert not client.hear_until("MutationResponse")["success"]
        client.assert_works(1, 1)
    answer = ask(server, "POST", "/api/query", json.dumps({"path": "a:b", **named}).encode())
    assert (answer.status, answer.error) == (400, "ComponentNotFound")


# Ids


@pytest.fixture(scope="module")
def task(server: DevServer) -> str:
    return server.mutation("tasks:add", room=a_room(), text="one")


@pytest.fixture(scope="module")
def kept(server: DevServer) -> str:
    """The id of a document in another table than `tasks`."""
    room = a_room()
    server.mutation("messages:send", room=room, numbers=[1])
    page = server.query("messages:page", room=room, paginationOpts={"numItems": 1, "cursor": None})
    return page["page"][0]["_id"]


def last_changed(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


@pytest.mark.parametrize("garbled", [last_changed, str.upper, lambda text: text[:-1], lambda _: ""])
def test_id_that_is_none_does_not_pass(server: DevServer, task: str, garbled: Any):
    bad = garbled(task)
    for kind, path, more in (
        ("query", "lookups:task", {}),
        ("mutation", "tasks:rename", {"text": "x"}),
    ):
        said = told(server, kind, path, json.dumps({"task": bad, **more}))
        assert said.text.startswith("ArgumentValidationError: Value does not match validator.")
    said = told(server, "query", "lookups:anything", json.dumps({"key": bad}))
    assert "is not a document id" in said.text


def test_id_of_another_table_does_not_pass(server: DevServer, kept: str):
    for kind, path, more in (
        ("query", "lookups:task", {}),
        ("mutation", "tasks:rename", {"text": "x"}),
    ):
        said = told(server, kind, path, json.dumps({"task": kept, **more}))
        assert f'Found ID "{kept}" from table `messages`' in said.text
        system = encode_id(512, bytes(16))
        said = told(server, kind, path, json.dumps({"task": system, **more}))
        assert f'Found ID "{system}" from a system table' in said.text
    assert (
        "is a system table"
        in told(server, "query", "lookups:anything", json.dumps({"key": system})).text
    )


def test_id_of_no_document_is_none_to_read_and_an_error_to_change(server: DevServer, task: str):
    unknown = encode_id(10_001, b"nobody has this.")
    assert unknown[:3] == task[:3]
    assert server.query("lookups:task", task=unknown) is None
    said = told(server, "mutation", "tasks:rename", json.dumps({"task": unknown, "text": "x"}))
    assert f"Update on nonexistent document ID {unknown}" in said.text


# Cursors

PAGE_OPTIONS = {"numItems": 2, "cursor": None}


@pytest.fixture(scope="module")
def room(server: DevServer) -> str:
    named = a_room()
    server.mutation("messages:send", room=named, numbers=[1, 2, 3, 4, 5])
    return named


def continued(server: DevServer, room: str) -> str:
    return server.query("messages:page", room=room, paginationOpts=PAGE_OPTIONS)["continueCursor"]


GARBLED = {
    "empty": lambda _: "",
    "nonsense": lambda _: "nonsense",
    "beyond ASCII": lambda _: "é",
    "padded": lambda cursor: cursor + "=",
    "with a new line": lambda cursor: cursor + "\n",
    "cut": lambda cursor: cursor[:-4],
    "changed at the begin": lambda cursor: ("A" if cursor[0] != "A" else "B") + cursor[1:],
    "changed at the end": lambda cursor: (
        cursor[:-3] + ("A" if cursor[-3] != "A" else "B") + cursor[-2:]
    ),
}


@pytest.mark.parametrize("garble", GARBLED.values(), ids=GARBLED.keys())
@pytest.mark.parametrize("name", ["cursor", "endCursor"])
def test_cursor_that_was_not_given_out_is_invalid(
    server: DevServer, room: str, name: str, garble: Any
):
    options = {**PAGE_OPTIONS, name: garble(continued(server, room))}
    check_invalid_cursor(server, room, options)


def test_cursor_of_another_query_is_invalid(server: DevServer, room: str):
    check_invalid_cursor(server, a_room(), {**PAGE_OPTIONS, "cursor": continued(server, room)})


def check_invalid_cursor(server: DevServer, room: str, options: dict[str, Any]) -> None:
    arguments = json.dumps({"room": room, "paginationOpts": options})
    said = told(server, "query", "messages:page", arguments)
    assert said.text.startswith("Uncaught ConvexError: InvalidCursor: ")
    # The sign by which clients know that they have to start again.
    assert said.data == {"isConvexSystemError": True, "paginationError": "InvalidCursor"}


@pytest.mark.parametrize("journal", ["", "nonsense", "é", "A" * 100])
def test_journal_that_was_not_given_out_is_an_invalid_cursor(
    server: DevServer, room: str, journal: str
):
    with Conversation(server) as client:
        client.say(connect_message())
        page = add(0, "messages:page", room=room, paginationOpts=PAGE_OPTIONS)
        client.say(query_set(0, changed(page, journal=journal)))
        failed = client.modification(0)
        assert failed["errorData"]["paginationError"] == "InvalidCursor"
        client.say(query_set(1, changed(page, queryId=1)))
        assert len(client.modification(1)["value"]["page"]) == 2
        client.assert_works(2)


@pytest.mark.parametrize(
    ("items", "text"),
    [
        (0, "numItems must be at least 1"),
        (-1, "numItems must be at least 1"),
        (32_001, "numItems is 32001, the limit is 32000"),
        (1.5, "Value does not match validator"),
        ("two", "Value does not match validator"),
    ],
)
def test_page_of_no_size_is_refused(server: DevServer, room: str, items: Any, text: str):
    options = {**PAGE_OPTIONS, "numItems": items}
    arguments = json.dumps({"room": room, "paginationOpts": options})
    assert text in told(server, "query", "messages:page", arguments).text


# Snapshots


def test_snapshot_that_is_not_there_is_refused(server: DevServer):
    call = {"path": "counters:read", "args": {"name": "a"}}

    def at(**ts: Any) -> tuple[int, str]:
        answer = ask(server, "POST", "/api/query_at_ts", json.dumps({**call, **ts}).encode())
        return answer.status, answer.error

    assert at() == (400, "BadJsonBody")
    assert at(ts=3) == (400, "BadJsonBody")
    for text in ("", "x", "AAAA", FIRST_TS[:-1], "//////////8=", "é" * 12, FIRST_TS + "\n"):
        assert at(ts=text) == (400, "InvalidTimestamp")
    assert at(ts="/////////38=") == (503, "TimestampInFuture")

"""Whole conversations and requests by chance, against a served deployment.

Conversations: a session machine (syncline.sync.session) in this process is told the same; the
server ends the connection exactly when the machine does and says the same at the end, and otherwise
goes on to serve that connection. Requests: whatever the body, the address and the headers, the
answer has a documented status and form. After each a good client is served.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncline.sync.client_kind import ClientKind
from syncline.sync.phases import Phase
from syncline.sync.results import CallResult
from syncline.sync.session import Effect, RunAction, RunMutation, Send, Session, VerifyToken
from tests.clients.server import DevServer
from tests.integration.raw_client import (
    BINARY,
    TEXT,
    Answer,
    Bystander,
    Conversation,
    add,
    ask,
    connect_message,
    frame,
    query_set,
    serving,
)

LAST_REQUEST = 1_000_000
REFUSED = CallResult(0, None, "refused")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with serving(tmp_path_factory.mktemp("fuzz")) as running:
        yield running


@pytest.fixture(scope="module")
def bystander(server: DevServer) -> Iterator[Bystander]:
    with Conversation(server) as conversation:
        yield Bystander(server, conversation)


# Messages

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
PATHS = st.sampled_from(
    ["counters:read", "counters:increment", "results:echo", "results:keep", "nowhere:x", "../x"]
)
SMALL = st.integers(0, 4)
ARGUMENTS = st.sampled_from([[{"name": "fuzz"}], [{"value": 1}], [{}], []])
ADDED = st.builds(
    lambda query, path, args: {"type": "Add", "queryId": query, "udfPath": path, "args": args},
    SMALL,
    PATHS,
    ARGUMENTS,
)
REMOVED = SMALL.map(lambda query: {"type": "Remove", "queryId": query})
CALLS = st.builds(
    lambda kind, request, path, args: {
        "type": kind,
        "requestId": request,
        "udfPath": path,
        "args": args,
    },
    st.sampled_from(["Mutation", "Action"]),
    st.integers(0, 9),
    PATHS,
    ARGUMENTS,
)
TOKENS = st.builds(
    lambda base, kind: {
        "type": "Authenticate",
        "baseVersion": base,
        "tokenType": kind,
        "value": "x",
    },
    st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from(["None", "None", "None", "User", "Admin"]),
)
CHANGES = st.builds(
    lambda base, step, modifications: query_set(base, *modifications, new=base + step),
    st.sampled_from([0, 0, 1, 1, 2, 3]),
    st.sampled_from([1, 1, 1, 2, 0]),
    st.lists(ADDED | REMOVED, max_size=2),
)
EVENTS = st.builds(lambda event: {"type": "Event", "eventType": "x", "event": event}, JSON)
VALID = CALLS | CHANGES | TOKENS | EVENTS | st.builds(connect_message)


@st.composite
def garbled(draw: st.DrawFn) -> str:
    """A valid message with fields replaced, removed or added, perhaps cut or spliced."""
    message = dict(draw(VALID))
    for _ in range(draw(st.integers(0, 2))):
        field = draw(st.sampled_from([*message, "extra", "componentPath", "journal"]))
        if draw(st.booleans()):
            message[field] = draw(JSON)
        else:
            message.pop(field, None)
    text = json.dumps(message, ensure_ascii=draw(st.booleans()))
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(text)))
        between = draw(st.text(max_size=3) | st.sampled_from(["\\ud800", "NaN", "[" * 3000]))
        text = text[:at] + between + text[at + draw(st.integers(0, 3)) :]
    return text


SAID = st.one_of(
    VALID.map(json.dumps).map(str.encode),
    VALID.map(json.dumps).map(str.encode),
    VALID.map(json.dumps).map(str.encode),
    garbled().map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=20),
)
# Each message, and as how many frames it is sent; binary if that is odd.
CONVERSATIONS = st.lists(st.tuples(SAID, st.integers(1, 4)), max_size=10)


def frames_of(message: bytes, count: int) -> bytes:
    size = len(message) // count + 1
    parts = [message[at : at + size] for at in range(0, len(message), size)] or [b""]
    opcodes = [BINARY if count % 2 else TEXT] + [0] * (len(parts) - 1)
    return b"".join(
        frame(opcode, part, first_bits=0x80 if at == len(parts) else 0)
        for at, (opcode, part) in enumerate(zip(opcodes, parts, strict=True), 1)
    )


class Model:
    """The machine, with a driver that refuses every call."""

    def __init__(self) -> None:
        self.machine = Session(ClientKind("npm", (1, 48, 0)), now_ms=0)
        self.endings: list[object] = []
        """What may be said at the end. A token is refused at any time from its arrival on."""

    def hear(self, message: bytes) -> None:
        """What the client says."""
        self._perform(self.machine.receive(message, 0))

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(frames):
                    self._note(json.loads(frames[-1]))
                case RunMutation(request):
                    self._perform(self.machine.mutation_finished(request, REFUSED, 0))
                case RunAction(request):
                    self._perform(self.machine.action_finished(request, REFUSED, 0))
                case VerifyToken(base):
                    self.endings.append(("AuthError", base))
                case _:
                    pass

    def _note(self, message: dict[str, Any]) -> None:
        if message["type"] == "FatalError":
            self.endings.append(said_at_the_end(message))

    @property
    def goes_on(self) -> bool:
        """Whether the client is connected, and nothing that it said waits for its turn."""
        return self.machine.phase is Phase.CONNECTED and not self.machine._state.held.count

    @property
    def query_set(self) -> int:
        """The version that the next change is based on."""
        return self.machine._state.query_set.version


def said_at_the_end(message: dict[str, Any]) -> object:
    """An ending, without the text of an AuthError: the model has no authenticator."""
    if message["type"] == "AuthError":
        return "AuthError", message["baseVersion"]
    return "FatalError", message["error"]


@given(CONVERSATIONS, st.sampled_from([True, True, True, False]))
@example([(json.dumps(query_set(0, add(0, "counters:read", name="a"))).encode(), 1)] * 2, True)
@example([(b'{"type":"Mutation","requestId":0,"udfPath":"x","args":[{"a":"\\ud800"}]}', 2)], True)
def test_any_conversation_goes_on_or_ends_as_documented(
    server: DevServer, bystander: Bystander, messages: list[tuple[bytes, int]], connects: bool
):
    model = Model()
    with Conversation(server) as client:
        if connects:
            messages = [(json.dumps(connect_message()).encode(), 1), *messages]
        for message, count in messages:
            model.hear(message)
            client.say_frames(frames_of(message, count))
        if model.goes_on:
            client.assert_works(model.query_set, LAST_REQUEST)
        else:
            # Wherever the session stands, this ends it, if nothing has done so before.
            model.hear(b"{")
            ending = client.say("{").ending()
            assert (ending.code, ending.reason) == (1000, "")
            assert said_at_the_end(ending.messages[-1]) in model.endings
    bystander.look()


# Requests

WORDS = st.sampled_from(
    ["", "api", "query", "mutation", "run", "counters", "read", "sync", "1.48.0", "..", "import"]
)
TARGETS = st.one_of(
    st.sampled_from(
        [
            "/api/query",
            "/api/mutation",
            "/api/action",
            "/api/function",
            "/api/query_ts",
            "/api/query_at_ts",
            "/api/query_batch",
            "/api/run/counters/read",
            "/api/import/finish_upload",
            "/api/import/upload_part",
            "/api/perform_import",
            "/api/export/zip/1",
            "/api/syncline/push",
            "/echo",
            "/version",
        ]
    ),
    st.lists(WORDS | st.text(max_size=4), min_size=1, max_size=5).map(
        lambda words: "/" + "/".join(quote(word, safe="") for word in words)
    ),
)
PARAMETERS = st.dictionaries(
    st.sampled_from(["path", "args", "format", "adminKey", "partNumber", "x"]),
    PATHS | st.text(max_size=6) | JSON.map(json.dumps),
    max_size=3,
).map(lambda pairs: "&".join(f"{name}={quote(value)}" for name, value in pairs.items()))
TIMESTAMPS = st.binary(min_size=8, max_size=8).map(lambda ts: base64.b64encode(ts).decode())
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "path": PATHS | JSON,
        "args": ARGUMENTS | JSON,
        "format": st.sampled_from(["json", "convex_encoded_json", "export_json", "xml"]) | JSON,
        "ts": TIMESTAMPS | JSON,
        "componentPath": st.sampled_from(["", "child"]) | JSON,
        "queries": st.lists(JSON, max_size=2),
        "import": JSON,
        "uploadToken": st.just("0" * 32) | JSON,
        "partTokens": JSON,
        "importId": JSON,
        "extra": JSON,
    },
)
BODIES = st.one_of(FIELDS.map(json.dumps).map(str.encode), st.binary(max_size=30), st.just(b""))
HEADER = st.binary(max_size=12).map(
    lambda value: bytes(each for each in value if each >= 32 and each != 127).strip()
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Authorization", "Convex-Client", "Convex-Request-Id", "Origin", "Content-Type", "Accept"]
    ),
    HEADER | st.sampled_from([b"Bearer e30.e30.", b"Convex x", b"npm-1.48.0", b"https://a.test"]),
    max_size=2,
)
METHODS = st.sampled_from(["POST", "POST", "POST", "GET", "GET", "PUT", "OPTIONS", "DELETE"])
REFUSALS = {400, 401, 403, 404}
UNAVAILABLE = {"TimestampInFuture", "OutOfRetention"}
RESULTS = {
    "/api/query",
    "/api/mutation",
    "/api/action",
    "/api/function",
    "/api/query_at_ts",
    "/api/run/counters/read",
}


def check_answer(target: str, answer: Answer) -> None:
    if answer.status in REFUSALS:
        assert answer.error
    elif answer.status == 503:
        assert answer.error in UNAVAILABLE
        assert target.startswith("/api/query_at_ts")
    elif answer.status == 204:
        assert answer.body == b""
    else:
        assert answer.status == 200, answer
        if target in RESULTS:
            check_result(answer.json)


def check_result(result: dict[str, Any]) -> None:
    if result["status"] == "success":
        assert "value" in result
    else:
        assert result["status"] == "error"
        assert result["errorMessage"]


@given(METHODS, TARGETS, PARAMETERS, BODIES, HEADERS, st.booleans())
def test_any_request_is_answered_as_documented(
    server: DevServer,
    bystander: Bystander,
    method: str,
    target: str,
    parameters: str,
    body: bytes,
    headers: dict[str, bytes],
    is_admin: bool,
):
    if is_admin:
        headers = {**headers, "Authorization": f"Convex {server.admin_key}".encode()}
    whole = f"{target}?{parameters}" if parameters else target
    check_answer(target, ask(server, method, whole, body, *headers.items()))
    bystander.look()

"""A client that behaves as npm's does and asserts what a correct server must keep.

It is the client of convex-protocol.md 1.2 to 1.9 and 8: one session id for all connections; on each
connection Connect, Authenticate, the whole query set, then every mutation that is unanswered or
answered but not reflected yet, by ascending request id; a mutation settles with the first
Transition at or past its ts after its response, a failure at once; an action that was under way
when the connection broke fails.

It does no I/O: `open` gives it something to send with, `receive` a message, `lost` ends the
connection. A broken promise of the server is an AssertionError.
"""

import json
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
ZERO: Json = {"querySet": 0, "identity": 0, "ts": "AAAAAAAAAAA="}
CONNECTION_LOST = "Connection lost while action was in flight"


def encode_ts(ts: int) -> str:
    """A timestamp as it is on the wire (1.4)."""
    return b64encode(struct.pack("<Q", ts)).decode()


def decode_ts(text: str) -> int:
    """The timestamp of 8 bytes in base64."""
    (ts,) = struct.unpack("<Q", b64decode(text, validate=True))
    return ts


@dataclass(frozen=True, slots=True)
class Result:
    """What a query has returned to the client: a value, or an error with its data, if any."""

    path: str
    arguments: str
    """JSON of the arguments object."""
    value: Any = None
    error: str | None = None
    data: Any = None
    log_lines: tuple[str, ...] = ()
    journal: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the client holds after a Transition: all of it is what was true at `ts`."""

    ts: int
    token: str | None
    """The token of the identity version that the Transition names."""
    results: Mapping[int, Result]


@dataclass(frozen=True, slots=True)
class Settled:
    """How a request ended, as its caller is told; `ts` is that of a successful mutation."""

    request_id: int
    is_success: bool
    result: Any
    ts: int | None
    data: Any = None


@dataclass(slots=True)
class Request:
    """A mutation or action under way."""

    kind: Literal["Mutation", "Action"]
    message: Json
    on_settled: Callable[[Settled], None]
    was_sent: bool = False
    sent_on: int = 0
    """The connection that it was first sent on."""
    response: Json | None = None
    answered_on: int = 0
    """The connection of the newest response."""

    @property
    def id(self) -> int:
        return self.message["requestId"]


@dataclass(slots=True)
class Subscription:
    """One query of the set, shared by equal subscribers."""

    path: str
    arguments: str
    subscribers: int = 1
    journal: Any = field(default=...)
    """What the server sent last; Ellipsis: nothing yet."""


class ModelClient:
    """One client.

    Args:
        session_id: kept over reconnects.
        on_snapshot: called after each Transition with what the client holds then.
    """

    def __init__(self, session_id: str, on_snapshot: Callable[[Snapshot], None]) -> None:
        self.session_id = session_id
        self.connections = 0
        self.max_observed = 0
        """The newest ts ever seen in a Transition or a successful response."""
        self.requests: dict[int, Request] = {}
        self.subscriptions: dict[int, Subscription] = {}
        self.auth_errors: list[str] = []
        self._asked: dict[int, tuple[str, str]] = {}
        self._on_snapshot = on_snapshot
        self._next_query = 0
        self._next_request = 0
        self._token: str | None = None
        self._send: Callable[[str], None] | None = None
        self._close_reason = "InitialConnect"
        self._forget_connection()

    def _forget_connection(self) -> None:
        self.version = ZERO
        self._is_over = False
        self._query_set = 0
        self._sets: dict[int, frozenset[int]] = {0: frozenset()}
        self._removed_in: dict[int, int] = {}
        self._removals: set[int] = set()
        self._tokens: list[str | None] = [None]
        self._results: dict[int, Result] = {}
        self._chunks: list[Json] = []

    @property
    def is_open(self) -> bool:
        return self._send is not None

    # The connection

    def open(self, send: Callable[[str], None], *, client_ms: int = 0) -> None:
        """A connection is there: say who we are and what we want, in one burst."""
        assert not self.is_open, "lost() comes before the next open()"
        self._forget_connection()
        self._send = send
        connect: Json = {
            "type": "Connect",
            "sessionId": self.session_id,
            "connectionCount": self.connections,
            "lastCloseReason": self._close_reason,
            "clientTs": client_ms,
        }
        if self.max_observed:
            connect["maxObservedTimestamp"] = encode_ts(self.max_observed)
        self.connections += 1
        self._say(connect)
        if self._token is not None:
            self._send_token()
        self._modify([self._addition(query_id) for query_id in self.subscriptions])
        for request in self.requests.values():
            self._send_request(request)

    def lost(self, reason: str = "closed with code 1006") -> None:
        """The connection is gone: actions under way fail, mutations wait for the next one."""
        self._send = None
        self._close_reason = reason
        for request in list(self.requests.values()):
            if request.kind == "Action" and request.was_sent:
                self._settle(request, Settled(request.id, False, CONNECTION_LOST, None))

    def _say(self, message: Json) -> bool:
        if self._send is None:
            return False
        self._send(json.dumps(message))
        return True

    # What its user wants

    def subscribe(self, path: str, arguments: Json) -> int:
        """Watch a query; equal ones share one id."""
        text = json.dumps(arguments, sort_keys=True)
        for query_id, known in self.subscriptions.items():
            if (known.path, known.arguments) == (path, text):
                known.subscribers += 1
                return query_id
        query_id = self._next_query
        self._next_query += 1
        self.subscriptions[query_id] = Subscription(path, text)
        self._asked[query_id] = (path, text)
        if self.is_open:
            self._modify([self._addition(query_id)])
        return query_id

    def unsubscribe(self, query_id: int) -> None:
        """One subscriber less; the last one takes the query out of the set."""
        known = self.subscriptions[query_id]
        known.subscribers -= 1
        if known.subscribers == 0:
            del self.subscriptions[query_id]
            if self.is_open:
                self._modify([{"type": "Remove", "queryId": query_id}])

    def mutate(self, path: str, arguments: Json, on_settled: Callable[[Settled], None]) -> int:
        """Run a mutation, once whatever happens to connections; returns its request id."""
        return self._request("Mutation", path, arguments, on_settled)

    def act(self, path: str, arguments: Json, on_settled: Callable[[Settled], None]) -> int:
        """Run an action, at most once."""
        return self._request("Action", path, arguments, on_settled)

    def authenticate(self, token: str | None) -> None:
        """Use another identity from here on."""
        self._token = token
        if self.is_open:
            self._send_token()

    def _request(
        self,
        kind: Literal["Mutation", "Action"],
        path: str,
        arguments: Json,
        on_settled: Callable[[Settled], None],
    ) -> int:
        request_id = self._next_request
        self._next_request += 1
        message = {"type": kind, "requestId": request_id, "udfPath": path, "args": [arguments]}
        request = self.requests[request_id] = Request(kind, message, on_settled)
        self._send_request(request)
        return request_id

    def _send_request(self, request: Request) -> None:
        if self._say(request.message) and not request.was_sent:
            request.was_sent = True
            request.sent_on = self.connections

    def _send_token(self) -> None:
        message: Json = {"type": "Authenticate", "baseVersion": len(self._tokens) - 1}
        if self._token is None:
            message["tokenType"] = "None"
        else:
            message |= {"tokenType": "User", "value": self._token}
        self._tokens.append(self._token)
        self._say(message)

    def _addition(self, query_id: int) -> Json:
        known = self.subscriptions[query_id]
        message: Json = {
            "type": "Add",
            "queryId": query_id,
            "udfPath": known.path,
            "args": [json.loads(known.arguments)],
        }
        if known.journal is not ...:
            message["journal"] = known.journal
        return message

    def _modify(self, modifications: list[Json]) -> None:
        base = self._query_set
        self._query_set = base + 1
        queries = set(self._sets[base])
        for each in modifications:
            if each["type"] == "Add":
                queries.add(each["queryId"])
            else:
                queries.remove(each["queryId"])
                self._removed_in[each["queryId"]] = base + 1
        self._sets[base + 1] = frozenset(queries)
        self._say(
            {
                "type": "ModifyQuerySet",
                "baseVersion": base,
                "newVersion": base + 1,
                "modifications": modifications,
            }
        )

    # What it hears

    def receive(self, text: str | bytes) -> None:
        """One message of the server."""
        message = json.loads(text)
        kind = message["type"]
        assert self.is_open, "a message without a connection"
        assert not self._is_over, f"{kind} after an AuthError"
        if kind == "Ping":
            return
        if kind == "TransitionChunk":
            self._take_chunk(message)
            return
        assert not self._chunks, f"{kind} between chunks"
        match kind:
            case "Transition":
                self._take_transition(message)
            case "MutationResponse":
                self._take_mutation_response(message)
            case "ActionResponse":
                self._take_action_response(message)
            case "AuthError":
                self._take_auth_error(message)
            case _:
                raise AssertionError(f"{kind}: {message}")

    def _take_chunk(self, message: Json) -> None:
        chunks = self._chunks
        chunks.append(message)
        first = chunks[0]
        assert message["partNumber"] == len(chunks) - 1, "a chunk is missing"
        assert message["totalParts"] == first["totalParts"]
        assert message["transitionId"] == first["transitionId"]
        if len(chunks) == first["totalParts"]:
            whole = json.loads("".join(each["chunk"] for each in chunks))
            assert whole["type"] == "Transition"
            self._chunks = []
            self._take_transition(whole)

    def _take_auth_error(self, message: Json) -> None:
        base, confirmed = message["baseVersion"], self.version["identity"]
        assert confirmed <= base < len(self._tokens), "an error about another identity"
        if base + 1 >= len(self._tokens) - 1:  # otherwise it is about a token given up already
            self.auth_errors.append(message["error"])
            self._token = None
        self._is_over = True

    def _take_action_response(self, message: Json) -> None:
        request = self.requests.get(message["requestId"])
        assert request is not None, f"nobody asked: {message}"
        assert request.kind == "Action", "a mutation is answered as an action"
        self._settle(request, _settled(message, None))

    def _take_mutation_response(self, message: Json) -> None:
        request = self.requests.get(message["requestId"])
        assert isinstance(message["logLines"], list)
        if request is None:
            assert message["requestId"] < self._next_request, f"nobody asked: {message}"
            return  # settled by an earlier response, as npm ignores it
        assert request.kind == "Mutation", "an action is answered as a mutation"
        assert request.answered_on != self.connections, "two responses on one connection"
        request.answered_on = self.connections
        if request.response is not None:
            assert _outcome(message) == _outcome(request.response), (
                f"resent, and another outcome: {message} after {request.response}"
            )
            return
        if not message["success"]:
            assert message["ts"] is None
            self._settle(request, _settled(message, None))
            return
        ts = decode_ts(message["ts"])
        if request.sent_on == self.connections:
            # A resent one may be reflected already (1.5 rule 7).
            assert ts > decode_ts(self.version["ts"]), "its effect was shown before the response"
        request.response = message
        self.max_observed = max(self.max_observed, ts)

    def _settle(self, request: Request, settled: Settled) -> None:
        del self.requests[request.id]
        request.on_settled(settled)

    def _take_transition(self, message: Json) -> None:
        start, end = message["startVersion"], message["endVersion"]
        assert start == self.version, f"Invalid start version {start}, expected {self.version}"
        ts = decode_ts(end["ts"])
        assert ts >= self.max_observed, f"back from {self.max_observed} to {ts}"
        assert start["querySet"] <= end["querySet"] <= self._query_set
        assert start["identity"] <= end["identity"] < len(self._tokens)
        self.version = end
        self.max_observed = ts
        for each in message["modifications"]:
            self._take_modification(each, end["querySet"])
        self._check_complete(end["querySet"])
        self._on_snapshot(Snapshot(ts, self._tokens[end["identity"]], dict(self._results)))
        for request in list(self.requests.values()):
            if request.response and (at := decode_ts(request.response["ts"])) <= ts:
                self._settle(request, _settled(request.response, at))

    def _take_modification(self, each: Json, query_set: int) -> None:
        query_id = each["queryId"]
        if each["type"] == "QueryRemoved":
            assert self._removed_in.get(query_id, query_set + 1) <= query_set, "nobody removed it"
            assert query_id not in self._removals, "removed twice"
            self._removals.add(query_id)
            self._results.pop(query_id, None)
            return
        assert query_id in self._sets[query_set], f"query {query_id} is not in the set"
        self._results[query_id] = _result(*self._asked[query_id], each)
        if query_id in self.subscriptions:
            self.subscriptions[query_id].journal = each["journal"]

    def _check_complete(self, query_set: int) -> None:
        """Each Add is answered and each Remove too, as soon as the version covers them."""
        held = set(self._results)
        wanted = self._sets[query_set]
        assert held == wanted, f"results of {sorted(held)}, queries are {sorted(wanted)}"
        for query_id, version in self._removed_in.items():
            assert version > query_set or query_id in self._removals, "a Remove was not answered"

    def assert_settled(self) -> None:
        """Nothing is left open: for the end, when everything had the time to settle."""
        assert self.is_open
        assert not self.requests, f"unsettled: {sorted(self.requests)}"
        assert self.version["querySet"] == self._query_set
        assert self.version["identity"] == len(self._tokens) - 1
        assert set(self._results) == set(self.subscriptions)


def _settled(message: Json, ts: int | None) -> Settled:
    is_success, data = message["success"], message.get("errorData")
    return Settled(message["requestId"], is_success, message["result"], ts, data)


def _outcome(message: Json) -> Json:
    """What makes two responses the same outcome."""
    return {name: message.get(name) for name in ("success", "result", "ts", "errorData")}


def _result(path: str, arguments: str, message: Json) -> Result:
    lines, journal = tuple(message["logLines"]), message["journal"]
    if message["type"] == "QueryUpdated":
        return Result(path, arguments, message["value"], log_lines=lines, journal=journal)
    assert message["type"] == "QueryFailed", f"unknown modification {message}"
    error, data = message["errorMessage"], message.get("errorData")
    return Result(path, arguments, None, error, data, lines, journal)

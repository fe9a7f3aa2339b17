"""A client of the sync protocol that asserts what npm and PyPI assert (convex-protocol.md 1.6).

It sends nothing by itself: `add`, `mutate` and the others give the text to send; `take` takes one
frame. What it holds after a Transition is public, so that a test can compare it with the data.
"""

import json
import struct
from base64 import b64decode
from typing import Any

ZERO = {"querySet": 0, "identity": 0, "ts": "AAAAAAAAAAA="}


def ts_of(text: str) -> int:
    (ts,) = struct.unpack("<Q", b64decode(text, validate=True))
    return ts


class SyncClient:
    def __init__(self, *, knows_chunks: bool) -> None:
        self.knows_chunks = knows_chunks
        self.version = dict(ZERO)
        self.query_sets: dict[int, frozenset[int]] = {0: frozenset()}
        self.added_in: dict[int, int] = {}
        self.removed_in: dict[int, int] = {}
        self.removals_answered: set[int] = set()
        self.answered: set[int] = set()
        self.query_set_version = 0
        self.identity_version = 0
        self.next_query = 0
        self.next_request = 0
        self.results: dict[int, Any] = {}
        self.journals: dict[int, str | None] = {}
        self.outstanding: dict[int, str] = {}
        self.unreflected: dict[int, int | None] = {}
        """Answered requests that wait for a Transition: at or past their ts, or any one (None)."""
        self.chunks: list[dict[str, Any]] = []
        self.is_over = False
        self.pings = 0

    # What it says

    def connect(self, **fields: Any) -> str:
        session_id = "0b6c7b4e-6a51-4b0e-9a51-2f9d0c1d7a10"
        return json.dumps(
            {"type": "Connect", "sessionId": session_id, "connectionCount": 0, **fields}
        )

    def modify(self, modifications: list[dict[str, Any]]) -> str:
        base = self.query_set_version
        self.query_set_version = base + 1
        queries = set(self.query_sets[base])
        for each in modifications:
            if each["type"] == "Add":
                queries.add(each["queryId"])
                self.added_in[each["queryId"]] = base + 1
            else:
                queries.discard(each["queryId"])
                self.removed_in[each["queryId"]] = base + 1
        self.query_sets[base + 1] = frozenset(queries)
        return json.dumps(
            {
                "type": "ModifyQuerySet",
                "baseVersion": base,
                "newVersion": base + 1,
                "modifications": modifications,
            }
        )

    def adding(self, path: str, **fields: Any) -> dict[str, Any]:
        query_id = self.next_query
        self.next_query += 1
        return {"type": "Add", "queryId": query_id, "udfPath": path, "args": [{}], **fields}

    @property
    def subscribed(self) -> frozenset[int]:
        return self.query_sets[self.query_set_version]

    def request(self, kind: str, path: str, **fields: Any) -> str:
        request_id = self.next_request
        self.next_request += 1
        self.outstanding[request_id] = kind
        message = {"type": kind, "requestId": request_id, "udfPath": path, "args": [{}]}
        return json.dumps({**message, **fields})

    def authenticate(self, token: str | None) -> str:
        base = self.identity_version
        self.identity_version = base + 1
        message: dict[str, Any] = {"type": "Authenticate", "baseVersion": base}
        message |= {"tokenType": "None"} if token is None else {"tokenType": "User", "value": token}
        return json.dumps(message)

    # What it hears

    def take(self, frame: bytes) -> None:
        message = json.loads(frame.decode())
        kind = message["type"]
        assert not self.is_over, f"{kind} after the end"
        if kind == "Ping":
            assert message == {"type": "Ping"}
            self.pings += 1
            return
        if kind == "TransitionChunk":
            self._take_chunk(message)
            return
        assert not self.chunks, f"{kind} between chunks"
        if kind == "Transition":
            self._take_transition(message)
        elif kind in ("MutationResponse", "ActionResponse"):
            self._take_response(message, kind.removesuffix("Response"))
        elif kind == "AuthError":
            assert set(message) == {"type", "error", "baseVersion", "authUpdateAttempted"}
            assert message["baseVersion"] + 1 >= self.version["identity"]
            self.is_over = True
        else:
            assert kind == "FatalError", f"unknown type {kind}"
            assert isinstance(message["error"], str)
            self.is_over = True

    def _take_chunk(self, message: dict[str, Any]) -> None:
        assert self.knows_chunks, "this client knows no chunks"
        assert message["partNumber"] == len(self.chunks)
        if self.chunks:
            first = self.chunks[0]
            assert message["totalParts"] == first["totalParts"]
            assert message["transitionId"] == first["transitionId"]
        assert isinstance(message["transitionId"], str)
        self.chunks.append(message)
        if len(self.chunks) == message["totalParts"]:
            whole = json.loads("".join(each["chunk"] for each in self.chunks))
            assert whole["type"] == "Transition"
            self.chunks = []
            self._take_transition(whole)

    def _take_response(self, message: dict[str, Any], kind: str) -> None:
        request_id = message["requestId"]
        assert self.outstanding.pop(request_id, None) == kind, "unknown request or wrong kind"
        assert isinstance(message["logLines"], list)
        if not message["success"]:
            assert isinstance(message["result"], str)
            self.unreflected[request_id] = None
        elif kind == "Mutation":
            self.unreflected[request_id] = ts_of(message["ts"])
        else:
            self.unreflected[request_id] = None

    def _take_transition(self, message: dict[str, Any]) -> None:
        start, end = message["startVersion"], message["endVersion"]
        assert start == self.version, "Invalid start version"
        assert ts_of(end["ts"]) >= ts_of(start["ts"])
        assert end["querySet"] >= start["querySet"]
        assert end["identity"] >= start["identity"]
        assert end["querySet"] in self.query_sets
        assert end["identity"] <= self.identity_version
        self.version = end
        for each in message["modifications"]:
            self._take_modification(each, end["querySet"])
        ts = ts_of(end["ts"])
        for request_id, wanted in list(self.unreflected.items()):
            if wanted is None or wanted <= ts:
                del self.unreflected[request_id]
        self._check_answers(end["querySet"])

    def _take_modification(self, each: dict[str, Any], query_set: int) -> None:
        query_id = each["queryId"]
        assert self.added_in[query_id] <= query_set, "answered before its version"
        if each["type"] == "QueryRemoved":
            assert self.removed_in[query_id] <= query_set, "never removed"
            assert query_id not in self.removals_answered, "removed twice"
            self.removals_answered.add(query_id)
            self.results.pop(query_id, None)
            return
        assert isinstance(each["logLines"], list)
        assert query_id not in self.removals_answered
        self.answered.add(query_id)
        if each["type"] == "QueryUpdated":
            result = ("value", each["value"])
        else:
            assert each["type"] == "QueryFailed"
            result = ("error", each["errorMessage"])
            result += ("data", each["errorData"]) if "errorData" in each else ()
        assert self.results.get(query_id) != result, "an equal result was sent again"
        self.results[query_id] = result
        self.journals[query_id] = each["journal"]

    def _check_answers(self, query_set: int) -> None:
        for query_id, version in self.removed_in.items():
            if version <= query_set:
                assert query_id in self.removals_answered, "a Remove was not answered"
        for query_id in self.query_sets[query_set]:
            if query_id not in self.removed_in:
                assert query_id in self.answered, "an Add was not answered"

    def assert_settled(self) -> None:
        """Everything that was asked for has been answered."""
        assert self.version["querySet"] == self.query_set_version
        assert self.version["identity"] == self.identity_version
        assert not self.outstanding
        assert not self.unreflected
        assert set(self.results) == set(self.subscribed)

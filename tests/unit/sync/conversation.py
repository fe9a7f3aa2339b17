"""A session that a test talks to in dicts."""

import json
from typing import Any

from syncline.sync.client_kind import ClientKind
from syncline.sync.session import (
    CallResult,
    Effect,
    QueryResult,
    Send,
    Session,
    SessionLimits,
    UpdatePlan,
)

NPM = ClientKind("npm", (1, 48, 0))
PYTHON = ClientKind("python", (0, 8, 1))
SESSION_ID = "0b6c7b4e-6a51-4b0e-9a51-2f9d0c1d7a10"
START_MS = 1_790_000_000_000


def frames_of(effects: list[Effect]) -> list[dict[str, Any]]:
    return [json.loads(f) for effect in effects if isinstance(effect, Send) for f in effect.frames]


class Conversation:
    def __init__(
        self, client: ClientKind = NPM, limits: SessionLimits | None = None, *, connect: bool = True
    ) -> None:
        self.now_ms = START_MS
        self.session = Session(client, now_ms=START_MS, limits=limits)
        if connect:
            assert self.connects() == []

    def says(self, kind: str, **fields: Any) -> list[Effect]:
        return self.session.receive(json.dumps({"type": kind, **fields}), self.now_ms)

    def connects(self, **fields: Any) -> list[Effect]:
        return self.says("Connect", **{"sessionId": SESSION_ID, "connectionCount": 0, **fields})

    def modifies(self, base: int, *modifications: dict[str, Any]) -> list[Effect]:
        return self.says(
            "ModifyQuerySet", baseVersion=base, newVersion=base + 1, modifications=modifications
        )

    def mutates(self, request_id: int, **fields: Any) -> list[Effect]:
        call = {"requestId": request_id, "udfPath": "tasks:add", "args": [{}]}
        return self.says("Mutation", **(call | fields))

    def acts(self, request_id: int, **fields: Any) -> list[Effect]:
        call = {"requestId": request_id, "udfPath": "mail:send", "args": [{}]}
        return self.says("Action", **(call | fields))

    def signs_in(self, base: int, token: str = "token") -> list[Effect]:
        return self.says("Authenticate", baseVersion=base, tokenType="User", value=token)

    def signs_out(self, base: int) -> list[Effect]:
        return self.says("Authenticate", baseVersion=base, tokenType="None")

    def finished(self, request_id: int, ts: int, value: bytes = b"null") -> list[Effect]:
        return self.session.mutation_finished(request_id, CallResult(ts, value), self.now_ms)

    def updates(
        self, ts: int, results: dict[int, Any] | None = None
    ) -> tuple[UpdatePlan, list[dict[str, Any]]]:
        """One whole update; results are values, or QueryResults."""
        plan = self.session.plan_update()
        given = {
            query_id: value
            if isinstance(value, QueryResult)
            else QueryResult.success(json.dumps(value).encode())
            for query_id, value in (results or {}).items()
        }
        effects = self.session.finish_update(plan, ts, given, self.now_ms)
        for effect in effects:
            assert isinstance(effect, Send)
            self.session.sent(effect)
        return plan, frames_of(effects)


def add(query_id: int, path: str = "tasks:get", **fields: Any) -> dict[str, Any]:
    return {"type": "Add", "queryId": query_id, "udfPath": path, "args": [{}], **fields}


def remove(query_id: int) -> dict[str, Any]:
    return {"type": "Remove", "queryId": query_id}


def version(query_set: int, identity: int, ts: str) -> dict[str, Any]:
    return {"querySet": query_set, "identity": identity, "ts": ts}

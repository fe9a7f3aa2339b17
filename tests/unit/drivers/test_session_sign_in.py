"""Signing in over a connection: expiry, rotation and providers that change while it is open."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from syncline.drivers.authentication import Authenticator
from syncline.drivers.http_api import HttpApi
from syncline.drivers.http_messages import HttpRequest
from syncline.drivers.recent_logs import RecentLogs
from syncline.drivers.sessions import Sessions
from syncline.drivers.tokens import Tokens
from syncline.local.exchange_folder import ExchangeFolder
from syncline.machine import SystemEntropy
from syncline.sync.client_kind import ClientKind
from syncline.testing import Deployment
from tests.token_workshop import Signer, Web

FUNCTIONS = """
from syncline import MutationCtx, QueryCtx, mutation, query

@query
async def me(ctx: QueryCtx) -> str | None:
    user = await ctx.auth.get_user_identity()
    return user and user.subject

@query
async def count(ctx: QueryCtx) -> int:
    return len(await ctx.db.query("rows").collect())

@mutation
async def add(ctx: MutationCtx) -> str | None:
    await ctx.db.insert("rows", {})
    user = await ctx.auth.get_user_identity()
    return user and user.subject
"""
CONFIG = """
from syncline import Oidc

providers = [Oidc(domain="{issuer}", application_id="app")]
"""
NPM = ClientKind("npm", (1, 48, 0))
OLD, NEW = Signer("old"), Signer("new")


class Client:
    """One connection; what is said to it, and how it was closed."""

    unsent_bytes = 0

    def __init__(self, sessions: Sessions) -> None:
        self.said: list[dict[str, Any]] = []
        self.closed: tuple[int | None, str] | None = None
        self._moved = asyncio.Event()
        self._driver = sessions.open(NPM, self)
        session = "0b6c7b4e-6a51-4b0e-9a51-2f9d0c1d7a10"
        self.say("Connect", sessionId=session, connectionCount=0)
        add = [
            {"type": "Add", "queryId": at, "udfPath": f"users:{name}", "args": [{}]}
            for at, name in enumerate(("me", "count"))
        ]
        self.say("ModifyQuerySet", baseVersion=0, newVersion=1, modifications=add)

    def say(self, kind: str, **fields: Any) -> None:
        self._driver.receive(json.dumps({"type": kind, **fields}))

    def sign_in(self, token: str, base: int = 0) -> None:
        self.say("Authenticate", baseVersion=base, tokenType="User", value=token)

    def send(self, messages: tuple[bytes, ...]) -> bool:
        self.said += map(json.loads, messages)
        self._moved.set()
        return True

    def flush(self) -> None:
        pass

    def close(self, code: int | None, reason: str) -> None:
        self.closed = (code, reason)
        self._moved.set()

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not happened():
                self._moved.clear()
                await self._moved.wait()

    async def identity(self, version: int) -> Any:
        """The user that the query `me` shows once the identity has this version."""
        await self.until(lambda: any(_identity(each) == version for each in self.said))
        return self.shown(0)

    def shown(self, query_id: int) -> Any:
        results = [
            change["value"]
            for message in self.said
            for change in message.get("modifications", ())
            if change["queryId"] == query_id
        ]
        return results[-1]

    def errors(self) -> list[dict[str, Any]]:
        return [message for message in self.said if message["type"] == "AuthError"]


def _identity(message: dict[str, Any]) -> int | None:
    return message["endVersion"]["identity"] if message["type"] == "Transition" else None


class Stage:
    def __init__(self, app: Deployment, folder: Path) -> None:
        self.app, self.folder = app, folder
        self.web = Web(OLD)
        tokens = Tokens(app.engine, self.web, app.clock)
        authenticator = Authenticator("testing", bytes(32), tokens)
        self.sessions = Sessions(app.engine, authenticator)
        self.api = HttpApi(
            app.engine,
            authenticator=authenticator,
            files=ExchangeFolder(folder / "exchange"),
            storage=app.storage,
            logs=RecentLogs(app.clock),
            entropy=SystemEntropy(),
        )

    def now(self) -> int:
        return self.app.clock.now_ns() // 10**9

    def token(self, signer: Signer = OLD, *, seconds: int = 60, **claims: object) -> str:
        return signer.sign(claims, iat=self.now(), exp=self.now() + seconds)

    async def configure(self, issuer: str) -> None:
        (self.folder / "auth_config.py").write_text(CONFIG.format(issuer=issuer))
        await self.app.push()

    async def http(self, path: str, token: str) -> tuple[int, Any]:
        body = json.dumps({"path": path, "args": {}}).encode()
        headers = {"authorization": f"Bearer {token}"}
        kind = "/api/mutation" if path.endswith("add") else "/api/query"
        answer = await self.api.handle(HttpRequest("POST", kind, {}, headers, body))
        assert isinstance(answer.body, bytes)
        return answer.status, json.loads(answer.body)


@pytest.fixture
def play(tmp_path: Path):
    (tmp_path / "users.py").write_text(FUNCTIONS)
    (tmp_path / "auth_config.py").write_text(CONFIG.format(issuer="https://issuer.test"))

    def run(script: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with Deployment(tmp_path) as app:
                await script(Stage(app, tmp_path))

        asyncio.run(main())

    return run


def test_a_client_signs_in_and_out_and_its_queries_follow(play):
    async def script(stage: Stage) -> None:
        client = Client(stage.sessions)
        client.sign_in(stage.token())
        assert await client.identity(1) == "u1"
        client.sign_in(stage.token(sub="u2"), base=1)
        assert await client.identity(2) == "u2"
        client.say("Authenticate", baseVersion=2, tokenType="None")
        assert await client.identity(3) is None

    play(script)


def test_a_mutation_after_expiry_is_refused_and_did_not_run(play):
    async def script(stage: Stage) -> None:
        client = Client(stage.sessions)
        client.sign_in(stage.token(seconds=60))
        assert await client.identity(1) == "u1"
        await stage.app.advance(seconds=70)
        client.say("Mutation", requestId=0, udfPath="users:add", args=[{}])
        await client.until(lambda: client.closed is not None)
        assert client.errors() == [
            {
                "type": "AuthError",
                "error": "Convex token identity expired",
                "baseVersion": 1,
                "authUpdateAttempted": False,
            }
        ]
        assert client.closed == (None, "")
        assert await stage.app.query("users:count") == 0

    play(script)


def test_an_update_after_expiry_is_an_auth_error_and_shows_nothing(play):
    async def script(stage: Stage) -> None:
        client = Client(stage.sessions)
        client.sign_in(stage.token(seconds=60))
        assert await client.identity(1) == "u1"
        await stage.app.advance(seconds=70)
        shown = client.shown(1)
        await stage.app.mutation("users:add")
        await client.until(lambda: client.closed is not None)
        assert len(client.errors()) == 1
        assert client.shown(1) == shown == 0

    play(script)


def test_a_refused_token_tells_the_version_that_the_client_still_has(play):
    async def script(stage: Stage) -> None:
        client = Client(stage.sessions)
        client.sign_in(stage.token())
        assert await client.identity(1) == "u1"
        client.sign_in(stage.token(seconds=-60), base=1)
        await client.until(lambda: client.closed is not None)
        (error,) = client.errors()
        assert error["baseVersion"] == 1
        assert error["authUpdateAttempted"] is True
        assert error["error"].startswith("Could not verify OIDC token claim.")

    play(script)


def test_keys_rotate_while_clients_are_connected(play):
    async def script(stage: Stage) -> None:
        early = Client(stage.sessions)
        early.sign_in(stage.token(OLD))
        assert await early.identity(1) == "u1"
        stage.web.publish(OLD, NEW)
        late = Client(stage.sessions)
        late.sign_in(stage.token(NEW, sub="u2"))
        assert await late.identity(1) == "u2"
        early.sign_in(stage.token(NEW), base=1)
        await early.until(lambda: any(_identity(each) == 2 for each in early.said))
        stage.web.publish(NEW)
        await stage.app.advance(seconds=600)
        withdrawn = Client(stage.sessions)
        withdrawn.sign_in(stage.token(OLD))
        await withdrawn.until(lambda: withdrawn.closed is not None)
        assert len(withdrawn.errors()) == 1
        assert early.closed is late.closed is None

    play(script)


def test_while_keys_cannot_be_fetched_clients_are_sent_away_to_come_back(play):
    async def script(stage: Stage) -> None:
        stage.web.is_down = True
        client = Client(stage.sessions)
        client.sign_in(stage.token())
        await client.until(lambda: client.closed is not None)
        assert client.closed == (1013, "AuthenticationUnavailable")
        assert not client.errors()
        status, body = await stage.http("users:me", stage.token())
        assert (status, body["code"]) == (503, "AuthProviderUnavailable")
        stage.web.is_down = False
        again = Client(stage.sessions)
        again.sign_in(stage.token())
        assert await again.identity(1) == "u1"

    play(script)


def test_a_client_that_leaves_while_its_token_is_checked_disturbs_nobody(play):
    async def script(stage: Stage) -> None:
        stage.web.gate = asyncio.Event()
        leaving, staying = Client(stage.sessions), Client(stage.sessions)
        for client in (leaving, staying):
            client.sign_in(stage.token())
        await asyncio.sleep(0)
        leaving._driver.closed()
        stage.web.gate.set()
        assert await staying.identity(1) == "u1"

    play(script)


def test_requests_behind_a_token_wait_for_its_identity(play):
    async def script(stage: Stage) -> None:
        stage.web.gate = asyncio.Event()
        client = Client(stage.sessions)
        client.sign_in(stage.token())
        client.say("Mutation", requestId=0, udfPath="users:add", args=[{}])
        for _ in range(20):
            await asyncio.sleep(0)
        assert not [each for each in client.said if each["type"] == "MutationResponse"]
        stage.web.gate.set()
        await client.until(lambda: any(each["type"] == "MutationResponse" for each in client.said))
        (answer,) = [each for each in client.said if each["type"] == "MutationResponse"]
        assert answer["result"] == "u1"

    play(script)


def test_providers_switch_with_the_push_that_names_them(play):
    async def script(stage: Stage) -> None:
        moved = "https://moved.test"
        stage.web.documents |= Web(NEW, issuer=moved).documents
        assert (await stage.http("users:me", stage.token(NEW, iss=moved)))[0] == 401
        await stage.configure(moved)
        status, body = await stage.http("users:me", stage.token(NEW, iss=moved))
        assert (status, body["value"]) == (200, "u1")
        status, body = await stage.http("users:me", stage.token())
        assert (status, body["code"]) == (401, "NoAuthProvider")
        assert body["message"].endswith("[OIDC(domain=https://moved.test, app_id=app)]")

    play(script)


def test_over_http_every_call_is_judged_by_its_own_token(play):
    async def script(stage: Stage) -> None:
        assert await stage.http("users:me", stage.token()) == (
            200,
            {"status": "success", "value": "u1"},
        )
        status, body = await stage.http("users:add", stage.token(sub="u2"))
        assert (status, body["value"]) == (200, "u2")
        status, body = await stage.http("users:add", stage.token(seconds=-60))
        assert (status, body) == (
            401,
            {
                "code": "Unauthenticated",
                "message": "Could not verify OIDC token claim. Check that the token signature is "
                "valid and the token hasn't expired.",
            },
        )
        assert await stage.app.query("users:count") == 1

    play(script)

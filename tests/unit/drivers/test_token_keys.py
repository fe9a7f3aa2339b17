"""How long keys are kept, and when they are fetched again."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import pytest

from syncline.drivers import token_keys
from syncline.drivers.credentials import AuthenticationError
from syncline.drivers.token_keys import (
    FRESH_SECONDS,
    KEPT_SECONDS,
    REFETCHES_MAX,
    REFETCHES_SECONDS,
    TokenKeys,
)
from syncline.errors import UnavailableError
from tests.token_workshop import ISSUER, Clock, Signer, Web, custom, data_uri, oidc

OLD, NEW = Signer("old"), Signer("new")
DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"


class Stage:
    def __init__(self, *signers: Signer) -> None:
        self.web = Web(*(signers or (OLD,)))
        self.clock = Clock()
        self.keys = TokenKeys(self.web, self.clock)

    async def knows(self, key_id: str) -> bool:
        try:
            await self.keys.find(oidc(), key_id, "RS256")
        except AuthenticationError:
            return False
        return True


def on_stage(play: Callable[[Stage], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def test() -> None:
        asyncio.run(play(Stage()))

    test.__name__ = play.__name__
    return test


@on_stage
async def test_keys_are_found_by_discovery_and_fetched_once(stage: Stage):
    for _ in range(3):
        assert await stage.knows("old")
    assert stage.web.fetched == [DISCOVERY, stage.web.jwks_address]


@on_stage
async def test_a_new_key_is_found_at_its_first_use(stage: Stage):
    assert await stage.knows("old")
    stage.web.publish(OLD, NEW)
    assert await stage.knows("new")
    assert await stage.knows("old")
    assert stage.web.key_fetches == 2


@on_stage
async def test_a_withdrawn_key_is_refused_once_the_set_is_old(stage: Stage):
    assert await stage.knows("old")
    stage.web.publish(NEW)
    assert await stage.knows("old")
    stage.clock.seconds += FRESH_SECONDS
    assert not await stage.knows("old")


@on_stage
async def test_a_withdrawn_key_is_refused_as_soon_as_the_new_one_was_seen(stage: Stage):
    assert await stage.knows("old")
    stage.web.publish(NEW)
    assert await stage.knows("new")
    assert not await stage.knows("old")


@on_stage
async def test_a_key_that_a_fresh_set_lacks_is_not_asked_for_twice(stage: Stage):
    assert not await stage.knows("made up")
    assert stage.web.key_fetches == 1


@on_stage
async def test_made_up_key_ids_cause_a_few_fetches_a_minute_and_no_verdict_beyond(stage: Stage):
    assert await stage.knows("old")
    for number in range(REFETCHES_MAX):
        assert not await stage.knows(f"made up {number}")
    for number in range(50):
        with pytest.raises(UnavailableError):
            await stage.knows(f"made up again {number}")
    assert stage.web.key_fetches == 1 + REFETCHES_MAX
    assert await stage.knows("old")
    stage.clock.seconds += REFETCHES_SECONDS
    stage.web.publish(OLD, NEW)
    assert await stage.knows("new")


@on_stage
async def test_while_the_issuer_is_down_its_keys_are_used_for_a_while_longer(stage: Stage):
    assert await stage.knows("old")
    stage.web.is_down = True
    stage.clock.seconds += KEPT_SECONDS - 1
    assert await stage.knows("old")
    stage.clock.seconds += 1
    with pytest.raises(UnavailableError):
        await stage.knows("old")
    stage.web.is_down = False
    assert await stage.knows("old")


@on_stage
async def test_all_who_ask_at_once_wait_for_one_fetch(stage: Stage):
    stage.web.gate = asyncio.Event()
    asking = [asyncio.create_task(stage.knows("old")) for _ in range(20)]
    await asyncio.sleep(0)
    asking[0].cancel()
    stage.web.gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [True] * 19
    assert stage.web.key_fetches == 1


def test_an_issuer_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch):
    async def play() -> None:
        stage = Stage()
        stage.web.gate = asyncio.Event()
        with pytest.raises(UnavailableError, match="does not answer"):
            await stage.knows("old")

    monkeypatch.setattr(token_keys, "FETCH_SECONDS_MAX", 0.01)
    asyncio.run(play())


def test_a_key_set_in_a_data_uri_needs_no_web():
    async def play() -> None:
        web = Web()
        keys = TokenKeys(web, Clock())
        for provider in (
            custom(data_uri(OLD), algorithm="RS256"),
            custom(
                "data:text/plain;charset=utf-8," + orjson.dumps({"keys": [OLD.jwk]}).decode(),
                algorithm="RS256",
            ),
        ):
            assert await keys.find(provider, "old", "RS256")
            with pytest.raises(AuthenticationError):
                await keys.find(provider, "new", "RS256")
        assert not web.fetched

    asyncio.run(play())


@pytest.mark.parametrize(
    ("address", "document", "code", "problem"),
    [
        (DISCOVERY, None, "AuthProviderDiscoveryFailed", "404"),
        (DISCOVERY, b"<html>", "AuthProviderDiscoveryFailed", "no JSON"),
        (DISCOVERY, b"[]", "AuthProviderDiscoveryFailed", "issuer None"),
        (
            DISCOVERY,
            orjson.dumps({"issuer": "https://other.test", "jwks_uri": "https://other.test/keys"}),
            "AuthProviderDiscoveryFailed",
            "the issuer 'https://other.test'",
        ),
        (DISCOVERY, orjson.dumps({"issuer": ISSUER}), "AuthProviderDiscoveryFailed", "no jwks_uri"),
        (
            DISCOVERY,
            orjson.dumps({"issuer": ISSUER, "jwks_uri": data_uri(NEW)}),
            "AuthProviderDiscoveryFailed",
            "no jwks_uri",
        ),
        (f"{ISSUER}/keys", None, "AuthProviderDiscoveryFailed", "404"),
        (f"{ISSUER}/keys", b"<html>", "InvalidAuthHeader", "no JSON"),
        (f"{ISSUER}/keys", b"{}", "InvalidAuthHeader", "no JSON Web Key Set"),
    ],
)
def test_an_issuer_that_publishes_no_keys_is_told_so(
    address: str, document: bytes | None, code: str, problem: str
):
    stage = Stage()
    if document is None:
        del stage.web.documents[address]
    else:
        stage.web.documents[address] = document
    with pytest.raises(AuthenticationError, match=problem) as refused:
        asyncio.run(stage.keys.find(oidc(), "old", "RS256"))
    assert (refused.value.status, refused.value.code) == (401, code)


def test_damaged_keys_are_passed_over():
    stage = Stage()
    damaged = [{**OLD.jwk, "n": "%%%"}, {"kty": "RSA", "kid": "old"}, 7, OLD.jwk]
    stage.web.documents[stage.web.jwks_address] = orjson.dumps({"keys": damaged})
    assert asyncio.run(stage.knows("old"))

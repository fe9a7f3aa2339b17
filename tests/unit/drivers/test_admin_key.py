"""Admin keys and what stands behind a credential."""

import asyncio
import base64
from collections.abc import Sequence

import jwt
import orjson
import pytest

from syncline.bundle_spec import ProviderSpec
from syncline.drivers.admin_key import admin_key, is_admin_key
from syncline.drivers.answers import ANONYMOUS, Caller
from syncline.drivers.authentication import Authenticator
from syncline.drivers.credentials import AuthenticationError
from syncline.drivers.tokens import Tokens
from syncline.machine import SystemClock
from tests.unit.drivers.fake_deployment import NAME, SECRET

KEY = admin_key(NAME, SECRET)


class NoProviders:
    async def auth_providers(self, *, newest: bool) -> Sequence[ProviderSpec]:
        return ()

    async def fetch(self, address: str) -> bytes:
        raise AssertionError(f"nobody has named {address}")


def caller_of(header: str | None, key: str | None = None) -> Caller:
    tokens = Tokens(NoProviders(), NoProviders(), SystemClock())
    return asyncio.run(Authenticator(NAME, SECRET, tokens).caller(header, key))


def test_a_key_names_the_deployment_and_has_no_colon():
    assert KEY.startswith("local|")
    assert len(KEY) == len("local|") + 64
    assert ":" not in KEY


@pytest.mark.parametrize("prefix", ["", "prod:", "dev:", "preview:"])
def test_a_key_is_accepted_with_and_without_a_deployment_type(prefix: str):
    assert is_admin_key(prefix + KEY, NAME, SECRET)


@pytest.mark.parametrize(
    "wrong", ["", "local", "local|", KEY[:-1], KEY + "0", KEY.replace("local", "other"), "prod:"]
)
def test_any_other_text_is_refused(wrong: str):
    assert not is_admin_key(wrong, NAME, SECRET)
    assert not is_admin_key(KEY, NAME, b"another secret of this length....")


def identity_suffix(**attributes: object) -> str:
    return base64.b64encode(orjson.dumps(attributes)).decode()


def test_an_admin_may_impersonate_a_user_whose_token_identifier_is_completed():
    suffix = identity_suffix(issuer="https://i.test", subject="u1", name="Ada")
    caller = caller_of(f"Convex prod:{KEY}:{suffix}")
    assert caller.is_admin
    assert caller.identity is not None
    assert orjson.loads(caller.identity) == {
        "issuer": "https://i.test",
        "subject": "u1",
        "name": "Ada",
        "tokenIdentifier": "https://i.test|u1",
    }


def test_without_any_credential_the_caller_is_anonymous():
    assert caller_of(None) == ANONYMOUS


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ("Basic abc", 400, "InvalidAuthHeader"),
        ("Convex local|nope", 403, "BadDeployKey"),
        (f"Convex {KEY}:%%%", 400, "InvalidAuthHeader"),
        (f"Convex {KEY}:{base64.b64encode(b'[1]').decode()}", 400, "InvalidAuthHeader"),
        (f"Convex {KEY}:{identity_suffix(name='Ada')}", 400, "InvalidAuthHeader"),
        ("Bearer not-a-token", 401, "InvalidAuthHeader"),
        (f"Bearer {jwt.encode({'iss': 'https://i.test'}, 'k' * 32)}", 401, "NoAuthProvider"),
    ],
)
def test_bad_credentials_are_refused_with_their_status(header: str, status: int, code: str):
    with pytest.raises(AuthenticationError) as refused:
        caller_of(header)
    assert (refused.value.status, refused.value.code) == (status, code)


def test_schemes_are_compared_without_case_and_the_url_parameter_comes_second():
    assert caller_of(f"CONVEX {KEY}").is_admin
    assert caller_of(None, KEY).is_admin
    with pytest.raises(AuthenticationError):
        caller_of("Convex wrong", KEY)

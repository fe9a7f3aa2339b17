"""Which bearer tokens are taken, which are refused and for what reason."""

import asyncio
from collections.abc import Callable
from typing import Any

import jwt
import orjson
import pytest

from syncline.drivers.credentials import NOT_VERIFIED, AuthenticationError, Login
from syncline.drivers.tokens import Tokens
from syncline.errors import UnavailableError
from syncline.execution.identity import user_identity
from syncline.registration.auth_providers import Oidc
from tests.token_workshop import (
    APPLICATION,
    ISSUER,
    NOW,
    Clock,
    Deployed,
    Signer,
    Web,
    custom,
    data_uri,
    good_claims,
    oidc,
    unsigned,
)

RSA = Signer("k1", "RS256")
EC = Signer("e1", "ES256")
ED = Signer("d1", "EdDSA")
STRANGER = Signer("k1-of-a-stranger", "RS256")
STRANGER.key_id = "k1"
OTHER_KIND = Signer("k9", "ES384")
WEAK = Signer("weak", "RS256", bits=1024)


def login(token: str, *providers: Any, web: Web | None = None, **options: Any) -> Login:
    known = Web(RSA, EC, ED, OTHER_KIND, WEAK) if web is None else web
    tokens = Tokens(Deployed(*(providers or (oidc(),))), known, Clock(), **options)
    return asyncio.run(tokens.login(token))


def refusal(
    token: str, *providers: Any, web: Web | None = None, **options: Any
) -> AuthenticationError:
    with pytest.raises(AuthenticationError) as refused:
        login(token, *providers, web=web, **options)
    return refused.value


GOOD = {
    "an RSA key": RSA.sign,
    "an elliptic curve key": EC.sign,
    "an Edwards curve key": ED.sign,
    "one of several audiences": lambda: RSA.sign(aud=["other", APPLICATION]),
    "several audiences, made for us": lambda: RSA.sign(aud=["other", APPLICATION], azp=APPLICATION),
    "one audience, made for a web page": lambda: RSA.sign(azp="http://localhost:3000"),
    "a slash behind the issuer": lambda: RSA.sign(iss=ISSUER + "/"),
    "an issuer without https": lambda: RSA.sign(iss="issuer.test"),
    "expired within the clocks' difference": lambda: RSA.sign(exp=NOW - 4),
    "begins within the clocks' difference": lambda: RSA.sign(nbf=NOW + 4, iat=NOW + 4),
    "no iat": lambda: RSA.sign(iat=None),
    "a fraction of a second": lambda: RSA.sign(exp=NOW + 100.5),
}


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD.keys())
def test_a_good_token_names_its_user(make: Callable[[], str]):
    found = login(make())
    assert found.caller.identity is not None
    assert orjson.loads(found.caller.identity)["subject"] == "u1"
    assert not found.caller.is_admin
    assert found.expires_ms is not None


def confused(signer: Signer) -> str:
    """Signed with the public key as if it were a shared secret: the classic attack."""
    return unsigned_hmac({"alg": "HS256", "kid": signer.key_id}, signer.public_pem())


def unsigned_hmac(header: dict[str, object], secret: bytes) -> str:
    import hashlib
    import hmac

    text = unsigned(good_claims(), header).rstrip(".")
    mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return f"{text}.{jwt.utils.base64url_encode(mac).decode()}"


def tampered(token: str) -> str:
    head, _, signature = token.split(".")
    body = unsigned({**good_claims(), "sub": "root"}, {}).split(".")[1]
    return f"{head}.{body}.{signature}"


def with_flipped_bit(token: str) -> str:
    head, body, signature = token.split(".")
    raw = bytearray(jwt.utils.base64url_decode(signature))
    raw[0] ^= 1
    return f"{head}.{body}.{jwt.utils.base64url_encode(bytes(raw)).decode()}"


BAD = {
    "expired": (lambda: RSA.sign(exp=NOW - 5), "has expired"),
    "expired long ago": (lambda: RSA.sign(exp=1), "has expired"),
    "not yet good": (lambda: RSA.sign(nbf=NOW + 6), "(nbf)"),
    "issued in the future": (lambda: RSA.sign(iat=NOW + 6), "(iat)"),
    "no exp": (lambda: RSA.sign(exp=None), "no exp"),
    "exp is text": (lambda: RSA.sign(exp="soon"), "exp is no time"),
    "exp is true": (lambda: EC.sign(exp=True), "exp is no time"),
    "exp beyond all time": (lambda: RSA.sign(exp=10**30), "exp is no time"),
    "nbf is a list": (lambda: RSA.sign(nbf=[1]), "nbf is no time"),
    "no subject": (lambda: RSA.sign(sub=None), "no sub"),
    "an empty subject": (lambda: RSA.sign(sub=""), "no sub"),
    "made for another party": (
        lambda: RSA.sign(aud=[APPLICATION, "other"], azp="other"),
        "made for 'other'",
    ),
    "a stranger's key under our key's id": (STRANGER.sign, "signature is wrong"),
    "another body under the signature": (lambda: tampered(RSA.sign()), "signature is wrong"),
    "a flipped bit": (lambda: with_flipped_bit(EC.sign()), "signature is wrong"),
    "an unknown key": (lambda: Signer("k2").sign(), "no RS256 key 'k2'"),
    "an unknown short key id": (lambda: RSA.sign(header={"kid": "1"}), "no RS256 key '1'"),
    "a key of another kind": (lambda: RSA.sign(header={"kid": "e1"}), "no RS256 key 'e1'"),
    "no key id among several keys": (lambda: Signer(None).sign(), "no RS256 key None"),
    "alg none": (lambda: unsigned(good_claims(), {"alg": "none"}), "'none'"),
    "alg None": (lambda: unsigned(good_claims(), {"alg": "None", "kid": "k1"}), "'None'"),
    "alg none with a signature": (
        lambda: unsigned(good_claims(), {"alg": "none", "kid": "k1"}, RSA.sign().split(".")[2]),
        "'none'",
    ),
    "key confusion with RSA": (lambda: confused(RSA), "'HS256'"),
    "key confusion with an elliptic curve": (lambda: confused(EC), "'HS256'"),
    "another algorithm of the same key": (
        lambda: jwt.encode(good_claims(), RSA.key, "RS512", headers={"kid": "k1"}),
        "'RS512'",
    ),
    "an algorithm that no provider may use": (OTHER_KIND.sign, "'ES384'"),
    "a key that is too weak": (WEAK.sign, "no RS256 key 'weak'"),
}


@pytest.mark.parametrize(("make", "reason"), BAD.values(), ids=BAD.keys())
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_bad_token_is_refused_for_its_own_reason_and_clients_see_one_text(
    make: Callable[[], str], reason: str
):
    error = refusal(make())
    assert (error.status, error.code, error.message) == (401, "Unauthenticated", NOT_VERIFIED)
    assert reason in error.reason


def test_the_text_for_clients_is_the_reference_servers():
    assert NOT_VERIFIED == (
        "Could not verify OIDC token claim. Check that the token signature is valid and the token "
        "hasn't expired."
    )


UNREADABLE = {
    "nothing": "",
    "a word": "token",
    "two parts": "a.b",
    "no base64": "!.!.!",
    "no JSON": "YQ.YQ.YQ",
    "a list for a payload": unsigned([], {"alg": "RS256"}),  # type: ignore[arg-type] # on purpose
    "extensions that must be understood": unsigned(
        good_claims(), {"alg": "RS256", "kid": "k1", "crit": ["x"], "x": 1}
    ),
    "a key id that is no text": unsigned(good_claims(), {"alg": "RS256", "kid": 1}),
    "too long": RSA.sign(padding="x" * 40_000),
}


@pytest.mark.parametrize("token", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_is_no_token_is_told_to_be_none(token: str):
    error = refusal(token)
    assert (error.status, error.code) == (401, "InvalidAuthHeader")
    assert error.message == (
        "Could not parse JWT payload. Check that the token is a valid JWT format with three "
        "base64-encoded parts separated by dots."
    )


@pytest.mark.parametrize("issuer", [None, "", 7])
def test_a_token_without_an_issuer_is_told_so(issuer: object):
    token = unsigned({**good_claims(), "iss": issuer}, {"alg": "RS256"}, "AAAA")
    error = refusal(token)
    assert error.code == "InvalidAuthHeader"
    assert error.message.startswith("Missing issuer claim ('iss') in JWT payload.")


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://stranger.test"},
        {"iss": "https://issuer.test.stranger.test"},
        {"iss": "http://issuer.test"},
        {"aud": "other"},
        {"aud": ["other", 7]},
        {"aud": None},
        {"aud": {"app": True}},
        {"aud": "application"},
    ],
)
def test_issuer_and_audience_have_to_be_those_of_a_provider(changes: dict[str, object]):
    error = refusal(unsigned({**good_claims(), **changes}, {"alg": "RS256"}, "AAAA"))
    assert (error.status, error.code) == (401, "NoAuthProvider")
    assert error.message == (
        "No auth provider found matching the given token. Check that your JWT's issuer and "
        "audience match one of your configured providers: "
        "[OIDC(domain=https://issuer.test, app_id=app)]"
    )


def test_without_providers_the_file_to_write_is_named():
    tokens = Tokens(Deployed(), Web(), Clock())
    with pytest.raises(AuthenticationError) as refused:
        asyncio.run(tokens.login(RSA.sign()))
    assert refused.value.message == (
        "No auth provider found matching the given token (no providers configured). Check "
        "functions/auth_config.py."
    )


def test_a_production_deployment_names_no_provider():
    error = refusal(RSA.sign(aud="other"), redact=True)
    assert error.message == "No auth provider found matching the given token"


def test_a_custom_issuer_signs_with_its_one_algorithm_and_names_its_key():
    provider = custom(data_uri(EC, RSA), algorithm="ES256")
    assert login(EC.sign(aud=None), provider, web=Web()).caller.identity
    assert "'RS256'" in refusal(RSA.sign(), provider, web=Web()).reason
    nameless = jwt.encode(good_claims(), EC.key, "ES256")
    assert "no ES256 key None" in refusal(nameless, provider, web=Web()).reason


def test_a_custom_issuer_with_an_application_wants_it_in_the_audience():
    provider = custom(data_uri(EC), application="app")
    assert login(EC.sign(aud=["x", "app"], azp="x"), provider, web=Web()).caller.identity
    assert refusal(EC.sign(aud="x"), provider, web=Web()).code == "NoAuthProvider"


def test_two_providers_of_one_issuer_are_told_apart_by_their_audience():
    providers = (oidc(application="web"), oidc(application="phone"))
    assert login(RSA.sign(aud="phone"), *providers).caller.identity
    assert refusal(RSA.sign(aud="app"), *providers).code == "NoAuthProvider"


def test_the_key_of_one_issuer_signs_nothing_for_another():
    ours, theirs = custom(data_uri(EC)), custom(data_uri(Signer("e1", "ES256")), issuer="https://b")
    assert login(EC.sign(), ours, theirs, web=Web()).caller.identity
    assert "signature is wrong" in refusal(EC.sign(iss="https://b"), ours, theirs, web=Web()).reason


def test_symmetric_keys_in_a_key_set_are_never_used():
    secret = b"s" * 32
    web = Web(RSA)
    jwk = {"kty": "oct", "kid": "s1", "k": jwt.utils.base64url_encode(secret).decode()}
    web.documents[web.jwks_address] = orjson.dumps({"keys": [jwk, {**jwk, "alg": "RS256"}]})
    assert (
        "'HS256'" in refusal(unsigned_hmac({"alg": "HS256", "kid": "s1"}, secret), web=web).reason
    )
    token = RSA.sign(header={"kid": "s1"})
    assert "no RS256 key 's1'" in refusal(token, web=web).reason


def test_a_key_for_encryption_verifies_nothing():
    encrypting = Signer("k1")
    encrypting.jwk["use"] = "enc"
    assert "no RS256 key 'k1'" in refusal(encrypting.sign(), web=Web(encrypting)).reason


def test_the_expiry_that_a_session_keeps_is_the_one_that_was_judged():
    assert login(RSA.sign(exp=NOW + 60)).expires_ms == (NOW + 65) * 1000


def test_a_provider_of_the_deployments_own_is_known_beside_the_bundles():
    own = custom(data_uri(EC), issuer="https://own.test")
    tokens = Tokens(Deployed(oidc()), Web(RSA), Clock(), own=[own])
    assert asyncio.run(tokens.login(EC.sign(iss="https://own.test"))).caller.identity
    assert asyncio.run(tokens.login(RSA.sign())).caller.identity


def test_a_provider_that_another_process_has_pushed_is_looked_for_before_refusing():
    deployed = Deployed()
    deployed.next_push = (oidc(),)
    tokens = Tokens(deployed, Web(RSA), Clock())
    assert asyncio.run(tokens.login(RSA.sign())).caller.identity


def test_an_id_token_of_cognito_signs_in_the_pools_user():
    issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_1"
    provider = Oidc(domain=issuer, application_id="client").spec()
    claims = {"token_use": "id", "cognito:username": "ada", "cognito:groups": ["editors"]}
    token = RSA.sign(claims, iss=issuer, aud="client", email="ada@x.test", email_verified=True)
    found = login(token, provider, web=Web(RSA, EC, issuer=issuer))
    assert found.caller.identity is not None
    user = user_identity(found.caller.identity)
    assert (user.issuer, user.email, user.email_verified) == (issuer, "ada@x.test", True)
    assert user.claims["cognito:groups"] == ["editors"]
    # An access token names its client otherwise: it is for Cognito's own API.
    access = RSA.sign({"token_use": "access", "client_id": "client"}, iss=issuer, aud=None)
    assert refusal(access, provider).code == "NoAuthProvider"


def test_every_refusal_is_logged_with_its_reason_on_one_short_line(caplog):
    refusal(RSA.sign(header={"kid": "x\n" * 1000}))
    (record,) = caplog.records
    text = record.getMessage()
    assert text.startswith("A token was refused (Unauthenticated): the issuer has no RS256 key")
    assert len(text) < 400
    assert "\n" not in text


def test_an_issuer_that_cannot_be_reached_makes_nobodys_token_bad():
    web = Web(RSA)
    web.is_down = True
    with pytest.raises(UnavailableError):
        login(RSA.sign(), web=web)

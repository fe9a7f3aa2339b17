"""What functions see of a token's claims."""

import orjson
import pytest

from syncline.drivers.user_attributes import user_attributes
from syncline.execution.identity import ATTRIBUTES, user_identity

BASE = {"iss": "https://i.test", "sub": "u1"}


def test_standard_claims_become_attributes_and_others_keep_their_names():
    claims = {
        **BASE,
        "aud": "app", "exp": 1, "iat": 1, "nbf": 1, "jti": "x", "azp": "app", "nonce": "n",
        "name": "Ada L.", "given_name": "Ada", "family_name": "L.", "nickname": "al",
        "preferred_username": "ada", "profile": "https://p", "picture": "https://q",
        "website": "https://w", "email": "ada@i.test", "email_verified": "true", "gender": "f",
        "birthdate": "1815-12-10", "zoneinfo": "Europe/London", "locale": "en-GB",
        "phone_number": "+44", "phone_number_verified": False,
        "address": {"formatted": "12 St James's Square"}, "updated_at": 1_700_000_000,
        "roles": ["editor"], "https://i.test/team": {"id": 7}, "cognito:groups": ["a"],
    }  # fmt: skip
    user = user_identity(user_attributes(claims))
    assert user.token_identifier == "https://i.test|u1"
    assert (user.subject, user.issuer) == ("u1", "https://i.test")
    assert user.email_verified is True
    assert user.phone_number_verified is False
    assert user.birthday == "1815-12-10"
    assert user.timezone == "Europe/London"
    assert user.language == "en-GB"
    assert user.picture_url == "https://q"
    assert user.address == "12 St James's Square"
    assert user.updated_at == "2023-11-14T22:13:20Z"
    assert all(getattr(user, name) is not None for name in ATTRIBUTES)
    assert user.claims == {
        "roles": ["editor"],
        "https://i.test/team": {"id": 7},
        "cognito:groups": ["a"],
    }


@pytest.mark.parametrize(
    "claim",
    ["tokenIdentifier", "token_identifier", "subject", "issuer", "givenName", "emailVerified"],
)
def test_no_claim_passes_for_an_attribute(claim: str):
    user = user_identity(user_attributes({**BASE, claim: "https://i.test|root"}))
    assert user == user_identity(user_attributes(BASE))


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("name", 7),
        ("email_verified", "perhaps"),
        ("email_verified", 1),
        ("address", {"street": "x"}),
        ("updated_at", 1e300),
        ("updated_at", True),
        ("huge", 2**80),
        ("odd", {"$bytes": "%"}),
        ("$name", 1),
    ],
)
def test_what_can_be_no_attribute_or_value_is_left_out(claim: str, value: object):
    assert orjson.loads(user_attributes({**BASE, claim: value})) == {
        "issuer": "https://i.test",
        "subject": "u1",
        "tokenIdentifier": "https://i.test|u1",
    }


def test_a_fresh_token_of_the_same_user_is_the_same_identity():
    one = user_attributes({"iat": 1, "exp": 2, "jti": "a", "roles": [1], "name": "Ada", **BASE})
    two = user_attributes({**BASE, "name": "Ada", "roles": [1], "iat": 5, "exp": 9, "jti": "b"})
    assert one == two

"""`auth_config.py`: what it may say, and what of it is deployed."""

from typing import Any

import pytest

from syncline import CustomJwt, Oidc
from syncline.bundle_spec import ProviderSpec
from syncline.errors import DeveloperError
from tests.token_workshop import Signer, data_uri

IMPORT = "from syncline import CustomJwt, Oidc\n"
KEYS = data_uri(Signer("k1", "ES256"))


def test_providers_are_part_of_the_bundle(functions):
    functions.write_raw(
        "auth_config.py",
        IMPORT
        + f"""
providers = [
    Oidc(domain="tenant.issuer.example/", application_id="web"),
    CustomJwt(issuer="https://b.example", jwks="https://b.example/keys", algorithm="RS256"),
    CustomJwt(issuer="c", jwks={KEYS!r}, algorithm="ES256", application_id="app"),
]
""",
    )
    assert functions.bundle().spec.auth == (
        ProviderSpec("https://tenant.issuer.example", "web", ("RS256", "ES256", "EdDSA"), None),
        ProviderSpec("https://b.example", None, ("RS256",), "https://b.example/keys"),
        ProviderSpec("https://c", "app", ("ES256",), KEYS),
    )


def test_without_the_file_there_are_no_providers(functions):
    assert functions.write_raw("empty.py", "").bundle().spec.auth == ()


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("", "it has no `providers`"),
        ("providers = Oidc(domain='a', application_id='b')", "it has no `providers`"),
        ("providers = ['https://a']", "takes Oidc(...) and CustomJwt(...), not str"),
        (
            "providers = [Oidc(domain='https://development.syncline.invalid', application_id='a')]",
            "no other deployment may",
        ),
        ("providers = [Oidc(domain='', application_id='b')]", "auth_config.py:2: Oidc: `domain`"),
    ],
)
def test_a_file_that_names_no_providers_does_not_load(functions, source: str, problem: str):
    functions.write_raw("auth_config.py", IMPORT + source)
    with pytest.raises(DeveloperError) as refused:
        functions.bundle()
    assert problem in refused.value.message
    assert "auth_config.py" in refused.value.message


GOOD = {"issuer": "https://a", "jwks": "https://a/keys", "algorithm": "ES256"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"issuer": 7}, "`issuer` takes text"),
        ({"algorithm": "HS256"}, '`algorithm` takes "RS256" or "ES256", not \'HS256\''),
        ({"algorithm": "none"}, "`algorithm` takes"),
        ({"application_id": ""}, "`application_id` takes text"),
        ({"jwks": "http://a/keys"}, "takes an https:// address"),
        ({"jwks": "file:///etc/passwd"}, "takes an https:// address"),
        ({"jwks": "https://[::"}, "is no address"),
        ({"jwks": "data:application/json;base64,%%%"}, "holds no base64"),
        ({"jwks": "data:application/json,{"}, "holds no JSON"),
        ({"jwks": "data:application/json,[]"}, "is no JSON Web Key Set"),
    ],
)
def test_a_provider_that_could_not_work_is_refused_by_name(changes: dict[str, Any], problem: str):
    with pytest.raises(DeveloperError) as refused:
        CustomJwt(**{**GOOD, **changes})
    assert problem in refused.value.message


def test_plain_http_is_for_issuers_on_this_machine():
    assert Oidc(domain="http://localhost:8080", application_id="a").spec().issuer
    with pytest.raises(DeveloperError, match="https://"):
        Oidc(domain="http://issuer.example", application_id="a")

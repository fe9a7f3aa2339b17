"""Who may sign users in: `providers = [...]` of `auth_config.py` (api.md, convex-protocol.md 6.9).

A provider is plain data by which tokens are judged: their issuer, their audience, the algorithms
that its keys sign with, and where these keys are found.
"""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, cast
from urllib.parse import unquote_to_bytes, urlsplit

from syncline.bundle_spec import ProviderSpec
from syncline.errors import DeveloperError

OIDC_ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
"""What tokens of an OpenID provider may be signed with; symmetric ones and `none` never."""

DEVELOPMENT_ISSUER: Final = "https://development.syncline.invalid"
"""Issuer of `syncline auth token`: known to the deployment on the developer's machine only."""

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts whose plain HTTP nobody else can listen to."""


@dataclass(frozen=True, kw_only=True)
class Oidc:
    """An OpenID Connect provider; its keys are found by discovery.

    Args:
        domain: the issuer, with or without "https://": the `iss` of its tokens.
        application_id: the client id: `aud` of its tokens has to contain it.

    Raises:
        DeveloperError: an argument is no such thing.
    """

    domain: str
    application_id: str

    def __post_init__(self) -> None:
        _require_text("Oidc", "domain", self.domain)
        _require_text("Oidc", "application_id", self.application_id)
        _require_web_address("Oidc", "domain", _with_scheme(self.domain))

    def spec(self) -> ProviderSpec:
        """The provider as the data that is deployed."""
        issuer = _with_scheme(self.domain).rstrip("/")
        return ProviderSpec(issuer, self.application_id, OIDC_ALGORITHMS, None)


@dataclass(frozen=True, kw_only=True)
class CustomJwt:
    """An issuer of JSON Web Tokens without discovery.

    Args:
        issuer: the `iss` of its tokens.
        jwks: address of its key set, or the key set itself as a "data:" URI.
        algorithm: "RS256" or "ES256".
        application_id: has to be in `aud`; None: any audience is taken, so give it if you can.

    Raises:
        DeveloperError: an argument is no such thing.
    """

    issuer: str
    jwks: str
    algorithm: Literal["RS256", "ES256"]
    application_id: str | None = None

    def __post_init__(self) -> None:
        _require_text("CustomJwt", "issuer", self.issuer)
        _require_text("CustomJwt", "jwks", self.jwks)
        if self.application_id is not None:
            _require_text("CustomJwt", "application_id", self.application_id)
        if self.algorithm not in ("RS256", "ES256"):
            raise _wrong(
                "CustomJwt", "algorithm", f'takes "RS256" or "ES256", not {self.algorithm!r}'
            )
        if self.jwks.startswith("data:"):
            read_key_set(
                data_uri_content(self.jwks), lambda text: _wrong("CustomJwt", "jwks", text)
            )
        else:
            _require_web_address("CustomJwt", "jwks", self.jwks)

    def spec(self) -> ProviderSpec:
        """The provider as the data that is deployed."""
        issuer = _with_scheme(self.issuer).rstrip("/")
        return ProviderSpec(issuer, self.application_id, (self.algorithm,), self.jwks)


Provider = Oidc | CustomJwt


def data_uri_content(uri: str) -> bytes:
    """What a "data:" URI holds (RFC 2397). DeveloperError: not base64."""
    head, _, body = uri.removeprefix("data:").partition(",")
    content = unquote_to_bytes(body)
    if not head.endswith(";base64"):
        return content
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise _wrong("CustomJwt", "jwks", f"holds no base64: {error}") from error


def read_key_set(
    content: bytes, refusal: Callable[[str], Exception]
) -> tuple[dict[str, object], ...]:
    """The keys of a JSON Web Key Set (RFC 7517). Raises `refusal(what is wrong)`."""
    try:
        document = json.loads(content)
    except ValueError as error:
        raise refusal(f"holds no JSON: {error}") from error
    keys = cast("dict[str, object]", document).get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise refusal('is no JSON Web Key Set: it needs `{"keys": [...]}`')
    return tuple(
        cast("dict[str, object]", key)
        for key in cast("list[object]", keys)
        if isinstance(key, dict)
    )


def provider_specs(providers: object) -> tuple[ProviderSpec, ...]:
    """The providers of `auth_config.py` as data.

    Raises:
        DeveloperError: no list of providers, or one that takes the development issuer's name.
    """
    if not isinstance(providers, list | tuple):
        raise DeveloperError(
            "NoProviders",
            "auth_config.py:1: it has no `providers`: write `providers = [Oidc(...)]`, or remove "
            "the file to go without sign-in.",
        )
    specs: list[ProviderSpec] = []
    for provider in cast("list[object]", providers):
        if not isinstance(provider, Oidc | CustomJwt):
            raise DeveloperError(
                "NotAProvider",
                "auth_config.py:1: `providers` takes Oidc(...) and CustomJwt(...), not "
                f"{type(provider).__name__}.",
            )
        spec = provider.spec()
        if spec.issuer == DEVELOPMENT_ISSUER:
            raise DeveloperError(
                "DevelopmentIssuer",
                f"auth_config.py:1: {DEVELOPMENT_ISSUER} is the issuer of `syncline auth token`: "
                "`syncline dev` knows it by itself, and no other deployment may.",
            )
        specs.append(spec)
    return tuple(specs)


def _with_scheme(address: str) -> str:
    return address if "://" in address else f"https://{address}"


def _require_text(what: str, name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise _wrong(what, name, f"takes text that is not empty, not {value!r}")


def _require_web_address(what: str, name: str, address: str) -> None:
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise _wrong(what, name, f"is no address: {error}") from error
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not is_safe or not parts.hostname:
        raise _wrong(
            what, name, f"takes an https:// address (http:// on this machine only), not {address!r}"
        )


def _wrong(what: str, name: str, problem: str) -> DeveloperError:
    return DeveloperError("BadProvider", f"{what}: `{name}` {problem}.")

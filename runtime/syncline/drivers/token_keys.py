"""The public keys of issuers: found, kept for a while, and fetched again when an issuer rotates.

A key id that is not known fetches the set once more, but strangers can make up ids: so only a few
such fetches are made a minute. A set that can't be fetched again is used for a while longer.
"""

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from syncline.bundle_spec import ProviderSpec
from syncline.drivers.credentials import AuthenticationError, refused
from syncline.errors import CallerError, UnavailableError
from syncline.ports import Clock, KeySets
from syncline.registration.auth_providers import data_uri_content, read_key_set

FRESH_SECONDS: Final = 600
"""Seconds for which a key set is used as it is; ours: a withdrawn key is good for that long."""
KEPT_SECONDS: Final = 3_600
"""Seconds for which a key set is used while its issuer can't be reached; ours."""
REFETCHES_MAX: Final = 5
REFETCHES_SECONDS: Final = 60
"""Fetches for the sake of unknown key ids, in so many seconds, a provider; ours."""
FETCH_SECONDS_MAX: Final = 10.0
"""Seconds for discovery and key set together; ours, below npm's patience for a new connection."""

_RSA_BITS_MIN: Final = 2048
"""RFC 7518, 3.3."""
_TYPES: Final = {
    "RS256": {"kty": "RSA"},
    "ES256": {"kty": "EC", "crv": "P-256"},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
}
"""The one kind of key that an algorithm may be used with (RFC 7518 3.1, RFC 8037 3.1)."""

_Jwk = dict[str, object]


@dataclass(slots=True)
class _Held:
    """What is known of one provider's keys."""

    keys: tuple[_Jwk, ...] = ()
    fetched_ns: int | None = None
    fetching: asyncio.Task[None] | None = None
    refetches_ns: deque[int] = field(default_factory=deque[int])


class TokenKeys:
    """The keys of every provider that a token has named so far."""

    def __init__(self, key_sets: KeySets, clock: Clock) -> None:
        self._key_sets = key_sets
        self._clock = clock
        self._held: dict[tuple[str, str | None], _Held] = {}

    async def find(self, provider: ProviderSpec, key_id: object, algorithm: str) -> Any:
        """The public key that a token names, as PyJWT takes it.

        Raises:
            AuthenticationError: the provider has no such key, or publishes none at all.
            UnavailableError: its keys can't be fetched now.
        """
        held = self._held.setdefault((provider.issuer, provider.jwks), _Held())
        is_new = await self._freshen(provider, held)
        key = _match(held.keys, provider, key_id, algorithm)
        if key is None and not is_new and not _is_inline(provider):
            self._count_refetch(held)
            await self._fetch(provider, held)
            key = _match(held.keys, provider, key_id, algorithm)
        if key is None:
            raise refused(f"the issuer has no {algorithm} key {key_id!r}")
        return key

    async def _freshen(self, provider: ProviderSpec, held: _Held) -> bool:
        """Have keys that are new enough; whether they have been fetched just now."""
        if held.fetched_ns is not None and _is_inline(provider):
            return False
        age = self._age(held)
        if age is not None and age < FRESH_SECONDS:
            return False
        try:
            await self._fetch(provider, held)
        except UnavailableError:
            if age is None or age >= KEPT_SECONDS:
                raise
            return False
        return True

    def _age(self, held: _Held) -> float | None:
        if held.fetched_ns is None:
            return None
        return (self._clock.now_ns() - held.fetched_ns) / 1e9

    def _count_refetch(self, held: _Held) -> None:
        now, past = self._clock.now_ns(), held.refetches_ns
        while past and now - past[0] >= REFETCHES_SECONDS * 1_000_000_000:
            past.popleft()
        if len(past) >= REFETCHES_MAX:
            raise UnavailableError(
                "AuthProviderUnavailable",
                "The token names a key that is not known yet, and the issuer has been asked for "
                "its keys often enough: try again in a minute.",
            )
        past.append(now)

    async def _fetch(self, provider: ProviderSpec, held: _Held) -> None:
        """Fetch the key set; whoever asks meanwhile waits for the same answer."""
        if held.fetching is None or held.fetching.done():
            held.fetching = asyncio.get_running_loop().create_task(self._load(provider, held))
            held.fetching.add_done_callback(lambda task: task.cancelled() or task.exception())
        # Who asked first may be gone before the answer is there.
        await asyncio.shield(held.fetching)

    async def _load(self, provider: ProviderSpec, held: _Held) -> None:
        started = self._clock.now_ns()
        try:
            async with asyncio.timeout(FETCH_SECONDS_MAX):
                content = await self._content(provider)
        except TimeoutError as error:
            raise UnavailableError(
                "AuthProviderUnavailable", f"{provider.issuer} does not answer."
            ) from error
        held.keys = read_key_set(
            content,
            lambda problem: AuthenticationError(
                "InvalidAuthHeader", f"The key set of {provider.issuer} {problem}."
            ),
        )
        held.fetched_ns = started

    async def _content(self, provider: ProviderSpec) -> bytes:
        address = provider.jwks
        if address is None:
            address = await self._discover(provider.issuer)
        if address.startswith("data:"):
            return data_uri_content(address)
        try:
            return await self._key_sets.fetch(address)
        except CallerError as error:
            raise _no_discovery(f"{address}: {error.message}") from error

    async def _discover(self, issuer: str) -> str:
        """The address of an issuer's keys (OpenID Connect Discovery 1.0, 4)."""
        address = f"{issuer}/.well-known/openid-configuration"
        try:
            document = json.loads(await self._key_sets.fetch(address))
        except CallerError as error:
            raise _no_discovery(f"{address}: {error.message}") from error
        except ValueError as error:
            raise _no_discovery(f"{address} holds no JSON: {error}") from error
        found = cast("dict[str, object]", document) if isinstance(document, dict) else {}
        named, jwks = found.get("issuer"), found.get("jwks_uri")
        if not isinstance(named, str) or named.rstrip("/") != issuer:
            raise _no_discovery(f"{address} is about the issuer {named!r}")
        if not isinstance(jwks, str) or jwks.startswith("data:"):
            raise _no_discovery(f"{address} has no jwks_uri")
        return jwks


def _is_inline(provider: ProviderSpec) -> bool:
    return provider.jwks is not None and provider.jwks.startswith("data:")


def _match(
    keys: tuple[_Jwk, ...], provider: ProviderSpec, key_id: object, algorithm: str
) -> Any | None:
    """The key of that id for that algorithm; without an id an OpenID provider's only one."""
    fitting = [key for key in keys if _fits(key, algorithm)]
    if key_id is not None:
        fitting = [key for key in fitting if key.get("kid") == key_id]
    elif provider.jwks is not None or len(fitting) != 1:
        return None
    for key in fitting:
        public = _public_key(key, algorithm)
        if public is not None:
            return public
    return None


def _fits(key: _Jwk, algorithm: str) -> bool:
    wanted = {**_TYPES[algorithm], "alg": algorithm, "use": "sig"}
    # A key need not say what it is for.
    said = {"alg": algorithm, "use": "sig", **key}
    return all(said.get(name) == value for name, value in wanted.items())


def _public_key(key: _Jwk, algorithm: str) -> Any | None:
    """The key itself; None: it is damaged or too weak."""
    public_parts = {name: value for name, value in key.items() if name != "d"}
    try:
        public = jwt.PyJWK(public_parts, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(public, RSAPublicKey) and public.key_size < _RSA_BITS_MIN:
        return None
    return public


def _no_discovery(problem: str) -> AuthenticationError:
    return AuthenticationError(
        "AuthProviderDiscoveryFailed", f"The keys of the auth provider can't be found: {problem}."
    )

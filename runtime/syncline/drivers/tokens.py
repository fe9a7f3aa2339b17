"""Bearer tokens: whose they are, if they are good (convex-protocol.md 6.9).

The provider that a token names decides which algorithms and keys may have signed it; nothing in the
token does. Times are judged by the deployment's clock.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, cast

import jwt

from syncline.bundle_spec import ProviderSpec
from syncline.drivers.answers import Caller
from syncline.drivers.credentials import AuthenticationError, Login, refused
from syncline.drivers.token_keys import TokenKeys
from syncline.drivers.user_attributes import user_attributes
from syncline.ports import Clock, KeySets

CLOCK_SKEW_SECONDS: Final = 5
"""Seconds by which an issuer's clock may differ from ours; ours: servers keep time by NTP."""
TOKEN_CHARACTERS_MAX: Final = 32 * 1024
"""A longer token is refused unread; ours, four times what HTTP servers let a header have."""

REASON_CHARACTERS_MAX: Final = 300
"""Of a logged reason, which holds what a stranger wrote; ours."""

_UNREADABLE: Final = (
    "Could not parse JWT payload. Check that the token is a valid JWT format with three "
    "base64-encoded parts separated by dots."
)
_NO_ISSUER: Final = (
    "Missing issuer claim ('iss') in JWT payload. The JWT must include an 'iss' claim that matches "
    "one of your configured auth providers."
)
_NO_PROVIDER: Final = "No auth provider found matching the given token"

logger = logging.getLogger(__name__)


class Providers(Protocol):
    """Where the deployed providers are found (the engine)."""

    async def auth_providers(self, *, newest: bool) -> Sequence[ProviderSpec]:
        """Those of the serving bundle; `newest`: also of one that another process has pushed."""
        ...


class Tokens:
    """Checks the tokens that one deployment is given."""

    def __init__(
        self,
        providers: Providers,
        key_sets: KeySets,
        clock: Clock,
        *,
        own: Sequence[ProviderSpec] = (),
        redact: bool = False,
    ) -> None:
        """`own`: providers of this deployment that no bundle names; `redact`: name none of them."""
        self._providers = providers
        self._keys = TokenKeys(key_sets, clock)
        self._clock = clock
        self._own = tuple(own)
        self._redact = redact

    async def login(self, token: str) -> Login:
        """Whose token this is, and until when.

        Raises:
            AuthenticationError: it is no good: InvalidAuthHeader, NoAuthProvider, Unauthenticated,
                or its issuer's keys are not where they should be: AuthProviderDiscoveryFailed.
            UnavailableError: it can't be judged now.
        """
        try:
            return await self._login(token)
        except AuthenticationError as error:
            reason = error.reason[:REASON_CHARACTERS_MAX]
            logger.warning("A token was refused (%s): %s", error.code, reason)
            raise

    async def _login(self, token: str) -> Login:
        header, claims = _unverified(token)
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or not issuer:
            raise AuthenticationError("InvalidAuthHeader", _NO_ISSUER)
        provider = await self._provider(issuer, _audiences(claims))
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in provider.algorithms:
            raise refused(f"the algorithm {algorithm!r} is none of {provider.algorithms}")
        key = await self._keys.find(provider, header.get("kid"), algorithm)
        try:
            jwt.decode(token, key, algorithms=[algorithm], options=_SIGNATURE_ONLY)
        except jwt.PyJWTError as error:
            raise refused(f"the signature is wrong: {error}") from error
        expires = self._judge(claims, provider)
        return Login(Caller(user_attributes(claims)), int(expires * 1000))

    async def _provider(self, issuer: str, audiences: Sequence[str]) -> ProviderSpec:
        deployed: Sequence[ProviderSpec] = ()
        for newest in (False, True):
            deployed = await self._providers.auth_providers(newest=newest)
            for provider in (*deployed, *self._own):
                if _address(issuer) == provider.issuer and (
                    provider.application_id is None or provider.application_id in audiences
                ):
                    return provider
        raise AuthenticationError(
            "NoAuthProvider",
            self._no_provider(deployed),
            reason=f"issuer {issuer!r}, audiences {list(audiences)}",
        )

    def _no_provider(self, deployed: Sequence[ProviderSpec]) -> str:
        if self._redact:
            return _NO_PROVIDER
        if not deployed:
            return f"{_NO_PROVIDER} (no providers configured). Check functions/auth_config.py."
        named = ", ".join(map(_described, deployed))
        return (
            f"{_NO_PROVIDER}. Check that your JWT's issuer and audience match one of your "
            f"configured providers: [{named}]"
        )

    def _judge(self, claims: Mapping[str, object], provider: ProviderSpec) -> float:
        """Check what the token says of itself; returns when it expires, seconds since the epoch."""
        now = self._clock.now_ns() / 1e9
        expires = _number(claims, "exp")
        if expires is None:
            raise refused("it has no exp")
        if now >= expires + CLOCK_SKEW_SECONDS:
            raise refused(f"it has expired {now - expires:.0f} s ago")
        for name in ("nbf", "iat"):
            begins = _number(claims, name)
            if begins is not None and begins > now + CLOCK_SKEW_SECONDS:
                raise refused(f"it begins in {begins - now:.0f} s ({name})")
        if not isinstance(subject := claims.get("sub"), str) or not subject:
            raise refused("it has no sub")
        party = claims.get("azp")
        several = len(_audiences(claims)) > 1 and provider.jwks is None
        if several and party is not None and party != provider.application_id:
            raise refused(f"it was made for {party!r} (azp)")
        return expires + CLOCK_SKEW_SECONDS


_SIGNATURE_ONLY: Final = cast(
    "Any",
    {"verify_signature": True}
    | dict.fromkeys(
        (
            "verify_exp",
            "verify_nbf",
            "verify_iat",
            "verify_aud",
            "verify_iss",
            "verify_sub",
            "verify_jti",
        ),
        False,
    ),
)
"""The rest is judged here, by the deployment's clock."""


def _unverified(token: str) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Header and claims of what may be a forgery."""
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise AuthenticationError("InvalidAuthHeader", _UNREADABLE, reason="it is too long")
    try:
        parts = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise AuthenticationError(
            "InvalidAuthHeader", _UNREADABLE, reason=f"unreadable: {error}"
        ) from error
    return parts["header"], parts["payload"]


def _audiences(claims: Mapping[str, object]) -> tuple[str, ...]:
    audience = claims.get("aud")
    if isinstance(audience, str):
        return (audience,)
    if not isinstance(audience, list):
        return ()
    return tuple(each for each in cast("list[object]", audience) if isinstance(each, str))


def _address(issuer: str) -> str:
    return (issuer if "://" in issuer else f"https://{issuer}").rstrip("/")


def _described(provider: ProviderSpec) -> str:
    if provider.jwks is None:
        return f"OIDC(domain={provider.issuer}, app_id={provider.application_id})"
    application = provider.application_id or "none"
    return f"CustomJWT(issuer={provider.issuer}, app_id={application})"


def _number(claims: Mapping[str, object], name: str) -> float | None:
    """A time of the token. AuthenticationError: it is there, but no number that can be a time."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise refused(f"its {name} is no time")
    return float(value)

"""Who calls: admin keys and bearer tokens to a Caller (convex-protocol.md 3.3, 6.9 and 7.1).

Used for HTTP headers and for the WebSocket's Authenticate message alike.
"""

import base64
from typing import Final, cast

import orjson

from syncline.drivers.admin_key import is_admin_key, without_type_prefix
from syncline.drivers.answers import ANONYMOUS, Caller
from syncline.drivers.credentials import AuthenticationError, Login
from syncline.drivers.tokens import Tokens
from syncline.errors import CallerError
from syncline.sync.effects import VerifyToken
from syncline.values import wire_json

_ADMIN_SCHEME: Final = "convex "
_USER_SCHEME: Final = "bearer "


class Authenticator:
    """Checks credentials for one deployment."""

    def __init__(self, name: str, secret: bytes, tokens: Tokens | None = None) -> None:
        """`name`: of the deployment; `secret`: what its admin keys are made from.

        `tokens` checks those of users; without it nobody but admins can sign in.
        """
        self._name = name
        self._secret = secret
        self._tokens = tokens

    async def caller(self, authorization: str | None, admin_key: str | None = None) -> Caller:
        """The caller of an HTTP request: `Authorization` header first, then `?adminKey=`.

        Raises:
            AuthenticationError: malformed (400), not accepted (401) or a wrong admin key (403).
            UnavailableError: a token can't be checked now.
        """
        if authorization is None:
            return ANONYMOUS if admin_key is None else self.admin(admin_key)
        scheme = authorization[:7].lower()
        if scheme == _ADMIN_SCHEME:
            return self.admin(authorization[7:].strip())
        if scheme == _USER_SCHEME:
            return (await self.user(authorization[7:].strip())).caller
        raise AuthenticationError(
            "InvalidAuthHeader",
            'The Authorization header must be "Bearer <token>" or "Convex <admin key>".',
            400,
        )

    def admin(self, value: str) -> Caller:
        """An admin, by `key` or `key:<base64 of the impersonated identity's JSON>`.

        Raises:
            AuthenticationError: 403 BadDeployKey, or 400 for an identity that can't be read.
        """
        key, _, identity = without_type_prefix(value).partition(":")
        if not is_admin_key(key, self._name, self._secret):
            raise AuthenticationError(
                "BadDeployKey",
                "The admin key is not the key of this deployment. "
                "`syncline admin-key` prints the local one.",
                403,
            )
        return Caller(impersonated(identity), is_admin=True) if identity else Caller(is_admin=True)

    async def session(self, token: VerifyToken) -> Login:
        """Whom a session's Authenticate message names.

        Raises:
            AuthenticationError: the token or key is no good.
            UnavailableError: a token can't be checked now.
        """
        if token.token_type == "User":  # noqa: S105 - a kind of token, not a password
            return await self.user(token.value)
        caller = self.admin(token.value)
        if token.acting_as is None:
            return Login(caller)
        return Login(Caller(_attributes_from_json(token.acting_as), is_admin=True))

    async def user(self, token: str) -> Login:
        """A signed-in user, by a JWT. Raises as `Tokens.login`."""
        if self._tokens is None:
            raise AuthenticationError(
                "NoAuthProvider", "No auth provider found matching the given token"
            )
        return await self._tokens.login(token)


def impersonated(identity: str) -> bytes:
    """UserIdentityAttributes JSON from the base64 that follows an admin key.

    Raises:
        AuthenticationError: 400, neither base64 nor JSON of an object with text fields that name
            the user.
    """
    try:
        encoded = base64.b64decode(identity, validate=True)
    except ValueError as error:
        raise _unreadable(error) from error
    return _attributes_from_json(encoded)


def _attributes_from_json(encoded: bytes) -> bytes:
    try:
        attributes = orjson.loads(encoded)
    except orjson.JSONDecodeError as error:
        raise _unreadable(error) from error
    return identity_attributes(attributes)


def _unreadable(error: Exception) -> AuthenticationError:
    reason = str(error).rstrip(".")
    return AuthenticationError(
        "InvalidAuthHeader", f"The impersonated identity is unreadable: {reason}.", 400
    )


def identity_attributes(attributes: object) -> bytes:
    """Check an impersonated identity and complete its `tokenIdentifier` ("issuer|subject").

    Raises:
        AuthenticationError: 400, not an object, it names no user, or functions can't be given it.
    """
    if not isinstance(attributes, dict):
        raise AuthenticationError(
            "InvalidAuthHeader", "The impersonated identity must be a JSON object.", 400
        )
    user = cast("dict[str, object]", attributes)
    issuer, subject = user.get("issuer"), user.get("subject")
    if isinstance(issuer, str) and isinstance(subject, str):
        user.setdefault("tokenIdentifier", f"{issuer}|{subject}")
    if not isinstance(user.get("tokenIdentifier"), str):
        raise AuthenticationError(
            "InvalidAuthHeader",
            "The impersonated identity needs `issuer` and `subject`, or a `tokenIdentifier`.",
            400,
        )
    try:
        encoded = orjson.dumps(user)
        wire_json.decode(encoded)
    except (orjson.JSONEncodeError, CallerError) as error:
        raise _unreadable(error) from error
    return encoded

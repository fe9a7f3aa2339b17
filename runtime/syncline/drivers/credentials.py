"""What checking credentials ends in: a login, or the reason why there is none."""

from typing import Final

import msgspec

from syncline.drivers.answers import Caller
from syncline.errors import CallerError


class AuthenticationError(CallerError):
    """The credentials are no good. `status` is the HTTP status: 400, 401 or 403.

    `reason` says more than clients are told: for logs and tests.
    """

    def __init__(self, code: str, message: str, status: int = 401, reason: str = "") -> None:
        super().__init__(code, message)
        self.status = status
        self.reason = reason or message


class Login(msgspec.Struct, frozen=True, gc=False):
    """Who has signed in, and until when."""

    caller: Caller
    expires_ms: int | None = None
    """Milliseconds since the epoch; None: never."""


NOT_VERIFIED: Final = (
    "Could not verify OIDC token claim. Check that the token signature is valid and the token "
    "hasn't expired."
)
"""What clients show of every token that is refused (convex-protocol.md 6.9)."""


def refused(reason: str) -> AuthenticationError:
    """The error for a token that names a provider of ours and is no good."""
    return AuthenticationError("Unauthenticated", NOT_VERIFIED, reason=reason)

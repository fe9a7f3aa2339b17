"""The site of a deployment: HTTP requests that its own router answers (docs/http-actions.md)."""

from typing import Final, Protocol

from syncline.action_ports import SiteRequest
from syncline.drivers.actions import Responder
from syncline.drivers.answers import ANONYMOUS, Caller
from syncline.drivers.authentication import Authenticator
from syncline.drivers.credentials import AuthenticationError
from syncline.errors import UnavailableError

SITE_PREFIX: Final = "/http"
"""Where the site lies on the deployment's own address (convex-protocol.md 5)."""
SITE_BODY_BYTES_MAX: Final = 20 * 2**20
"""Bytes of a request's body. [C] 5"""


class Serving(Protocol):
    """What answers: `drivers.engine.Engine`."""

    async def serve(self, request: SiteRequest, caller: Caller, responder: Responder) -> None:
        """Answer by the deployed router."""
        ...


class Site:
    """Hands requests to the router, on behalf of whom their token names."""

    def __init__(self, engine: Serving, authenticator: Authenticator) -> None:
        self._engine = engine
        self._authenticator = authenticator

    async def answer(self, request: SiteRequest, responder: Responder) -> None:
        """Answer a request. UnavailableError: the deployment can't now."""
        header = next((v for name, v in request.headers if name == b"authorization"), None)
        await self._engine.serve(request, await self._caller(header), responder)

    async def _caller(self, authorization: bytes | None) -> Caller:
        """Who is signed in; a header that is somebody else's business names nobody."""
        if authorization is None:
            return ANONYMOUS
        try:
            caller = await self._authenticator.caller(authorization.decode("latin-1"))
        except (AuthenticationError, UnavailableError):
            return ANONYMOUS
        return Caller(caller.identity)


def site_path(path: str) -> str | None:
    """The path within the site of one on the deployment's own address; None: it lies elsewhere."""
    if path == SITE_PREFIX:
        return "/"
    return path.removeprefix(SITE_PREFIX) if path.startswith(f"{SITE_PREFIX}/") else None

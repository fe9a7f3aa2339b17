"""aiohttp in front of the site: requests in whole, answers as they come."""

from aiohttp import web
from multidict import CIMultiDict

from syncline.action_ports import SiteRequest
from syncline.drivers.http_messages import HttpError, error_response
from syncline.drivers.site import SITE_BODY_BYTES_MAX, Site
from syncline.errors import UnavailableError

_CHANGED_ON_THE_WAY = frozenset((b"content-encoding", b"transfer-encoding"))
"""What no longer describes the body, which aiohttp has decoded."""


def make_site_app(site: Site) -> web.Application:
    """The application of the site's own port."""
    app = web.Application(client_max_size=0, handler_args={"auto_decompress": True})

    async def call(request: web.Request) -> web.StreamResponse:
        return await answer_site(site, request, request.path)

    app.router.add_route("*", r"/{path:[\s\S]*}", call)
    return app


async def answer_site(site: Site, request: web.Request, path: str) -> web.StreamResponse:
    """Serve one request; `path` is that within the site."""
    responder = _Responder(request)
    try:
        await site.answer(await _site_request(request, path), responder)
    except (HttpError, UnavailableError) as error:
        if responder.response is None:
            failed = error_response(error)
            assert isinstance(failed.body, bytes)
            return web.Response(
                status=failed.status, body=failed.body, content_type="application/json"
            )
        responder.abort()
    assert responder.response is not None, "a request is answered once"
    return responder.response


async def _site_request(request: web.Request, path: str) -> SiteRequest:
    return SiteRequest(
        method=request.method,
        path=path,
        query=request.rel_url.raw_query_string.encode("latin-1", "replace"),
        headers=tuple(
            (name.lower(), value)
            for name, value in request.raw_headers
            if name.lower() not in _CHANGED_ON_THE_WAY
        ),
        body=await _body(request),
        scheme=request.headers.get("X-Forwarded-Proto", request.scheme),
        client=request.remote,
    )


async def _body(request: web.Request) -> bytes:
    """The body. HttpError: too large, unreadable, or cut off."""
    body = bytearray()
    try:
        async for part in request.content.iter_any():
            body += part
            if len(body) > SITE_BODY_BYTES_MAX:
                raise HttpError(413, "RequestTooLarge", f"At most {SITE_BODY_BYTES_MAX} bytes fit.")
    except web.RequestPayloadError as error:
        raise HttpError(400, "BadBody", "The body is not encoded as its headers say.") from error
    except ConnectionError as error:
        raise HttpError(408, "ClientGone", "The body ended early.") from error
    return bytes(body)


class _Responder:
    """The answer to one request (drivers.actions.Responder)."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response: web.StreamResponse | None = None

    async def respond(
        self, status: int, headers: list[tuple[bytes, bytes]], body: bytes, *, last: bool
    ) -> bool:
        """Send a piece; the first may wait for the second."""
        response = self.response
        try:
            if response is None:
                response = web.StreamResponse(status=status, headers=_multidict(headers))
                if last and self._request.method != "HEAD":
                    response.content_length = len(body)
                self.response = response
                await response.prepare(self._request)
            if body and self._request.method != "HEAD":
                await response.write(body)
            if last:
                await response.write_eof()
        except ConnectionError:
            return False
        return True

    def abort(self) -> None:
        """Cut the connection, so that nobody takes half an answer for a whole one."""
        if self._request.transport is not None:
            self._request.transport.abort()


def _multidict(headers: list[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    """Repeated names (`set-cookie`) stay apart."""
    found: CIMultiDict[str] = CIMultiDict()
    for name, value in headers:
        if name.lower() != b"transfer-encoding":
            found.add(name.decode("latin-1"), value.decode("latin-1"))
    return found

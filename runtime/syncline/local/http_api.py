"""aiohttp in front of the HTTP API: requests and responses to plain data and back."""

from pathlib import Path

from aiohttp import web

from syncline.drivers.authentication import Authenticator
from syncline.drivers.deployment import Deployment
from syncline.drivers.http_api import BODY_BYTES_MAX, HttpApi
from syncline.drivers.http_messages import (
    HttpError,
    HttpRequest,
    HttpResponse,
    cors_headers,
    error_response,
)
from syncline.local.exchange_folder import ExchangeFolder
from syncline.ports import Entropy


def make_http_api(
    deployment: Deployment, authenticator: Authenticator, data: Path, entropy: Entropy
) -> HttpApi:
    """The API of a local deployment; imports and exports lie in `data/exchange`."""
    files = ExchangeFolder(data / "exchange")
    return HttpApi(deployment, authenticator=authenticator, files=files, entropy=entropy)


async def answer(api: HttpApi, request: web.Request) -> web.StreamResponse:
    """Serve one request; for every path that is not the WebSocket's."""
    plain = HttpRequest(
        request.method,
        request.path,
        {name: request.query[name] for name in request.query},
        {name.lower(): _text(request.headers[name]) for name in request.headers},
    )
    try:
        body = await _body(request)
    except HttpError as error:
        return _response(error_response(error).with_headers(*cors_headers(plain)))
    return _response(
        await api.handle(HttpRequest(plain.method, plain.path, plain.query, plain.headers, body))
    )


def _text(header: str) -> str:
    """A header whose bytes are no UTF-8 has those replaced: nothing else could be told of it."""
    return header.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


async def _body(request: web.Request) -> bytes:
    """The body. HttpError: too large (the rest is left unread), unreadable, or cut off."""
    too_large = HttpError(400, "RequestTooLarge", f"At most {BODY_BYTES_MAX} bytes fit.")
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.content.iter_chunked(2**16):
            size += len(part)
            if size > BODY_BYTES_MAX:
                raise too_large
            parts.append(part)
    except web.RequestPayloadError as error:
        raise HttpError(
            400, "BadBody", "The body is not encoded as Content-Encoding or Transfer-Encoding say."
        ) from error
    except ConnectionError as error:
        # Nobody is left to read it.
        raise HttpError(408, "ClientGone", "The body ended early.") from error
    return b"".join(parts)


def _response(response: HttpResponse) -> web.StreamResponse:
    headers = dict(response.headers)
    headers["Content-Type"] = response.content_type
    if isinstance(response.body, Path):
        return web.FileResponse(response.body, status=response.status, headers=headers)
    return web.Response(status=response.status, body=response.body, headers=headers)

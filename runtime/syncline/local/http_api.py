"""aiohttp in front of the HTTP API: requests and responses to plain data and back."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from syncline.drivers.authentication import Authenticator
from syncline.drivers.deployment import Deployment
from syncline.drivers.file_storage import FileStorage
from syncline.drivers.http_api import BODY_BYTES_MAX, HttpApi
from syncline.drivers.http_messages import (
    HttpError,
    HttpRequest,
    HttpResponse,
    StreamedBody,
    cors_headers,
    error_response,
)
from syncline.drivers.recent_logs import FunctionLogs
from syncline.local.exchange_folder import ExchangeFolder
from syncline.ports import Entropy


def make_http_api(
    deployment: Deployment,
    authenticator: Authenticator,
    data: Path,
    entropy: Entropy,
    storage: FileStorage,
    logs: FunctionLogs,
) -> HttpApi:
    """The API of a local deployment; imports and exports lie in `data/exchange`."""
    return HttpApi(
        deployment,
        authenticator=authenticator,
        files=ExchangeFolder(data / "exchange"),
        storage=storage,
        logs=logs,
        entropy=entropy,
    )


async def answer(api: HttpApi, request: web.Request) -> web.StreamResponse:
    """Serve one request; for every path that is not the WebSocket's."""
    plain = HttpRequest(
        request.method,
        request.path,
        {name: request.query[name] for name in request.query},
        {name.lower(): _text(request.headers[name]) for name in request.headers},
    )
    if api.takes_stream(request.method, request.path):
        return await _respond(request, await api.handle(replace(plain, stream=_pieces(request))))
    try:
        body = await _body(request)
    except HttpError as error:
        return _response(error_response(error).with_headers(*cors_headers(plain)))
    return await _respond(request, await api.handle(replace(plain, body=body)))


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
    async for part in _pieces(request):
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise too_large
        parts.append(part)
    return b"".join(parts)


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    """The body as it arrives. HttpError: unreadable, or cut off."""
    try:
        async for part in request.content.iter_any():
            yield part
    except web.RequestPayloadError as error:
        raise HttpError(
            400, "BadBody", "The body is not encoded as Content-Encoding or Transfer-Encoding say."
        ) from error
    except ConnectionError as error:
        # Nobody is left to read it.
        raise HttpError(408, "ClientGone", "The body ended early.") from error


async def _respond(request: web.Request, response: HttpResponse) -> web.StreamResponse:
    """Send a streamed body; whatever else is sent by the caller."""
    body = response.body
    if not isinstance(body, StreamedBody):
        return _response(response)
    streamed = web.StreamResponse(status=response.status, headers=_headers(response))
    streamed.content_length = body.length
    await streamed.prepare(request)
    if body.chunks is not None:
        async with aclosing(body.chunks) as chunks:
            async for chunk in chunks:
                await streamed.write(chunk)
    await streamed.write_eof()
    return streamed


def _headers(response: HttpResponse) -> dict[str, str]:
    return {**dict(response.headers), "Content-Type": response.content_type}


def _response(response: HttpResponse) -> web.Response | web.FileResponse:
    headers = _headers(response)
    assert not isinstance(response.body, StreamedBody), "sent piece by piece"
    if isinstance(response.body, Path):
        return web.FileResponse(response.body, status=response.status, headers=headers)
    return web.Response(status=response.status, body=response.body, headers=headers)

"""aiohttp in front of the HTTP API: requests and responses to plain data and back."""

from pathlib import Path

from aiohttp import web

from syncline.drivers.deployment import Deployment
from syncline.drivers.http_api import BODY_BYTES_MAX, HttpApi
from syncline.drivers.http_messages import HttpRequest, HttpResponse, cors_headers, json_response
from syncline.local.exchange_folder import ExchangeFolder
from syncline.ports import Entropy


def make_http_api(deployment: Deployment, secret: bytes, data: Path, entropy: Entropy) -> HttpApi:
    """The API of a local deployment; imports and exports lie in `data/exchange`."""
    files = ExchangeFolder(data / "exchange")
    return HttpApi(deployment, secret=secret, files=files, entropy=entropy)


async def answer(api: HttpApi, request: web.Request) -> web.StreamResponse:
    """Serve one request; for every path that is not the WebSocket's."""
    plain = HttpRequest(
        request.method,
        request.path,
        {name: request.query[name] for name in request.query},
        {name.lower(): request.headers[name] for name in request.headers},
    )
    body = await _body(request)
    if body is None:
        refusal = json_response(
            {"code": "RequestTooLarge", "message": f"At most {BODY_BYTES_MAX} bytes fit."}, 400
        )
        return _response(refusal.with_headers(*cors_headers(plain)))
    return _response(
        await api.handle(HttpRequest(plain.method, plain.path, plain.query, plain.headers, body))
    )


async def _body(request: web.Request) -> bytes | None:
    """The body, None if it is too large; the rest is then left unread and the connection ends."""
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_chunked(2**16):
        size += len(part)
        if size > BODY_BYTES_MAX:
            return None
        parts.append(part)
    return b"".join(parts)


def _response(response: HttpResponse) -> web.StreamResponse:
    headers = dict(response.headers)
    headers["Content-Type"] = response.content_type
    if isinstance(response.body, Path):
        return web.FileResponse(response.body, status=response.status, headers=headers)
    return web.Response(status=response.status, body=response.body, headers=headers)

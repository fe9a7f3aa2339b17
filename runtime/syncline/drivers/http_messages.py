"""HTTP as plain data: what the API is asked and what it answers, whoever terminates the sockets.

The dev server (aiohttp) and a Lambda translate to and from these.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from syncline.drivers.credentials import AuthenticationError
from syncline.errors import (
    CallerError,
    ConflictError,
    DeveloperError,
    SynclineError,
    UnavailableError,
)

JSON_TYPE: Final = "application/json"
TEXT_TYPE: Final = "text/plain; charset=utf-8"

_CORS_METHODS: Final = "GET,POST,OPTIONS,PATCH,DELETE,PUT"
_CORS_SECONDS: Final = "86400"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. Header names are lower case; of a repeated name the first value counts."""

    method: str
    path: str
    """Percent-decoded, from the first "/"."""
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None
    """The body in pieces instead, where it may be too large for memory (HttpApi.takes_stream)."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces, however it came."""
        return _one(self.body) if self.stream is None else self.stream


async def _one(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body


@dataclass(frozen=True, slots=True)
class StreamedBody:
    """A body in pieces that together have `length` bytes; `chunks` is None for HEAD."""

    chunks: AsyncGenerator[bytes, None] | None
    length: int


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One response; a `body` that is a path is sent as that file's content."""

    status: int
    body: bytes | Path | StreamedBody = b""
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()

    def with_headers(self, *headers: tuple[str, str]) -> "HttpResponse":
        """The same response with more headers."""
        return HttpResponse(self.status, self.body, self.content_type, (*self.headers, *headers))


class HttpError(SynclineError):
    """A request that fails as HTTP, with a status from convex-protocol.md 3.2."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code, message)
        self.status = status


def json_response(content: object, status: int = 200) -> HttpResponse:
    """A response whose body is the JSON of `content`."""
    return HttpResponse(status, orjson.dumps(content))


def text_response(text: str) -> HttpResponse:
    """A plain text response."""
    return HttpResponse(200, text.encode(), TEXT_TYPE)


def error_response(error: SynclineError) -> HttpResponse:
    """`{"code", "message"}` with the status that fits the error (convex-protocol.md 3.2)."""
    return json_response({"code": error.code, "message": error.message}, status_of(error))


def status_of(error: SynclineError) -> int:
    """400 for what the caller or developer must mend, 503 for what passes, else 500."""
    match error:
        case HttpError() | AuthenticationError():
            return error.status
        case ConflictError() | UnavailableError():
            return 503
        case CallerError() | DeveloperError():
            return 400
        case _:
            return 500


def cors_headers(request: HttpRequest) -> tuple[tuple[str, str], ...]:
    """What lets a page of another origin read the answer (convex-protocol.md 3.3)."""
    origin = request.headers.get("origin")
    if origin is None:
        return ()
    headers = [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
    ]
    if request.method == "OPTIONS":
        asked = request.headers.get("access-control-request-headers")
        headers += [
            ("Access-Control-Allow-Methods", _CORS_METHODS),
            ("Access-Control-Max-Age", _CORS_SECONDS),
            *([("Access-Control-Allow-Headers", asked)] if asked else []),
        ]
    return tuple(headers)

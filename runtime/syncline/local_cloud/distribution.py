"""CloudFront: which origin a request goes to, and what becomes of it on the way.

Imitates a distribution with caching off and the origin request policy AllViewerExceptHostHeader
(aws-facts.md 1.4).
"""

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from aiohttp import web

from syncline.local_cloud.viewer_function import ViewerFunction, ViewerFunctionError

SOCKET_PATHS: Final = ("/api/sync", "/api/*/sync")
"""The path patterns of the template's behaviours that lead to the WebSocket API."""
SOCKET_METHODS: Final = frozenset({"GET", "HEAD"})

EDGE_ADDRESS: Final = "192.0.2.1"
"""The address of CloudFront's server: what an origin sees as its peer (an address for examples)."""
VIA: Final = "1.1 edge.cloudfront.net (CloudFront)"

_HOP_BY_HOP: Final = frozenset(
    "connection host keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    "transfer-encoding upgrade".split()
)

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class OriginRequest:
    """What an origin is asked; its Host is the origin's own."""

    method: str
    path: str
    """As on the wire, percent-encoded."""
    query: str
    """Likewise, without `?`."""
    headers: Pairs
    viewer_address: str


@dataclass(frozen=True, slots=True)
class EdgeFunction:
    """The function at the edge, and the path patterns that lead through it to either API."""

    code: str
    socket_paths: Sequence[str] = SOCKET_PATHS
    http_paths: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the distribution answers by itself."""

    status: int
    body: str = ""
    headers: Pairs = ()

    def response(self) -> web.Response:
        """As aiohttp sends it."""
        return web.Response(status=self.status, text=self.body, headers=[*self.headers])


class Distribution:
    """Path patterns in the template's order; what matches none goes to the HTTP API."""

    def __init__(
        self,
        socket_paths: Sequence[str],
        viewer_function: ViewerFunction | None,
        http_paths: Sequence[str] = (),
    ) -> None:
        """`http_paths`: of the HTTP API, whose requests the viewer function sees, too."""
        self._socket_patterns = tuple(_pattern(path) for path in socket_paths)
        self._http_patterns = tuple(_pattern(path) for path in http_paths)
        self._viewer_function = viewer_function

    def leads_to_sockets(self, path: str) -> bool:
        """Whether a viewer's path is one of the WebSocket API's."""
        return any(pattern.fullmatch(path) for pattern in self._socket_patterns)

    async def to_socket_origin(self, request: OriginRequest) -> OriginRequest | Answer:
        """Run the viewer function, which rewrites the request or answers it."""
        if request.method not in SOCKET_METHODS:
            return Answer(403, "This distribution is not configured to allow this method.")
        return await self._seen(request)

    async def to_http_origin(self, request: OriginRequest) -> OriginRequest | Answer:
        """The same where the path has the viewer function; else as it came."""
        if any(pattern.fullmatch(request.path) for pattern in self._http_patterns):
            return await self._seen(request)
        return request

    async def _seen(self, request: OriginRequest) -> OriginRequest | Answer:
        if self._viewer_function is None:
            return request
        try:
            answer = await self._viewer_function.run(_viewer_event(request))
        except ViewerFunctionError as error:
            return Answer(503, f"FunctionExecutionError: {error}", (("x-cache", "FunctionError"),))
        if "statusCode" in answer:
            return _generated(answer)
        return _rewritten(request, answer)


def viewer_request(request: web.BaseRequest) -> OriginRequest:
    """A request as it came in, with what CloudFront takes off and puts on."""
    path, _, query = request.raw_path.partition("?")
    address = request.remote or "127.0.0.1"
    # Byte for byte, whatever their encoding, as Lambda's events have them.
    sent = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers
    ]
    kept = [(name, value) for name, value in sent if not _is_dropped(name)]
    forwarded = [*request.headers.getall("X-Forwarded-For", []), address, EDGE_ADDRESS]
    added = (
        ("Via", VIA),
        ("X-Amz-Cf-Id", secrets.token_urlsafe(40)),
        ("X-Amzn-Trace-Id", f"Root=1-{secrets.token_hex(4)}-{secrets.token_hex(12)}"),
        ("X-Forwarded-For", ", ".join(forwarded)),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
    )
    return OriginRequest(request.method, path, query, (*kept, *added), address)


def _is_dropped(name: str) -> bool:
    lower = name.lower()
    return lower in _HOP_BY_HOP or lower.startswith(("x-forwarded-", "x-amz-cf-", "x-amzn-"))


def _pattern(path: str) -> re.Pattern[str]:
    """CloudFront's `*` is any text, slashes too, and `?` one character; letters' case counts."""
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(part, re.escape(part)) for part in path), re.DOTALL)


def query_pairs(query: str) -> Pairs:
    """Names and values of a query string, still percent-encoded."""
    parts = (part.partition("=") for part in query.split("&") if part)
    return tuple((name, value) for name, _, value in parts)


def _viewer_event(request: OriginRequest) -> dict[str, object]:
    """functions-event-structure: version 1.0."""
    return {
        "version": "1.0",
        "context": {
            "distributionDomainName": "edge.cloudfront.net",
            "distributionId": "LOCAL",
            "eventType": "viewer-request",
            "requestId": secrets.token_urlsafe(40),
        },
        "viewer": {"ip": request.viewer_address},
        "request": {
            "method": request.method,
            "uri": request.path,
            "querystring": _entries(query_pairs(request.query)),
            "headers": _entries((name.lower(), value) for name, value in request.headers),
            "cookies": {},
        },
    }


def _entries(pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, object]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {
        name: {"value": found[0]}
        if len(found) == 1
        else {"value": found[0], "multiValue": [{"value": value} for value in found]}
        for name, found in values.items()
    }


def _pairs(entries: object) -> Pairs:
    found: list[tuple[str, str]] = []
    for name, entry in cast("Mapping[str, Mapping[str, object]]", entries).items():
        several = cast("Sequence[Mapping[str, object]]", entry.get("multiValue", [entry]))
        found += [(name, str(one["value"])) for one in several]
    return tuple(found)


def _rewritten(request: OriginRequest, answer: Mapping[str, object]) -> OriginRequest:
    written = {name.lower(): name for name, _ in request.headers}
    headers = _pairs(answer.get("headers", {}))
    return OriginRequest(
        request.method,
        str(answer["uri"]),
        "&".join(f"{name}={value}" for name, value in _pairs(answer.get("querystring", {}))),
        tuple((written.get(name, name), value) for name, value in headers),
        request.viewer_address,
    )


def _generated(answer: Mapping[str, object]) -> Answer:
    body = answer.get("body", "")
    text = cast("Mapping[str, str]", body).get("data", "") if isinstance(body, dict) else body
    return Answer(
        int(cast("int", answer["statusCode"])), str(text), _pairs(answer.get("headers", {}))
    )

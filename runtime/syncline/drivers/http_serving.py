"""One HTTP request inside an action: what the router leads to, spoken to as ASGI.

A handler gets Starlette's Request and returns its Response; a mounted application gets the request
as any server would hand it over. Either way the answer goes to the deployment piece by piece, as
requests of the action.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from syncline.action_ports import ActionBackend, Respond, SiteRequest
from syncline.errors import DeveloperError
from syncline.execution.action_context import ActionCtx, reply_value
from syncline.registration.http_router import HttpRouter, Route

Message: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

NO_ROUTER = "This deployment does not have HTTP actions enabled."


async def serve(
    router: HttpRouter | None, request: SiteRequest, ctx: ActionCtx, backend: ActionBackend
) -> None:
    """Answer one request completely."""
    scope = _scope(request, ctx)
    answer = _Answer(backend)
    origin = _header(request, b"origin")
    if router is None:
        await _plain(404, NO_ROUTER)(scope, answer.receiver(request), answer.send)
        return
    route = router.find(request.method, request.path)
    if route is not None:
        send = (
            answer.send
            if route.cors is None
            else answer.with_headers(route.cors.response_headers(origin))
        )
        await _run(route, scope, ctx, answer.receiver(request), send)
    else:
        response = _plain(404, f"No HttpAction routed for {request.path}")
        if request.method == "OPTIONS":
            wanted = _header(request, b"access-control-request-method")
            allowed = router.preflight(request.path, wanted)
            if allowed is not None:
                cors, methods = allowed
                response = Response(
                    status_code=204, headers=dict(cors.preflight_headers(origin, methods))
                )
        await response(scope, answer.receiver(request), answer.send)
    answer.require_complete(request.path)


async def _run(
    route: Route,
    scope: Message,
    ctx: ActionCtx,
    receive: Callable[[], Awaitable[Message]],
    send: Send,
) -> None:
    if route.app is not None:
        prefix = route.path.rstrip("/")
        await route.app({**scope, "root_path": prefix}, receive, send)
        return
    assert route.handler is not None
    response = await route.handler(ctx, Request(scope, receive))
    if not isinstance(response, Response):
        raise DeveloperError(
            "NoResponse",
            f"The handler of {route.pattern} returned {type(response).__name__}: return a Response "
            "(`from syncline import Response, JSONResponse`).",
        )
    await response(scope, receive, send)


def _scope(request: SiteRequest, ctx: ActionCtx) -> Message:
    host, _, port = (_header(request, b"host") or "localhost").partition(":")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": quote(request.path).encode(),
        "query_string": request.query,
        "root_path": "",
        "headers": list(request.headers),
        "client": (request.client, 0) if request.client else None,
        "server": (host, int(port) if port.isdigit() else None),
        "state": {"ctx": ctx},
    }


def _header(request: SiteRequest, name: bytes) -> str | None:
    return next((v.decode("latin-1") for n, v in request.headers if n == name), None)


def _plain(status: int, text: str) -> Response:
    return Response(text, status_code=status, media_type="text/plain")


class _Answer:
    """The server's side of ASGI: what is sent goes to the deployment."""

    def __init__(self, backend: ActionBackend) -> None:
        self._backend = backend
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._has_begun = False
        self._is_complete = False

    def receiver(self, request: SiteRequest) -> Callable[[], Awaitable[Message]]:
        """Gives the body, and then waits: the client is heard of again when it is written to."""
        has_given = False

        async def receive() -> Message:
            nonlocal has_given
            if has_given:
                await asyncio.Event().wait()
            has_given = True
            return {"type": "http.request", "body": request.body, "more_body": False}

        return receive

    def with_headers(self, headers: list[tuple[str, str]]) -> Send:
        """Sends with these headers more."""
        more = [(name.encode(), value.encode("latin-1")) for name, value in headers]

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await self.send(message)

        return send

    async def send(self, message: Message) -> None:
        """Part of ASGI. OSError: the client has gone."""
        if message["type"] == "http.response.start":
            headers = [(bytes(n), bytes(v)) for n, v in message.get("headers", ())]
            self._head = (int(message["status"]), headers)
            return
        if message["type"] != "http.response.body" or self._head is None:
            raise DeveloperError("BadAsgi", f"{message['type']!r} can't be answered with here.")
        is_last = not message.get("more_body", False)
        status, headers = (0, []) if self._has_begun else self._head
        self._has_begun = True
        body = bytes(message.get("body", b""))
        going = reply_value(await self._backend.ask(Respond(status, headers, body, is_last)))
        self._is_complete = is_last
        if not going and not is_last:
            raise OSError("The client has gone.")

    def require_complete(self, path: str) -> None:
        """DeveloperError: the application has returned without an answer."""
        if not self._is_complete:
            raise DeveloperError("NoResponse", f"What is mounted at {path} gave no answer.")

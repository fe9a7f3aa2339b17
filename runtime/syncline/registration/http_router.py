"""`http.py`: which function answers which HTTP request (convex-protocol.md 5).

    http = HttpRouter()

    @http.route("/webhooks/stripe", methods=["POST"])
    async def stripe(ctx: ActionCtx, request: Request) -> Response: ...

An exact path wins over a prefix, a longer prefix over a shorter one. HEAD is answered as GET.
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from syncline.errors import DeveloperError

METHODS: Final = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
"""Methods that can be routed."""
_RESERVED: Final = "/.files"

HttpHandler: TypeAlias = Callable[..., Coroutine[Any, Any, object]]
"""`async def handler(ctx: ActionCtx, request: Request) -> Response`."""
Message: TypeAlias = MutableMapping[str, Any]
AsgiApp: TypeAlias = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]
"""An ASGI 3 application, such as one of FastAPI or Starlette."""

H = TypeVar("H", bound=HttpHandler)


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages of other origins may read the answers, and what they may send."""

    origins: Sequence[str] = ("*",)
    """Like "https://app.example"; "*" is everybody's."""
    headers: Sequence[str] = ("content-type", "authorization")
    """Request headers that pages may send."""
    exposed: Sequence[str] = ()
    """Response headers that pages may read."""
    credentials: bool = False
    """Whether cookies may be sent; not together with "*"."""
    seconds: int = 86_400
    """How long browsers may remember the answer to a preflight."""

    def __post_init__(self) -> None:
        if self.credentials and "*" in self.origins:
            raise DeveloperError(
                "CredentialsForEverybody",
                'Cors(credentials=True) needs the origins by name, not "*".',
            )

    def response_headers(self, origin: str | None) -> list[tuple[str, str]]:
        """What every answer carries."""
        if "*" in self.origins:
            headers = [("access-control-allow-origin", "*")]
        elif origin in self.origins:
            headers = [("access-control-allow-origin", str(origin)), ("vary", "Origin")]
        else:
            return [("vary", "Origin")]
        if self.credentials:
            headers.append(("access-control-allow-credentials", "true"))
        if self.exposed:
            headers.append(("access-control-expose-headers", ", ".join(self.exposed)))
        return headers

    def preflight_headers(
        self, origin: str | None, methods: Sequence[str]
    ) -> list[tuple[str, str]]:
        """What the answer to a preflight carries."""
        headers = self.response_headers(origin)
        if headers[0][0] != "vary":
            headers += [
                ("access-control-allow-methods", ", ".join(methods)),
                ("access-control-allow-headers", ", ".join(self.headers)),
                ("access-control-max-age", str(self.seconds)),
            ]
        return headers


@dataclass(frozen=True, slots=True)
class Route:
    """One address and what answers there: a handler, or a whole application."""

    path: str
    """Exact, or a prefix that ends in "/"."""
    is_prefix: bool
    methods: tuple[str, ...]
    handler: HttpHandler | None
    app: AsgiApp | None = None
    cors: Cors | None = None

    @property
    def pattern(self) -> str:
        """The path as function specs show it."""
        return f"{self.path}*" if self.is_prefix else self.path

    def fits(self, path: str) -> bool:
        """Whether the route is about this path."""
        return path.startswith(self.path) if self.is_prefix else path == self.path


class HttpRouter:
    """The routes of a deployment; the loader takes the one called `http` in `http.py`."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def route(
        self,
        path: str | None = None,
        *,
        path_prefix: str | None = None,
        methods: Sequence[str] = ("GET",),
        cors: Cors | None = None,
    ) -> Callable[[H], H]:
        """Decorates the `async def` that answers at `path`, or at everything below `path_prefix`.

        Raises:
            DeveloperError: a path or method that can't be, or that is taken.
        """
        address, is_prefix = _address(path, path_prefix)
        wanted = _methods(methods)

        def add(handler: H) -> H:
            if not inspect.iscoroutinefunction(handler):
                raise DeveloperError(
                    "NotAsync",
                    f"{address} is routed to {handler!r}: write `async def (ctx, request)`, and "
                    "return a Response.",
                )
            self._add(Route(address, is_prefix, wanted, handler, cors=cors))
            return handler

        return add

    def mount(self, path_prefix: str, app: AsgiApp, *, methods: Sequence[str] = METHODS) -> None:
        """Have an ASGI application answer everything below `path_prefix`.

        It finds the context as `request.state.ctx`.
        """
        address, is_prefix = _address(None, path_prefix)
        self._add(Route(address, is_prefix, _methods(methods), None, app=app))

    def _add(self, route: Route) -> None:
        for other in self.routes:
            shared = [method for method in route.methods if method in other.methods]
            if (other.path, other.is_prefix) == (route.path, route.is_prefix) and shared:
                raise DeveloperError(
                    "DuplicateRoute", f"{shared[0]} {route.pattern} is routed already."
                )
        self.routes.append(route)

    def find(self, method: str, path: str) -> Route | None:
        """The route of a request."""
        method = "GET" if method == "HEAD" else method
        return self._best([r for r in self.routes if method in r.methods and r.fits(path)])

    def preflight(self, path: str, method: str | None) -> tuple[Cors, tuple[str, ...]] | None:
        """What a preflight is told: by the route that the wanted method leads to."""
        route = self._best(
            [
                r
                for r in self.routes
                if r.cors and r.fits(path) and (not method or method in r.methods)
            ]
        )
        return None if route is None or route.cors is None else (route.cors, route.methods)

    @staticmethod
    def _best(routes: list[Route]) -> Route | None:
        return max(routes, key=lambda route: (not route.is_prefix, len(route.path)), default=None)

    def spec(self) -> list[Mapping[str, str]]:
        """Method and path of every route."""
        return [
            {"method": method, "path": route.pattern}
            for route in self.routes
            for method in route.methods
        ]


def http_action(handler: H) -> H:
    """Marks an `async def (ctx, request)` that is routed elsewhere: it is ordinary Python.

    `http.route("/hook", methods=["POST"])(handler)` routes it.
    """
    if not inspect.iscoroutinefunction(handler):
        raise DeveloperError(
            "NotAsync", f"{handler!r} is no `async def`: write `async def (ctx, request)`."
        )
    return handler


def _address(path: str | None, prefix: str | None) -> tuple[str, bool]:
    if (path is None) == (prefix is None):
        raise DeveloperError("BadRoute", "A route needs a path or a path_prefix, one of the two.")
    address = path if path is not None else str(prefix)
    if not address.startswith("/"):
        raise DeveloperError("BadRoute", f"{address!r} has to begin with a slash.")
    if prefix is not None and not address.endswith("/"):
        raise DeveloperError("BadRoute", f"The prefix {address!r} has to end with a slash.")
    if (address + "/").startswith(_RESERVED + "/"):
        raise DeveloperError("BadRoute", f"{_RESERVED} is reserved.")
    return address, prefix is not None


def _methods(methods: Sequence[str]) -> tuple[str, ...]:
    wanted = (methods,) if isinstance(methods, str) else tuple(methods)
    for method in wanted:
        if method not in METHODS:
            raise DeveloperError(
                "BadRoute",
                f"{method!r} can't be routed; these can: {', '.join(METHODS)}. "
                "HEAD is answered as GET.",
            )
    if not wanted:
        raise DeveloperError("BadRoute", "A route needs at least one method.")
    return wanted

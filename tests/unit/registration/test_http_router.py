"""Which route answers a request, what can't be routed, and what other origins may read."""

import pytest

from syncline.errors import DeveloperError
from syncline.registration.http_router import METHODS, Cors, HttpRouter, http_action
from tests.function_folder import FunctionFolder


async def handler(ctx: object, request: object) -> None:
    """Answers nothing."""


async def other(ctx: object, request: object) -> None:
    """Neither does this."""


async def app(scope: object, receive: object, send: object) -> None:
    """An application."""


def routed(method: str, path: str, *prefixes: str, exact: str | None = None) -> str | None:
    router = HttpRouter()
    for prefix in prefixes:
        router.route(path_prefix=prefix)(handler)
    if exact:
        router.route(exact)(handler)
    found = router.find(method, path)
    return None if found is None else found.pattern


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/*"),
        ("/a/b/c", "/a/b/*"),
        ("/a/", "/a/*"),
        ("/a/x", "/a/*"),
        ("/a", None),
        ("/A/b", None),
        ("/", None),
    ],
)
def test_the_exact_path_wins_then_the_longest_prefix(path: str, expected: str | None):
    assert routed("GET", path, "/a/", "/a/b/", exact="/a/b") == expected


def test_head_is_answered_as_get_and_other_methods_only_as_routed():
    assert routed("HEAD", "/x", exact="/x") == "/x"
    assert routed("POST", "/x", exact="/x") is None


def test_a_prefix_of_another_method_does_not_hide_a_shorter_one():
    router = HttpRouter()
    router.route(path_prefix="/a/", methods=["POST"])(handler)
    router.route("/a/b", methods=["GET"])(other)
    found = router.find("POST", "/a/b")
    assert found is not None
    assert found.handler is handler


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one of the two"),
        ({"path": "/a", "path_prefix": "/a/"}, "one of the two"),
        ({"path": "a"}, "begin with a slash"),
        ({"path_prefix": "/a"}, "end with a slash"),
        ({"path": "/.files"}, "reserved"),
        ({"path_prefix": "/.files/x/"}, "reserved"),
        ({"path": "/a", "methods": ["HEAD"]}, "HEAD is answered as GET"),
        ({"path": "/a", "methods": ["get"]}, "can't be routed"),
        ({"path": "/a", "methods": []}, "at least one method"),
    ],
)
def test_what_can_not_be_routed_says_why(options: dict[str, object], message: str):
    with pytest.raises(DeveloperError, match=message):
        HttpRouter().route(**options)


def test_an_address_is_routed_once_per_method():
    router = HttpRouter()
    router.route("/a", methods=["GET", "POST"])(handler)
    router.route("/a", methods=["PUT"])(handler)
    router.route(path_prefix="/a/")(handler)
    with pytest.raises(DeveloperError, match="POST /a is routed already"):
        router.route("/a", methods=["DELETE", "POST"])(other)
    with pytest.raises(DeveloperError, match="GET /a/\\* is routed already"):
        router.mount("/a/", app)


def test_handlers_are_coroutine_functions():
    for decorate in (HttpRouter().route("/a"), http_action):
        with pytest.raises(DeveloperError, match="async def"):
            decorate(lambda ctx, request: None)


def test_an_application_is_mounted_for_every_method():
    router = HttpRouter()
    router.mount("/api/", app)
    assert {route["method"] for route in router.spec()} == set(METHODS)
    found = router.find("DELETE", "/api/x")
    assert found is not None
    assert found.app is app


def test_a_preflight_is_told_of_the_route_that_the_method_leads_to():
    router = HttpRouter()
    router.route(path_prefix="/a/", methods=["GET"], cors=Cors())(handler)
    router.route("/a/b", methods=["POST"], cors=Cors(origins=["https://x.example"]))(handler)
    everybody, methods = router.preflight("/a/b", "GET") or (None, ())
    assert everybody == Cors()
    assert methods == ("GET",)
    named, _ = router.preflight("/a/b", "POST") or (None, ())
    assert named is not None
    assert named.origins == ["https://x.example"]
    assert router.preflight("/a/b", "DELETE") is None
    assert router.preflight("/c", None) is None


def test_an_origin_that_is_not_named_gets_no_permission():
    cors = Cors(origins=["https://x.example"], credentials=True, exposed=["x-total"])
    assert dict(cors.response_headers("https://x.example")) == {
        "access-control-allow-origin": "https://x.example",
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "x-total",
        "vary": "Origin",
    }
    for origin in ("https://y.example", None):
        assert cors.response_headers(origin) == [("vary", "Origin")]
        assert cors.preflight_headers(origin, ["GET"]) == [("vary", "Origin")]


def test_cookies_are_not_for_everybody():
    with pytest.raises(DeveloperError, match="origins by name"):
        Cors(credentials=True)


def test_the_loader_takes_the_router_of_http_py(functions: FunctionFolder):
    source = """
    from syncline import HttpRouter
    http = HttpRouter()

    @http.route("/hook", methods=["POST"])
    async def hook(ctx, request):
        return None
    """
    bundle = functions.write(http=source).bundle()
    assert bundle.http is not None
    assert bundle.spec.http == ({"method": "POST", "path": "/hook"},)
    with pytest.raises(DeveloperError, match="HttpRouter\\(\\)"):
        functions.write(
            http=source.replace("http =", "router =").replace("@http", "@router")
        ).bundle()
    assert functions.write(http="x = 1").bundle().http is None
    with pytest.raises(DeveloperError, match=r"http\.py:.*begin with a slash"):
        functions.write(http=source.replace('"/hook"', '"hook"')).bundle()

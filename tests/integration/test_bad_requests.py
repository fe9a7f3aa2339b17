"""HTTP requests that are wrong by HTTP's rules or by ours, and their documented answers.

What reaches the API is refused with `{"code", "message"}`; what is no HTTP at all, with a status
and plain text (docs/http-api.md, "Errors"). After each test clients are served as ever, and the
server has logged no traceback.
"""

import base64
import gzip
import io
import json
import zipfile
from collections.abc import Iterator

import pytest

from syncline.drivers.http_api import BODY_BYTES_MAX
from syncline.limits import ARGUMENTS_BYTES_MAX
from tests.clients.server import DevServer
from tests.integration.raw_client import (
    Answer,
    Bystander,
    Conversation,
    ask,
    exchange,
    request_bytes,
    serving,
)

CALL = b'{"path":"counters:read","args":{"name":"a"}}'
QUERY = "/api/query"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with serving(tmp_path_factory.mktemp("bad-requests")) as running:
        yield running


@pytest.fixture(scope="module")
def bystander(server: DevServer) -> Iterator[Bystander]:
    with Conversation(server) as conversation:
        yield Bystander(server, conversation)


@pytest.fixture(autouse=True)
def _nobody_else_notices(bystander: Bystander) -> Iterator[None]:
    yield
    bystander.look()


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.error


# Bodies

BODIES = {
    "empty": b"",
    "no JSON": b"path=counters:read",
    "cut off": CALL[:-1],
    "two": CALL + CALL,
    "an array": b"[]",
    "null": b"null",
    "no path": b'{"args":{}}',
    "a path that is a number": b'{"path":1}',
    "a format that is a number": b'{"path":"a:b","format":1}',
    "UTF-16": CALL.decode().encode("utf-16"),
    "with a byte order mark": b"\xef\xbb\xbf" + CALL,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("path", [QUERY, "/api/mutation", "/api/action", "/api/query_at_ts"])
def test_body_that_is_no_call_is_refused(server: DevServer, path: str, body: bytes):
    assert refusal(ask(server, "POST", path, body)) == (400, "BadJsonBody")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"queries":{}}', b'{"queries":[{}]}', b""])
def test_body_that_is_no_batch_is_refused(server: DevServer, body: bytes):
    assert refusal(ask(server, "POST", "/api/query_batch", body)) == (400, "BadJsonBody")


def test_batch_of_too_many_is_refused(server: DevServer):
    body = json.dumps({"queries": [{"path": "a:b"}] * 101}).encode()
    assert refusal(ask(server, "POST", "/api/query_batch", body)) == (400, "TooManyQueries")


@pytest.mark.parametrize("name", ["", "xml", "JSON", "json ", "é", "x" * 10_000])
def test_unknown_format_is_refused(server: DevServer, name: str):
    body = json.dumps({"path": "counters:read", "format": name}).encode()
    assert refusal(ask(server, "POST", QUERY, body)) == (400, "BadFormat")


@pytest.mark.parametrize(
    "kind", [b"text/xml", b"multipart/form-data", b"", b"\xff", b"a/b; c=\xc3"]
)
def test_content_type_does_not_matter(server: DevServer, kind: bytes):
    answer = ask(server, "POST", QUERY, CALL, ("Content-Type", kind))
    assert (answer.status, answer.json) == (200, {"status": "success", "value": 0})


def test_body_above_a_limit_is_refused(server: DevServer):
    call = CALL[:-3] + b"x" * ARGUMENTS_BYTES_MAX + CALL[-3:]
    assert refusal(ask(server, "POST", QUERY, call)) == (400, "RequestTooLarge")
    packed = gzip.compress(bytes(BODY_BYTES_MAX + 1), 1)
    encoded = ("Content-Encoding", "gzip")
    assert refusal(ask(server, "POST", QUERY, packed, encoded)) == (400, "RequestTooLarge")
    for size in (BODY_BYTES_MAX + 1, 2**40, 2**62):
        announced = ask(server, "POST", QUERY, b"", ("Content-Length", str(size)))
        assert refusal(announced) == (400, "RequestTooLarge")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_body_that_is_not_packed_as_it_says_is_refused(server: DevServer, encoding: str):
    answer = ask(server, "POST", QUERY, CALL, ("Content-Encoding", encoding))
    assert refusal(answer) == (400, "BadBody")


@pytest.mark.parametrize(
    "request_",
    [
        request_bytes("POST", QUERY, CALL, ("Content-Length", "99")),
        request_bytes("POST", QUERY, b"ff\r\n" + CALL, ("Transfer-Encoding", "chunked")),
        request_bytes("POST", QUERY, b"5\r\n{}\r\n", ("Transfer-Encoding", "chunked")),
        b"POST /api/query HTTP/1.1\r\nHost: a\r\n",
        b"POST /api/qu",
    ],
    ids=["a body", "a chunk", "the last chunk", "the headers", "the first line"],
)
def test_request_that_ends_early_is_not_answered(server: DevServer, request_: bytes):
    assert exchange(server, request_, half_closes=True) is None


# Addresses


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/nothing"),
        ("GET", "//version"),
        ("GET", "/version/"),
        ("GET", "/VERSION"),
        ("POST", "/version"),
        ("PUT", QUERY),
        ("DELETE", QUERY),
        ("PATCH", "/api/mutation"),
        ("GET", "/api/mutation"),
        ("TRACE", QUERY),
        ("POST", "/api/sync"),
        ("POST", "/api/run/a"),
        ("POST", "/api/run//a"),
        ("GET", "/api/run/counters/read"),
        ("GET", "/../../etc/passwd"),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd"),
        ("GET", "/api/export/zip/../../../secret/"),
        ("GET", "/%ff%ed%a0%80"),
        ("GET", "/a%00b"),
        ("POST", "/%0A"),
        ("GET", "/" + "x" * 8000),
    ],
)
def test_address_of_nothing_is_not_found(server: DevServer, method: str, target: str):
    answer = ask(server, method, target)
    expected = (403, "AdminKeyRequired") if "zip" in target else (404, "NotFound")
    assert refusal(answer) == expected


@pytest.mark.parametrize("name", ["..%2F..%2Fsecret", "%2e%2e", "-1", "1e3", "9" * 30, "%D9%A1"])
def test_exports_are_found_by_their_numbers_only(server: DevServer, name: str):
    answer = ask(server, "GET", f"/api/export/zip/{name}", b"", admin(server))
    assert refusal(answer) == (404, "ExportNotFound")


@pytest.mark.parametrize("name", ["../../x/y", "..%2F..%2Fx/y", "a:b/c", "a/b%20c", "a/%C3%A9"])
def test_run_takes_function_names_only(server: DevServer, name: str):
    answer = ask(server, "POST", f"/api/run/{name}", b"{}")
    assert refusal(answer) == (400, "BadConvexFunctionIdentifier")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "BadQuery"),
        ("args={}", "BadQuery"),
        ("path=", "BadConvexFunctionIdentifier"),
        ("path=%ff%fe", "BadConvexFunctionIdentifier"),
        ("path=a:b&args={", "BadJsonBody"),
        ("path=a:b&args=%ED%A0%80", "BadJsonBody"),
        ("path=a:b&args=", "BadJsonBody"),
        ("path=a:b&args=[]", "BadArgs"),
        ("path=a:b&args=3", "BadArgs"),
        ("path=a:b&format=xml", "BadFormat"),
    ],
)
def test_query_in_an_address_is_checked_as_one_in_a_body(server: DevServer, query: str, code: str):
    assert refusal(ask(server, "GET", f"{QUERY}?{query}")) == (400, code)


# Headers


def admin(server: DevServer, suffix: str = "") -> tuple[str, str]:
    return "Authorization", f"Convex {server.admin_key}{suffix}"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


AUTHORIZATIONS: dict[str, tuple[str | bytes, int, str]] = {
    "nothing": ("", 400, "InvalidAuthHeader"),
    "another scheme": ("Basic YTpi", 400, "InvalidAuthHeader"),
    "a scheme alone": ("Bearer", 400, "InvalidAuthHeader"),
    "no JWT": ("Bearer x", 401, "InvalidAuthHeader"),
    "a JWT of nothing": ("Bearer ..", 401, "InvalidAuthHeader"),
    "a token that is no text": (b"Bearer \xff.\xfe.\xff", 401, "InvalidAuthHeader"),
    "a JWT nested deeply": (
        f"Bearer e30.{encoded('[' * 3000).rstrip('=')}.",
        401,
        "InvalidAuthHeader",
    ),
    "a JWT of no issuer": ("Bearer e30.e30.", 401, "InvalidAuthHeader"),
    "a JWT of an unknown issuer": (
        f"Bearer e30.{encoded(json.dumps({'iss': 'https://nobody.example', 'sub': 'u'}))}.",
        401,
        "NoAuthProvider",
    ),
    "no admin key": ("Convex x", 403, "BadDeployKey"),
    "another deployment's admin key": ("Convex prod:other|0", 403, "BadDeployKey"),
    "an admin key that is no text": (b"Convex \xff", 403, "BadDeployKey"),
}


@pytest.mark.parametrize(
    ("value", "status", "code"), AUTHORIZATIONS.values(), ids=AUTHORIZATIONS.keys()
)
def test_authorization_that_is_none_is_refused(
    server: DevServer, value: str | bytes, status: int, code: str
):
    for target in (QUERY, "/api/mutation", "/api/syncline/push", "/api/nothing"):
        answer = ask(server, "POST", target, CALL, ("Authorization", value))
        assert refusal(answer) == (status, code)


@pytest.mark.parametrize(
    "identity", ["x", "é", encoded("[]"), encoded("{}"), encoded("{"), encoded("[" * 500)]
)
def test_identity_after_the_admin_key_must_be_one(server: DevServer, identity: str):
    answer = ask(server, "POST", QUERY, CALL, admin(server, f":{identity}"))
    assert refusal(answer) == (400, "InvalidAuthHeader")


def test_admin_key_in_the_address_is_checked_too(server: DevServer):
    for key in ("x", "%ff", "%00", ""):
        answer = ask(server, "POST", f"{QUERY}?adminKey={key}", CALL)
        assert refusal(answer) == (403, "BadDeployKey")


@pytest.mark.parametrize("version", ["", "npm", "1.2.3", "npm-1.x", "npm-" + "9" * 99, b"npm-\xff"])
def test_client_version_that_is_none_is_refused(server: DevServer, version: str | bytes):
    answer = ask(server, "POST", QUERY, CALL, ("Convex-Client", version))
    assert refusal(answer) == (400, "InvalidClientVersion")


@pytest.mark.parametrize("origin", [b"https://a.test", b"null", b"\xff", "é".encode()])
def test_preflight_and_call_of_any_origin_are_answered(server: DevServer, origin: bytes):
    asked = ("Access-Control-Request-Headers", "content-type,convex-client")
    allowed = ask(server, "OPTIONS", QUERY, b"", ("Origin", origin), asked)
    assert (allowed.status, allowed.body) == (204, b"")
    assert allowed.headers["Access-Control-Allow-Headers"] == asked[1]
    assert "POST" in allowed.headers["Access-Control-Allow-Methods"]
    refused = ask(server, "POST", QUERY, b"", ("Origin", origin))
    assert refusal(refused) == (400, "BadJsonBody")
    for answer in (allowed, refused):
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    if origin.isascii():
        assert refused.headers["Access-Control-Allow-Origin"] == origin.decode()


def test_request_id_can_not_add_headers_to_the_answer(server: DevServer):
    for given in (b"ab 12", b"\xff", b"a" * 5000, "é".encode()):
        answer = ask(server, "GET", "/version", b"", ("Convex-Request-Id", given))
        assert answer.status == 200
        assert len(answer.headers["Convex-Request-Id"]) <= 64


# WebSocket handshakes


@pytest.mark.parametrize("path", ["/api/1.x/sync", "/api/1/sync", "/api/1.48.0.1/sync"])
def test_version_in_the_address_of_the_websocket_must_be_one(server: DevServer, path: str):
    assert refusal(ask(server, "GET", path)) == (400, "InvalidClientVersion")


HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Upgrade", "h2c"),
        ("Connection", "close"),
        ("Sec-WebSocket-Version", "12"),
        ("Sec-WebSocket-Key", "short"),
        ("Sec-WebSocket-Key", "é"),
    ],
)
def test_handshake_that_is_none_is_refused(server: DevServer, name: str, value: str):
    headers = {**HANDSHAKE, name: value}
    for path in ("/api/sync", "/api/1.48.0/sync"):
        answer = ask(server, "GET", path, b"", *headers.items())
        assert refusal(answer) == (400, "WebSocketRequired")


# What is no HTTP

NO_HTTP = {
    "an unknown method": request_bytes("BREW", QUERY, CALL),
    "an unknown version": b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "the begin of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "line feeds alone": b"GET /version HTTP/1.1\nHost: a\n\n",
    "an address beyond ASCII": request_bytes("GET", "/é"),
    "a byte in a query": request_bytes("GET", b"/api/query?path=\xff"),
    "an address without a slash": request_bytes("GET", "version"),
    "a header without a colon": b"GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n",
    "a header with a space in its name": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "a null in a header": b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two lengths": request_bytes(
        "POST", QUERY, CALL, ("Content-Length", str(len(CALL))), ("Content-Length", "3")
    ),
    "the same length twice": request_bytes(
        "POST", QUERY, CALL, *[("Content-Length", str(len(CALL)))] * 2
    ),
    "a length below zero": request_bytes("POST", QUERY, CALL, ("Content-Length", "-1")),
    "a length that is no number": request_bytes("POST", QUERY, CALL, ("Content-Length", "1e3")),
    "a length beside chunks": request_bytes(
        "POST", QUERY, b"0\r\n\r\n", ("Content-Length", "5"), ("Transfer-Encoding", "chunked")
    ),
    "an unknown transfer encoding": request_bytes(
        "POST", QUERY, CALL, ("Transfer-Encoding", "rot13")
    ),
    "chunks without lengths": request_bytes(
        "POST", QUERY, b"zz\r\n" + CALL, ("Transfer-Encoding", "chunked")
    ),
    "a very long address": request_bytes("GET", "/" + "x" * 100_000),
    "a very long header": request_bytes("GET", "/version", b"", ("X", "x" * 100_000)),
    "very many headers": request_bytes(
        "GET", "/version", b"", *[(f"X{each}", "x") for each in range(5000)]
    ),
    "a body packed in an unknown way": request_bytes(
        "POST", QUERY, CALL, ("Content-Encoding", "br")
    ),
}


@pytest.mark.parametrize("sent", NO_HTTP.values(), ids=NO_HTTP.keys())
def test_what_is_no_http_is_refused_in_plain_text(server: DevServer, sent: bytes):
    answer = exchange(server, sent)
    assert answer is not None
    assert (answer.status, answer.headers["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert answer.body


def test_expectation_that_is_unknown_is_refused_and_the_known_one_met(server: DevServer):
    assert ask(server, "POST", QUERY, CALL, ("Expect", "more")).status == 417
    answer = ask(server, "POST", QUERY, CALL, ("Expect", "100-continue"))
    assert (answer.status, answer.json["status"]) == (200, "success")


# Admins


def archive(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return buffer.getvalue()


PUSHES = {
    "nothing": (b"", "BadPush"),
    "no zip": (b"PK\x03\x04 and no more", "BadPush"),
    "half a zip": (archive(**{"a.py": "x = 1"})[:-9], "BadPush"),
    "a way out": (archive(**{"../a.py": ""}), "BadPush"),
    "an absolute name": (archive(**{"/a.py": ""}), "BadPush"),
    "no Python": (archive(**{"a.sh": ""}), "BadPush"),
    "a file that is a folder too": (archive(**{"a.py": "", "a.py/b.py": ""}), "BadPush"),
    "a folder that is a file too": (archive(**{"a.py/b.py": "", "a.py": ""}), "BadPush"),
    "a name longer than files have": (archive(**{"é" * 140 + ".py": ""}), "BadPush"),
    "a name that is no module": (archive(**{"a b.py": ""}), "FunctionsNotLoadable"),
    "a syntax error": (archive(**{"a.py": "def"}), "FunctionsNotLoadable"),
    "bytes that are no source": (archive(**{"a.py": "\0"}), "FunctionsNotLoadable"),
    "a module that ends the process": (
        archive(**{"a.py": "raise SystemExit"}),
        "ModuleNotLoadable",
    ),
}


@pytest.mark.parametrize(("body", "code"), PUSHES.values(), ids=PUSHES.keys())
def test_push_that_is_none_changes_nothing(server: DevServer, body: bytes, code: str):
    answer = ask(server, "POST", "/api/syncline/push", body, admin(server))
    assert refusal(answer) == (400, code)


IMPORTS = {
    "a part of nothing": ("upload_part", b"x", "BadUpload"),
    "a part elsewhere": ("upload_part?uploadToken=../x&partNumber=1", b"x", "BadUpload"),
    "part 0": (f"upload_part?uploadToken={'0' * 32}&partNumber=0", b"x", "BadPartNumber"),
    "part 10000": (f"upload_part?uploadToken={'0' * 32}&partNumber=10000", b"x", "BadPartNumber"),
    "a part in other digits": (
        f"upload_part?uploadToken={'0' * 32}&partNumber=%D9%A1",
        b"x",
        "BadPartNumber",
    ),
    "no JSON": ("finish_upload", b"{", "BadJsonBody"),
    "no mode": ("finish_upload", b'{"import":{}}', "BadJsonBody"),
}


@pytest.mark.parametrize(("target", "body", "code"), IMPORTS.values(), ids=IMPORTS.keys())
def test_import_that_is_none_is_refused(server: DevServer, target: str, body: bytes, code: str):
    answer = ask(server, "POST", f"/api/import/{target}", body, admin(server))
    assert refusal(answer) == (400, code)


@pytest.mark.parametrize("import_id", ["", "x", "é", "j57000820c20a1g7104gm2rc1m70ynr8"])
def test_import_that_does_not_wait_can_not_be_confirmed(server: DevServer, import_id: str):
    body = json.dumps({"importId": import_id}).encode()
    answer = ask(server, "POST", "/api/perform_import", body, admin(server))
    assert refusal(answer) == (400, "ImportNotWaiting")

"""HTTP actions of `syncline dev`: routes, answers in one piece and in several, mistakes."""

import asyncio
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from tests.clients.server import DevServer, free_port
from tests.integration.deployed_project import DeployedProject

FUNCTIONS = Path(__file__).parent / "site_functions"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with DevServer(FUNCTIONS, tmp_path_factory.mktemp("site")) as running:
        yield running


def ask(
    server: DevServer, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, bytes, Message]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{server.site}{path}", body, named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def asked(server: DevServer, path: str, **options: Any) -> Any:
    status, body, _ = ask(server, path, **options)
    assert status == 200, body
    return json.loads(body)


def test_a_request_reaches_its_handler_as_it_was_sent(server: DevServer):
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        body = None if method == "GET" else b"x" * 1000
        seen = asked(server, "/echo?a=1&a=2&b=%20", method=method, body=body, x_sent="é")
        assert seen["method"] == method
        assert seen["url"] == urljoin(server.site, "/echo?a=1&a=2&b=%20")
        assert seen["query"] == [["a", "1"], ["a", "2"], ["b", " "]]
        assert seen["sent"] == ["é"]
        assert seen["size"] == len(body or b"")
    status, body, headers = ask(server, "/echo", method="HEAD")
    assert (status, body, headers["x-answer"]) == (200, b"", "yes")


def test_the_site_also_lies_below_http_on_the_main_port(server: DevServer):
    with urllib.request.urlopen(f"{server.url}/http/echo?a=1", timeout=30) as answer:
        assert json.load(answer)["query"] == [["a", "1"]]
    with urllib.request.urlopen(f"{server.url}/version", timeout=30) as answer:
        assert answer.status == 200


def test_a_webhook_is_stored_by_a_mutation(server: DevServer):
    status, body, _ = ask(server, "/hook", method="POST", body="größe".encode())
    assert status == 201
    assert "größe" in json.loads(body)


def test_an_exact_path_wins_over_prefixes_and_a_longer_one_over_a_shorter_one(server: DevServer):
    for path, answer in {
        "/files/exact": b"exact",
        "/files/exact/": b"any /files/exact/",
        "/files/": b"any /files/",
        "/files/images": b"any /files/images",
        "/files/images/a%20b": b"image /files/images/a b",
    }.items():
        assert ask(server, path)[:2] == (200, answer)


def test_what_is_not_routed_is_not_found(server: DevServer):
    for path, method in (("/none", "GET"), ("/files", "GET"), ("/hook", "GET"), ("/Echo", "GET")):
        status, body, _ = ask(server, path, method=method)
        assert (status, body) == (404, f"No HttpAction routed for {path}".encode())


def test_repeated_headers_of_an_answer_stay_apart(server: DevServer):
    _, _, headers = ask(server, "/cookies")
    assert [each.split(";")[0] for each in headers.get_all("set-cookie") or []] == ["a=1", "b=2"]


def test_pages_of_the_named_origins_may_read_a_shared_route(server: DevServer):
    _, _, named = ask(server, "/shared", Origin="https://app.example")
    assert named["access-control-allow-origin"] == "https://app.example"
    _, _, other = ask(server, "/shared", Origin="https://evil.example")
    assert other["access-control-allow-origin"] is None
    status, _, preflight = ask(
        server,
        "/shared",
        method="OPTIONS",
        Origin="https://app.example",
        Access_Control_Request_Method="POST",
    )
    assert status == 204
    assert preflight["access-control-allow-methods"] == "GET, POST"
    assert preflight["access-control-max-age"] == "86400"
    assert ask(server, "/echo", method="OPTIONS", Origin="https://app.example")[0] == 404


def test_failures_have_the_documented_body(server: DevServer):
    status, body, _ = ask(server, "/crash")
    crash = json.loads(body)
    assert status == 500
    assert crash["code"].startswith("[Request ID: ")
    assert crash["code"].endswith("Server Error: ValueError: boom")
    assert "at crash (functions/http.py:" in crash["trace"]
    status, body, _ = ask(server, "/refuse")
    assert (status, json.loads(body)["data"]) == (500, {"code": 7})
    status, body, _ = ask(server, "/nothing")
    assert status == 500
    assert "return a Response" in json.loads(body)["code"]


def test_a_foreign_token_is_nobody_s_and_a_signed_in_user_is_known(
    server: DevServer, tmp_path: Path
):
    assert asked(server, "/echo", Authorization="Bearer whsec_1234")["user"] is None
    assert asked(server, "/echo", Authorization="Basic dXNlcjpwYXNz")["user"] is None
    project = DeployedProject(server, tmp_path)
    token = project.syncline("auth", "token", "--subject", "ada", "--data", str(server.data))
    bearer = f"Bearer {token.stdout.strip()}"
    assert asked(server, "/echo", Authorization=bearer)["user"] == "ada"


def test_an_answer_is_streamed_while_it_is_made(server: DevServer):
    host = urlsplit(server.site)
    connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=30)
    connection.request("GET", "/stream")
    answer = connection.getresponse()
    assert answer.status == 200, f"{answer.read()}\n{server.log[-3000:]}"
    assert answer.read(6) == b"first "
    assert ask(server, "/hook", method="POST", body=b"go on")[0] == 201
    assert answer.read() == b"second"
    connection.close()


def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(server: DevServer):
    host = urlsplit(server.site)
    connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=30)
    connection.request("GET", "/breaks")
    answer = connection.getresponse()
    assert answer.status == 200, f"{answer.read()}\n{server.log[-3000:]}"
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()
    connection.close()


def test_a_stream_ends_when_its_client_leaves(server: DevServer):
    async def leave() -> None:
        host = urlsplit(server.site)
        reader, writer = await asyncio.open_connection(host.hostname, host.port)
        writer.write(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in await reader.readline(), server.log[-3000:]
        await reader.readexactly(200_000)
        writer.close()
        await writer.wait_closed()

    asyncio.run(leave())
    while b"client left" not in ask(server, "/hook", method="POST", body=b"look")[1]:
        pass


def test_a_mounted_application_answers_below_its_prefix(server: DevServer):
    ask(server, "/hook", method="POST", body=b"for the app")
    seen = asked(server, "/app/items/5")
    assert seen["item"] == 5
    assert "for the app" in seen["kept"]
    assert ask(server, "/app/items/five")[0] == 422
    assert ask(server, "/app/none")[:2] == (404, b'{"detail":"Not Found"}')


def test_a_body_above_the_limit_is_refused(server: DevServer):
    assert ask(server, "/echo", method="POST", body=b"x" * (20 * 2**20))[0] == 200
    status, body, _ = ask(server, "/echo", method="POST", body=b"x" * (20 * 2**20 + 1))
    assert status == 413
    assert json.loads(body)["code"] == "RequestTooLarge"


@pytest.mark.clients
def test_routes_are_in_the_function_spec(server: DevServer, tmp_path: Path):
    spec = json.loads(DeployedProject(server, tmp_path).convex("function-spec").stdout)
    assert {"functionType": "HttpAction", "method": "POST", "path": "/hook"} in spec["functions"]
    assert {"functionType": "HttpAction", "method": "GET", "path": "/files/*"} in spec["functions"]


def test_without_routes_the_site_says_so(tmp_path: Path):
    functions = tmp_path / "functions"
    functions.mkdir()
    (functions / "nothing.py").write_text("")
    with DevServer(functions, tmp_path / "project") as server:
        status, body, _ = ask(server, "/any")
    assert (status, body) == (
        404,
        b"This deployment does not have HTTP actions enabled.",
    )


def test_the_site_has_the_port_that_was_asked_for(tmp_path: Path):
    class OnItsPort(DevServer):
        wanted = free_port()

        def options(self) -> list[str]:
            return ["--site-port", str(self.wanted)]

    with OnItsPort(FUNCTIONS, tmp_path) as server:
        assert server.site == f"http://127.0.0.1:{OnItsPort.wanted}"
        assert asked(server, "/echo")["method"] == "GET"

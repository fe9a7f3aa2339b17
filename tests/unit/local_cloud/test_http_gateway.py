"""The HTTP API: events of payload format 2.0, answers, sizes and times."""

import asyncio
import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import aiohttp
import msgspec
import pytest
from yarl import URL

from syncline.local_cloud.gateway_limits import GatewayLimits
from syncline.local_cloud.ports import FunctionFailed
from tests.unit.local_cloud.cloud_world import ACCOUNT, REGION, a_world

LIMITS = GatewayLimits()


@dataclass
class Exchange:
    """One request through the front door: the event that it became, and the answer."""

    event: Mapping[str, Any] | None
    status: int
    headers: Mapping[str, str]
    cookies: list[str]
    body: bytes


def exchange(
    method: str = "GET",
    path: str = "/",
    *,
    answer: object = None,
    limits: GatewayLimits = LIMITS,
    **request: Any,
) -> Exchange:
    async def scenario() -> Exchange:
        async with a_world(limits=limits) as world, aiohttp.ClientSession() as session:
            world.functions.will_answer("http", {"statusCode": 200} if answer is None else answer)
            url = URL(world.door.url + path, encoded=True)
            async with session.request(method, url, **request) as got:
                body = await got.read()
            event = None if world.functions.events.empty() else (await world.functions.next())[1]
            cookies = got.headers.getall("set-cookie", [])
            return Exchange(event, got.status, got.headers, cookies, body)

    return asyncio.run(scenario())


# Events


def test_the_event_has_the_shape_of_payload_format_2():
    event = exchange(
        "POST",
        "/api/query?a=1&b=x%20y&a=2",
        data=b'{"path": "t:l"}',
        headers=[
            ("Content-Type", "application/json"),
            ("Authorization", "Bearer abc"),
            ("X-Twice", "1"),
            ("X-Twice", "2"),
            ("Cookie", "s=1; t=2"),
        ],
    ).event
    assert event is not None
    context = event["requestContext"]
    assert event["version"] == "2.0"
    assert event["routeKey"] == context["routeKey"] == "$default"
    assert event["rawPath"] == context["http"]["path"] == "/api/query"
    assert event["rawQueryString"] == "a=1&b=x%20y&a=2"
    assert event["queryStringParameters"] == {"a": "1,2", "b": "x y"}
    assert event["cookies"] == ["s=1", "t=2"]
    assert event["body"] == '{"path": "t:l"}'
    assert event["isBase64Encoded"] is False
    headers = event["headers"]
    assert headers["authorization"] == "Bearer abc"
    assert headers["x-twice"] == "1,2"
    assert headers["host"] == f"httpapi123.execute-api.{REGION}.amazonaws.com"
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-for"] == "127.0.0.1, 192.0.2.1"
    assert "cookie" not in headers
    assert all(name == name.lower() for name in headers)
    assert context["http"]["method"] == "POST"
    assert context["http"]["sourceIp"] == "192.0.2.1"
    assert context["http"]["userAgent"].startswith("Python")
    assert (context["accountId"], context["apiId"]) == (ACCOUNT, "httpapi123")
    assert context["stage"] == "$default"
    assert context["timeEpoch"] > 1_700_000_000_000


def test_a_request_without_body_query_and_cookies_has_none_of_the_three():
    event = exchange("GET", "/version").event
    assert event is not None
    assert not {"body", "cookies", "queryStringParameters"} & set(event)
    assert event["rawQueryString"] == ""
    assert event["isBase64Encoded"] is False


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("/api/run/a%20b/%C3%A9", "/api/run/a b/é"),
        ("/a%2Fb", "/a/b"),
        ("/a%3Fb=1?c=2", "/a"),
        ("/a%25b", "/a%b"),
    ],
)
def test_the_api_decodes_the_path_and_ends_it_at_a_decoded_question_mark(path, raw):
    event = exchange("GET", path).event
    assert event is not None
    assert event["rawPath"] == raw


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("text/plain", b"a", ("a", False)),
        ("text/csv; charset=utf-8", "é".encode(), ("é", False)),
        ("Application/JSON", b"{}", ("{}", False)),
        ("application/xml", b"<a/>", ("<a/>", False)),
        ("application/octet-stream", b"a", ("YQ==", True)),
        ("application/x-www-form-urlencoded", b"a=1", ("YT0x", True)),
        ("application/json", b"\xff", ("/w==", True)),
        ("image/png", b"\x00\xff", ("AP8=", True)),
    ],
)
def test_bodies_that_are_no_text_are_base64(content_type, body, expected):
    event = exchange("POST", data=body, headers={"Content-Type": content_type}).event
    assert event is not None
    assert (event["body"], event["isBase64Encoded"]) == expected


def test_a_compressed_body_arrives_as_it_was_sent():
    body = gzip.compress(b"{}")
    event = exchange("POST", data=body, headers={"Content-Encoding": "gzip"}).event
    assert event is not None
    assert base64.b64decode(event["body"]) == body
    assert event["headers"]["content-encoding"] == "gzip"


# Answers


def test_an_answer_becomes_status_headers_cookies_and_body():
    answer = {
        "statusCode": 201,
        "headers": {"X-Number": 7, "x-true": True, "Content-Type": "text/html"},
        "cookies": ["a=1; Path=/", "b=2"],
        "body": "<é>",
    }
    got = exchange(answer=answer)
    assert got.status == 201
    assert got.headers["x-number"] == "7"
    assert got.headers["x-true"] == "true"
    assert got.headers["content-type"] == "text/html"
    assert got.cookies == ["a=1; Path=/", "b=2"]
    assert got.body == "<é>".encode()
    assert got.headers["apigw-requestid"].endswith("=")


def test_a_base64_answer_is_bytes():
    answer = {"statusCode": 200, "body": "AP8=", "isBase64Encoded": True}
    assert exchange(answer=answer).body == b"\x00\xff"


def test_an_answer_without_type_is_plain_text():
    got = exchange(answer={"statusCode": 200, "body": "a"})
    assert got.headers["content-type"] == "text/plain;charset=UTF-8"


@pytest.mark.parametrize(
    ("answer", "body"),
    [({"n": [1, None]}, b'{"n":[1,null]}'), ([1], b"[1]"), ("text", b"text"), (7, b"7")],
)
def test_an_answer_without_status_is_the_body_itself(answer, body):
    got = exchange(answer=answer)
    assert (got.status, got.headers["content-type"]) == (200, "application/json")
    assert got.body == body


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": "200"},
        {"statusCode": 99},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "headers": {"a": ["b"]}},
        {"statusCode": 200, "cookies": "a=1"},
        {"statusCode": 200, "body": "%%", "isBase64Encoded": True},
        FunctionFailed({"errorType": "ValueError", "errorMessage": "secret"}),
    ],
)
def test_an_answer_that_can_not_be_read_and_a_failing_function_are_answered_500(answer):
    got = exchange(answer=answer)
    assert (got.status, json.loads(got.body)) == (500, {"message": "Internal Server Error"})


def test_head_is_answered_without_body():
    got = exchange("HEAD", answer={"statusCode": 200, "body": "text"})
    assert (got.status, got.body) == (200, b"")
    assert got.event is not None
    assert got.event["requestContext"]["http"]["method"] == "HEAD"


# Limits


def test_a_function_that_takes_too_long_is_answered_503():
    async def scenario():
        async with a_world(http_timeout_ms=50) as world, aiohttp.ClientSession() as session:

            async def never(_):
                await asyncio.Event().wait()

            world.functions.answers["http"] = never
            async with session.get(world.door.url) as got:
                return got.status, await got.json()

    assert asyncio.run(scenario()) == (503, {"message": "Service Unavailable"})


@pytest.mark.parametrize(("extra", "status"), [(0, 200), (1, 413)])
def test_a_body_has_its_greatest_size(extra, status):
    # The invocation's own limit is out of the way, to see the API's.
    limits = replace(LIMITS, http_body_bytes=1000, invocation_bytes=2**24)
    got = exchange("POST", data=b"x" * (1000 + extra), limits=limits)
    assert got.status == status
    assert (got.event is None) is (status == 413)


def test_a_body_above_10_mb_is_refused_at_the_real_limit():
    got = exchange("POST", data=BytesIO(b"x" * (10 * 2**20 + 1)))
    assert (got.status, json.loads(got.body)) == (413, {"message": "Request Entity Too Large"})


@pytest.mark.parametrize(("less", "status"), [(0, 200), (1, 413)])
def test_an_event_has_its_greatest_size_as_json(less, status):
    sent = {"data": b"x" * 5000, "headers": {"Content-Type": "text/plain", "User-Agent": "a"}}
    event = exchange("POST", **sent).event
    size = len(msgspec.json.encode(event))
    limits = replace(LIMITS, invocation_bytes=size - less)
    assert exchange("POST", limits=limits, **sent).status == status


@pytest.mark.parametrize(("extra", "status"), [(0, 200), (1, 500)])
def test_an_answer_has_its_greatest_size_as_json(extra, status):
    answer = {"statusCode": 200, "body": "x" * 1000}
    limits = replace(LIMITS, answer_bytes=len(msgspec.json.encode(answer)))
    answer["body"] += "x" * extra
    assert exchange(answer=answer, limits=limits).status == status


def test_a_throttled_request_is_answered_429():
    got = exchange(limits=replace(LIMITS, requests_burst=0))
    assert (got.status, json.loads(got.body)) == (429, {"message": "Too Many Requests"})

"""Events of the HTTP API to requests and back, as the local gateway makes and reads them."""

import base64
import gzip
import json
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.aws.http_events import ANSWER_BYTES_MAX, request_of, response_event
from syncline.drivers.http_api import BODY_BYTES_MAX
from syncline.drivers.http_messages import HttpError, HttpRequest, HttpResponse, json_response
from syncline.local_cloud.distribution import OriginRequest, Pairs
from syncline.local_cloud.http_payload import http_answer, http_event
from syncline.local_cloud.ports import HttpApi

API = HttpApi("api1234567", "http", 29_000)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = st.from_regex(r"\A[a-zA-Z][a-zA-Z-]{0,10}\Z").filter(
    lambda name: name.lower() not in {"host", "cookie", "content-encoding"}
)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


def through_gateway(
    path: str = "/", query: str = "", headers: Pairs = (), body: bytes = b"", method: str = "POST"
) -> HttpRequest:
    asked = OriginRequest(method, path, query, headers, "198.51.100.7")
    event = http_event(API, "123456789012", "eu-central-1", asked, body, 1_800_000_000.0)
    return request_of(json.loads(json.dumps(event)))


@given(
    path=TEXTS.filter(lambda text: "?" not in text),
    query=st.lists(st.tuples(TEXTS.filter(bool), TEXTS)),
    headers=st.dictionaries(NAMES.map(str.lower), VALUES),
    body=st.binary() | TEXTS.map(str.encode),
    kind=st.sampled_from(["application/json", "text/plain", "application/octet-stream"]),
)
def test_a_request_comes_through_the_gateway_as_it_was_sent(
    path: str, query: list[tuple[str, str]], headers: dict[str, str], body: bytes, kind: str
):
    sent = {**headers, "content-type": kind}
    got = through_gateway("/" + quote(path), urlencode(query), tuple(sent.items()), body)
    assert (got.method, got.path, got.body) == ("POST", "/" + path, body)
    assert dict(got.query) == dict(reversed(query))
    assert {name: got.headers[name] for name in sent} == sent


def test_the_path_is_not_decoded_a_second_time():
    assert through_gateway("/api/run/a%2541%252F").path == "/api/run/a%41%2F"


def test_of_a_repeated_parameter_the_first_value_counts():
    query = through_gateway(query="a=1&a=2&b=&c=x+y%2B").query
    assert query == {"a": "1", "b": "", "c": "x y+"}


def test_header_names_are_lower_case_and_cookies_are_one_header_again():
    headers = (("Convex-Client", "npm-1.48.0"), ("Cookie", "a=1; b=2"), ("Cookie", "c=3"))
    got = through_gateway(headers=headers).headers
    assert (got["convex-client"], got["cookie"]) == ("npm-1.48.0", "a=1; b=2; c=3")


def bare(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b'{"a":1}')),
        ("GZIP", gzip.compress(b'{"a"') + gzip.compress(b":1}")),
        ("deflate", zlib.compress(b'{"a":1}')),
        ("deflate", bare(b'{"a":1}')),
        ("identity", b'{"a":1}'),
        ("br", b'{"a":1}'),
    ],
    ids=["gzip", "two-gzip-members", "zlib", "bare-deflate", "identity", "unknown"],
)
def test_compressed_bodies_are_unpacked(encoding: str, body: bytes):
    headers = (("content-encoding", encoding), ("content-type", "application/json"))
    assert through_gateway(headers=headers, body=body).body == b'{"a":1}'


def test_an_empty_body_is_no_matter_what_it_claims_to_be():
    assert through_gateway(headers=(("content-encoding", "gzip"),)).body == b""


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"no gzip"),
        ("gzip", gzip.compress(b"cut off")[:-1]),
        ("gzip", gzip.compress(b"x") + b"rest"),
        ("deflate", zlib.compress(b"cut off")[:-1]),
        ("deflate", b"\xff\xff"),
    ],
    ids=["no-gzip", "cut-gzip", "gzip-and-rest", "cut-zlib", "no-deflate"],
)
def test_a_body_that_is_not_encoded_as_it_says_is_refused(encoding: str, body: bytes):
    with pytest.raises(HttpError) as refused:
        through_gateway(headers=(("content-encoding", encoding),), body=body)
    assert (refused.value.status, refused.value.code) == (400, "BadBody")


def test_a_body_unpacks_to_the_limit_and_not_beyond():
    headers = (("content-encoding", "gzip"),)
    fits = through_gateway(headers=headers, body=gzip.compress(bytes(BODY_BYTES_MAX)))
    assert len(fits.body) == BODY_BYTES_MAX
    with pytest.raises(HttpError) as refused:
        through_gateway(headers=headers, body=gzip.compress(bytes(BODY_BYTES_MAX + 1)))
    assert refused.value.code == "RequestTooLarge"


def test_a_body_that_is_no_base64_is_refused():
    context = {"http": {"method": "POST"}}
    event = {"rawPath": "/", "rawQueryString": "", "headers": {}, "requestContext": context}
    with pytest.raises(HttpError) as refused:
        request_of({**event, "body": "%%%", "isBase64Encoded": True})
    assert refused.value.code == "BadBody"


@given(
    status=st.integers(200, 599),
    body=st.binary() | TEXTS.map(str.encode),
    kind=st.sampled_from(["application/json", "text/plain; charset=utf-8", "application/zip"]),
    headers=st.dictionaries(NAMES.filter(lambda name: name.lower() != "content-type"), VALUES),
)
def test_a_response_comes_through_the_gateway_as_it_was_meant(
    status: int, body: bytes, kind: str, headers: dict[str, str]
):
    given_ = response_event(HttpResponse(status, body, kind, tuple(headers.items())))
    answer = http_answer(json.loads(json.dumps(given_)))
    assert (answer.status, answer.body) == (status, body)
    expected = {(name.lower(), value) for name, value in headers.items()}
    assert {*answer.headers} == {("content-type", kind), *expected}


def test_texts_travel_as_they_are_and_bytes_as_base64():
    event = response_event(json_response({"a": "ä"}))
    assert (event["body"], event["isBase64Encoded"]) == ('{"a":"ä"}', False)
    event = response_event(HttpResponse(200, b"\xff", "text/plain"))
    assert (event["body"], event["isBase64Encoded"]) == ("/w==", True)


def test_a_header_that_is_there_twice_has_both_values():
    twice = HttpResponse(200, b"", headers=(("Vary", "Origin"), ("Vary", "Accept")))
    assert response_event(twice)["headers"] == {
        "Content-Type": "application/json",
        "Vary": "Origin, Accept",
    }


def test_a_body_that_is_a_file_is_its_content(tmp_path: Path):
    file = tmp_path / "a.zip"
    file.write_bytes(b"PK\x00\xff")
    event = response_event(HttpResponse(200, file, "application/zip"))
    assert base64.b64decode(str(event["body"])) == b"PK\x00\xff"


def size(event: dict[str, object]) -> int:
    return len(json.dumps(event))


def error_of(event: dict[str, object]) -> dict[str, Any]:
    assert event["statusCode"] == 413
    return json.loads(str(event["body"]))


def test_a_text_fits_up_to_lambdas_limit_and_one_byte_more_is_refused():
    plain = response_event(HttpResponse(200, b"", "text/plain"))
    room = ANSWER_BYTES_MAX - size(plain)
    fits = response_event(HttpResponse(200, b"x" * room, "text/plain"))
    assert size(fits) == ANSWER_BYTES_MAX
    assert http_answer(fits).body == b"x" * room
    refused = response_event(HttpResponse(200, b"x" * (room + 1), "text/plain"))
    assert error_of(refused)["code"] == "ResponseTooLarge"


def test_bytes_fit_up_to_lambdas_limit_and_one_group_of_three_more_is_refused():
    empty = response_event(HttpResponse(200, b"\xff", "application/zip"))
    room = (ANSWER_BYTES_MAX - (size(empty) - 4)) // 4 * 3
    fits = response_event(HttpResponse(200, bytes(room), "application/zip"))
    assert ANSWER_BYTES_MAX - 4 < size(fits) <= ANSWER_BYTES_MAX
    refused = response_event(HttpResponse(200, bytes(room + 1), "application/zip"))
    assert error_of(refused)["code"] == "ResponseTooLarge"


def test_a_text_that_escapes_make_too_long_travels_as_base64():
    body = "ä".encode() * (ANSWER_BYTES_MAX // 5)
    event = response_event(HttpResponse(200, body, "text/plain"))
    assert event["isBase64Encoded"] is True
    assert size(event) <= ANSWER_BYTES_MAX
    assert http_answer(event).body == body


def test_what_is_too_large_says_what_to_do_and_stays_readable_for_pages(tmp_path: Path):
    file = tmp_path / "snapshot_1.zip"
    with file.open("wb") as target:
        target.truncate(ANSWER_BYTES_MAX + 1)
    headers = (
        ("Content-Disposition", "attachment"),
        ("Access-Control-Allow-Origin", "https://a.example"),
    )
    event = response_event(HttpResponse(200, file, "application/zip", headers))
    message = error_of(event)["message"]
    assert "`syncline export`" in message
    assert "page the query" in message
    assert event["headers"] == {
        "Content-Type": "application/json",
        "Access-Control-Allow-Origin": "https://a.example",
    }

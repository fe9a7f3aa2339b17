"""CloudFront's part: which API a path leads to, and the viewer function that is really run."""

import asyncio
import json

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from syncline.local_cloud.distribution import Distribution, OriginRequest
from syncline.local_cloud.viewer_function import ViewerFunction, ViewerFunctionError
from tests.unit.local_cloud.cloud_world import VIEWER_FUNCTION, a_world


def asked(path: str, query: str = "", headers=()) -> OriginRequest:
    return OriginRequest("GET", path, query, headers, "203.0.113.7")


def rewritten(code: str, request: OriginRequest):
    async def scenario():
        function = ViewerFunction(code)
        await function.start()
        try:
            return await Distribution(["/*"], function).to_socket_origin(request)
        finally:
            await function.stop()

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/sync", True),
        ("/api/1.48.0/sync", True),
        ("/api/a/b/sync", True),
        ("/api//sync", True),
        ("/api/sync/", False),
        ("/api/Sync", False),
        ("/apixsync", False),
        ("/", False),
        ("/live", False),
    ],
)
def test_path_patterns_are_read_as_cloudfront_reads_them(path, expected):
    patterns = ("/api/sync", "/api/*/sync")
    assert Distribution(patterns, None).leads_to_sockets(path) is expected


def test_a_question_mark_in_a_pattern_is_one_character():
    distribution = Distribution(["/v?/[x]"], None)
    assert distribution.leads_to_sockets("/v1/[x]")
    assert not distribution.leads_to_sockets("/v12/[x]")
    assert not distribution.leads_to_sockets("/v1/x")


def test_the_viewer_function_leads_to_the_stage_and_carries_the_version_along():
    request = asked("/api/1.48.0/sync", "a=%20&client=forged&a=2&b", (("Convex-Client", "npm-1"),))
    answer = rewritten(VIEWER_FUNCTION, request)
    assert isinstance(answer, OriginRequest)
    assert answer.path == "/live"
    assert answer.query == "a=%20&a=2&b=&client=1.48.0"
    assert answer.headers == (("Convex-Client", "npm-1"),)


def test_a_path_that_the_viewer_function_refuses_is_answered_by_it():
    answer = rewritten(VIEWER_FUNCTION, asked("/api/a/b/sync"))
    assert not isinstance(answer, OriginRequest)
    assert answer.status == 404


def test_a_viewer_function_may_be_asynchronous_and_answer_headers_and_a_body():
    code = """async function handler(event) {
        return { statusCode: 418, headers: { 'x-a': { value: '1' } }, body: event.viewer.ip };
    }"""
    answer = rewritten(code, asked("/api/sync"))
    assert not isinstance(answer, OriginRequest)
    assert (answer.status, answer.headers, answer.body) == (418, (("x-a", "1"),), "203.0.113.7")


@pytest.mark.parametrize(
    "code",
    [
        "function handler(event) { throw new Error('no'); }",
        "function handler(event) { while (true) {} }",
        "function handler(event) { return require('fs'); }",
        "function handler(event) { return process.env; }",
        "function handler(event) { return eval('1'); }",
        "function handler(event) {}",
        "syntax error",
    ],
)
def test_a_viewer_function_that_fails_or_leaves_its_language_is_answered_503(code):
    answer = rewritten(code, asked("/api/sync"))
    assert not isinstance(answer, OriginRequest)
    assert answer.status == 503


def test_a_path_of_the_http_api_goes_through_the_viewer_function_where_the_template_says_so():
    code = "function handler(event) { return { statusCode: 413, body: event.request.method }; }"

    async def scenario():
        function = ViewerFunction(code)
        await function.start()
        distribution = Distribution((), function, ["/api/import/upload_part"])
        part = OriginRequest("POST", "/api/import/upload_part", "", (), "203.0.113.7")
        other = OriginRequest("POST", "/api/import/start_upload", "", (), "203.0.113.7")
        try:
            return [await distribution.to_http_origin(part)], [
                await distribution.to_http_origin(other),
                other,
            ]
        finally:
            await function.stop()

    (refused,), (passed, other) = asyncio.run(scenario())
    assert not isinstance(refused, OriginRequest)
    assert (refused.status, refused.body) == (413, "POST")
    assert passed is other


def test_one_failing_request_leaves_the_next_ones_their_own_answers():
    code = """function handler(event) {
        if (event.request.uri === '/fail') throw new Error('no');
        return event.request;
    }"""

    async def scenario():
        function = ViewerFunction(code)
        await function.start()
        try:

            async def run(uri):
                return (await function.run({"request": {"uri": uri}}))["uri"]

            paths = ["/1", "/2", "/fail", "/3"]
            return await asyncio.gather(*map(run, paths), return_exceptions=True)
        finally:
            await function.stop()

    first, second, failed, third = asyncio.run(scenario())
    assert (first, second, third) == ("/1", "/2", "/3")
    assert isinstance(failed, ViewerFunctionError)


def test_a_function_that_was_not_started_says_so():
    with pytest.raises(ViewerFunctionError, match="has not been started"):
        asyncio.run(ViewerFunction("").run({}))


def test_without_the_viewer_function_the_gateway_refuses_every_path_but_its_stage():
    async def scenario():
        async with a_world(viewer_function=None) as world:
            with pytest.raises(InvalidStatus) as raised:
                await connect(world.socket_url)
            return raised.value.response

    response = asyncio.run(scenario())
    assert response.status_code == 403
    assert json.loads(response.body)["message"] == "Forbidden"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/sync", 403), ("POST", "/api/sync", 403), ("GET", "/api/a/b/sync", 404)],
)
def test_what_is_no_handshake_on_a_socket_path_is_refused(method, path, status):
    async def scenario():
        async with (
            a_world() as world,
            aiohttp.ClientSession() as session,
            session.request(method, world.door.url + path) as answer,
        ):
            assert world.functions.events.empty()
            return answer.status

    assert asyncio.run(scenario()) == status

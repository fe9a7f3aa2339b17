"""The HTTP API in front of a deployment that answers by a table."""

import base64
from pathlib import Path

import orjson
import pytest

from syncline.drivers.admin_key import admin_key
from syncline.drivers.answers import Answer
from syncline.drivers.http_api import HttpApi
from syncline.drivers.usage_counters import FunctionUsage, Usage
from syncline.errors import ConflictError, CorruptionError, UnavailableError
from syncline.values import wire_json
from syncline.values.value import Int64
from tests.unit.drivers.fake_deployment import NAME, SECRET, FakeDeployment, api_of, respond

ADMIN = f"Convex {admin_key(NAME, SECRET)}"
MIXED = wire_json.encode({"n": Int64(7), "b": b"\x00\x01", "f": float("nan"), "x": 1})


@pytest.fixture
def deployment() -> FakeDeployment:
    return FakeDeployment()


@pytest.fixture
def api(deployment: FakeDeployment, tmp_path: Path) -> HttpApi:
    return api_of(deployment, tmp_path)


def call(path: str, args: object = None, **more: object) -> bytes:
    return orjson.dumps({"path": path, "args": args if args is not None else {}, **more})


@pytest.mark.parametrize("name", ["tasks:get", "tasks.js:get"])
@pytest.mark.parametrize("args", [{"a": 1.0}, [{"a": 1.0}]])
def test_a_query_reaches_the_engine_with_its_arguments_untouched(
    api: HttpApi, deployment: FakeDeployment, name: str, args: object
):
    deployment.answers["tasks:get"] = Answer(5, b'[{"n":1.0}]', log_lines=("[LOG] 'x'",))
    response = respond(api, "POST", "/api/query", call(name, args))
    assert response.status == 200
    assert response.body == (b'{"status":"success","value":[{"n":1.0}],"logLines":["[LOG] \'x\'"]}')
    assert deployment.calls[0][:3] == ("query", "tasks:get", orjson.dumps(args))


def test_a_path_without_function_means_default(api: HttpApi, deployment: FakeDeployment):
    deployment.answers["tasks:default"] = Answer(5, b"null")
    assert respond(api, "POST", "/api/mutation", call("tasks")).body == (
        b'{"status":"success","value":null}'
    )
    assert deployment.calls[0][0] == "mutation"


def test_a_failing_function_is_status_200_with_its_data(api: HttpApi, deployment: FakeDeployment):
    deployment.answers["t:f"] = Answer(5, None, "[Request ID: 1] Server Error", b'{"code":3.0}')
    response = respond(api, "POST", "/api/mutation", call("t:f"))
    assert response.status == 200
    assert orjson.loads(response.body) == {
        "status": "error",
        "errorMessage": "[Request ID: 1] Server Error",
        "errorData": {"code": 3.0},
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, {"n": "7", "b": "AAE=", "f": "NaN", "x": 1.0}),
        ("json", {"n": "7", "b": "AAE=", "f": "NaN", "x": 1.0}),
        ("convex_clean_json", {"n": "7", "b": "AAE=", "f": "NaN", "x": 1.0}),
        ("convex_encoded_json", orjson.loads(MIXED)),
        ("convex_json", orjson.loads(MIXED)),
        (
            "export_json",
            {"n": 7, "b": {"$bytes": "AAE="}, "f": {"$float": "AAAAAAAA+H8="}, "x": 1.0},
        ),
    ],
)
def test_results_come_in_the_format_asked_for(
    api: HttpApi, deployment: FakeDeployment, name: str | None, expected: object
):
    deployment.answers["t:f"] = Answer(5, MIXED)
    body = call("t:f", format=name) if name else call("t:f")
    assert orjson.loads(respond(api, "POST", "/api/query", body).body)["value"] == expected


def test_numbers_keep_their_point_in_every_format(api: HttpApi, deployment: FakeDeployment):
    deployment.answers["t:f"] = Answer(5, b"[1.0]")
    for name in ("json", "convex_encoded_json", "export_json"):
        body = respond(api, "POST", "/api/query", call("t:f", format=name)).body
        assert b"[1.0]" in body


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "BadJsonBody"),
        (b"", "BadJsonBody"),
        (b"[]", "BadJsonBody"),
        (b'{"args":{}}', "BadJsonBody"),
        (b'{"path":"t:f","args":{"a":"\xff"}}', "BadJsonBody"),
        (b'{"path":"t:f","args":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "BadJsonBody"),
        (b'{"path":"t:f","args":{"a":NaN}}', "BadJsonBody"),
        (call("t:f", [1, 2]), "BadArgs"),
        (call("t:f", [[]]), "BadArgs"),
        (call("t:f", 3), "BadArgs"),
        (call("t:f", format="xml"), "BadFormat"),
        (call("t.py:f"), "BadConvexFunctionIdentifier"),
        (call(""), "BadConvexFunctionIdentifier"),
        (call("t:f", componentPath="child"), "ComponentNotFound"),
        (b'{"path":"t:f","args":{"a":"' + b"x" * 2**24 + b'"}}', "RequestTooLarge"),
    ],
)
def test_requests_that_never_reach_a_function_are_400_and_say_why(
    api: HttpApi, deployment: FakeDeployment, body: bytes, code: str
):
    response = respond(api, "POST", "/api/query", body)
    answer = orjson.loads(response.body)
    assert (response.status, answer["code"]) == (400, code)
    assert answer["message"]
    assert not deployment.calls


def test_the_timestamp_of_query_ts_is_the_one_query_at_ts_reads_at(
    api: HttpApi, deployment: FakeDeployment
):
    deployment.answers["t:f"] = Answer(100, b"1.0")
    for method in ("GET", "POST"):
        ts = orjson.loads(respond(api, method, "/api/query_ts").body)["ts"]
        assert ts == "ZAAAAAAAAAA="
    deployment.ts = 200
    respond(api, "POST", "/api/query_at_ts", call("t:f", ts=ts))
    assert deployment.calls[0][4] == 100


@pytest.mark.parametrize("ts", [None, "nonsense", base64.b64encode(b"short").decode()])
def test_query_at_ts_needs_a_timestamp(api: HttpApi, ts: str | None):
    body = call("t:f", ts=ts) if ts else call("t:f")
    assert respond(api, "POST", "/api/query_at_ts", body).status == 400


def test_a_batch_is_answered_in_order_at_one_timestamp(api: HttpApi, deployment: FakeDeployment):
    deployment.answers |= {"t:a": Answer(5, b"1.0"), "t:b": Answer(5, None, "no")}
    body = orjson.dumps({"queries": [{"path": "t:b"}, {"path": "t:a", "args": {}}]})
    response = respond(api, "POST", "/api/query_batch", body)
    assert orjson.loads(response.body) == {
        "results": [
            {"status": "error", "errorMessage": "no"},
            {"status": "success", "value": 1.0},
        ]
    }
    assert {at for *_, at in deployment.calls} == {100}


def test_a_query_can_be_asked_by_get(api: HttpApi, deployment: FakeDeployment):
    deployment.answers["t:f"] = Answer(5, b"1.0")
    query = {"path": "t:f", "args": '{"a":1}'}
    assert respond(api, "GET", "/api/query", query=query).status == 200
    assert deployment.calls[0][2] == b'{"a":1}'
    assert respond(api, "GET", "/api/query").status == 400


@pytest.mark.parametrize(("kind", "address"), [("mutation", "dir/t/f"), ("query", "dir/t/g")])
def test_run_finds_the_kind_of_a_function_by_its_address(
    api: HttpApi, deployment: FakeDeployment, kind: str, address: str
):
    path = f"dir/t:{address[-1]}"
    deployment.declare(path, kind)
    deployment.answers[path] = Answer(5, b"null")
    assert respond(api, "POST", f"/api/run/{address}", b'{"args":{"a":1}}').status == 200
    assert deployment.calls[0][:3] == (kind, path, b'{"a":1}')


def test_run_needs_a_module_and_a_function(api: HttpApi):
    assert respond(api, "POST", "/api/run/t", b"{}").status == 404


def test_any_function_may_be_called_by_admins_only(api: HttpApi, deployment: FakeDeployment):
    deployment.declare("t:f", "mutation")
    deployment.answers["t:f"] = Answer(5, b"null")
    assert respond(api, "POST", "/api/function", call("t:f")).status == 403
    assert respond(api, "POST", "/api/function", call("t:f"), authorization=ADMIN).status == 200
    assert deployment.calls[0][0] == "mutation"
    assert deployment.calls[0][3].is_admin


def test_an_action_is_called_as_whoever_the_header_names(api: HttpApi, deployment: FakeDeployment):
    deployment.answers["t:f"] = Answer(0, b'"sent"', log_lines=("[LOG] 'mail'",))
    answer = orjson.loads(respond(api, "POST", "/api/action", call("t:f")).body)
    assert answer == {"status": "success", "value": "sent", "logLines": ["[LOG] 'mail'"]}
    assert [(kind, path) for kind, path, *_ in deployment.calls] == [("action", "t:f")]


def test_run_and_function_call_an_action_by_what_it_is_declared_as(
    api: HttpApi, deployment: FakeDeployment
):
    deployment.declare("t:f", "action")
    deployment.answers["t:f"] = Answer(0, b"1.0")
    respond(api, "POST", "/api/run/t/f", b"{}")
    respond(api, "POST", "/api/function", call("t:f"), authorization=ADMIN)
    assert [kind for kind, *_ in deployment.calls] == ["action", "action"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnavailableError("OutOfRetention", "too old"), 503),
        (ConflictError("Conflict", "again"), 503),
        (CorruptionError("Broken", "look"), 500),
        (ZeroDivisionError("secret detail"), 500),
    ],
)
def test_failures_of_the_server_have_their_status_and_tell_no_secrets(
    api: HttpApi, deployment: FakeDeployment, error: Exception, status: int
):
    deployment.answers["t:f"] = error
    response = respond(api, "POST", "/api/query", call("t:f"))
    assert response.status == status
    assert set(orjson.loads(response.body)) == {"code", "message"}
    assert b"secret" not in response.body


def test_exhausted_conflicts_are_503(api: HttpApi, deployment: FakeDeployment):
    deployment.answers["t:f"] = Answer(5, None, "[Request ID: 1] Server Error\nx", conflict=True)
    response = respond(api, "POST", "/api/mutation", call("t:f"))
    assert response.status == 503
    assert orjson.loads(response.body)["code"] == "OptimisticConcurrencyControlFailure"


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("npm-1.48.0", 200),
        ("npm-cli-1.48.0", 200),
        ("python-0.8.1", 200),
        ("npm-1.49.0-alpha.2", 200),
        ("actions-1.0.0", 200),
        ("npm", 400),
        ("1.48.0", 400),
        ("npm-1.x", 400),
        ("", 400),
    ],
)
def test_the_client_version_must_be_well_formed(api: HttpApi, version: str, status: int):
    assert respond(api, "GET", "/api/query_ts", convex_client=version).status == status


def test_pages_of_other_origins_may_read_answers_and_errors(api: HttpApi):
    for path in ("/api/query_ts", "/api/nothing", "/version"):
        headers = dict(respond(api, "GET", path, origin="https://a.test").headers)
        assert headers["Access-Control-Allow-Origin"] == "https://a.test"
        assert headers["Access-Control-Allow-Credentials"] == "true"


def test_a_preflight_is_answered_for_every_path(api: HttpApi):
    response = respond(
        api,
        "OPTIONS",
        "/api/query",
        origin="https://a.test",
        access_control_request_headers="content-type,convex-client",
    )
    headers = dict(response.headers)
    assert response.status == 204
    assert headers["Access-Control-Allow-Headers"] == "content-type,convex-client"
    assert "POST" in headers["Access-Control-Allow-Methods"]
    assert headers["Access-Control-Max-Age"] == "86400"


def test_the_plain_endpoints_answer_without_credentials(api: HttpApi):
    assert b"deployment is running" in bytes(respond(api, "GET", "/").body)
    assert respond(api, "GET", "/instance_name").body == b"local"
    assert respond(api, "GET", "/version").body == respond(api, "GET", "/instance_version").body
    assert respond(api, "POST", "/echo", b"\x00\xff").body == b"\x00\xff"
    assert respond(api, "POST", "/api/debug_event", b"{}").status == 200
    assert respond(api, "GET", "/nowhere").status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/get_config_hashes"),
        ("POST", "/api/deploy2/start_push"),
        ("GET", "/api/v1/get_canonical_urls"),
    ],
)
def test_pushing_javascript_is_refused_with_the_commands_to_use(
    api: HttpApi, method: str, path: str
):
    response = respond(api, method, path, b"{}", authorization=ADMIN)
    assert response.status == 400
    assert "`syncline dev`" in response.body.decode()
    assert "`syncline push`" in response.body.decode()


def test_a_given_request_id_is_answered_without_what_could_break_a_header(api: HttpApi):
    response = respond(api, "GET", "/version", convex_request_id="ab12\r\nX: y")
    assert dict(response.headers)["Convex-Request-Id"] == "ab12Xy"


def test_usage_is_for_admins_and_may_be_known_elsewhere(api: HttpApi, deployment: FakeDeployment):
    path = "/api/syncline/usage"
    assert respond(api, "GET", path).status == 403
    refused = respond(api, "GET", path, authorization=ADMIN)
    assert (refused.status, orjson.loads(refused.body)["code"]) == (400, "UsageInLogs")
    deployment.used = Usage(7, [FunctionUsage("m:f", "query", calls=2)])
    answer = orjson.loads(respond(api, "GET", path, authorization=ADMIN).body)
    assert answer["sinceMs"] == 7
    assert [(each["path"], each["calls"]) for each in answer["functions"]] == [("m:f", 2)]

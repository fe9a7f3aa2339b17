"""CloudFront's function, run on Node as it stands in the template."""

import json
import os
import subprocess

import pytest

from infra_tests.assembly import Assembly
from syncline.aws.http_events import PART_BYTES_MAX

RUN = """
const events = JSON.parse(process.argv[1]);
console.log(JSON.stringify(events.map((request) => handler({ request }))));
"""


def _answer(
    assembly: Assembly, uri: str, query: dict[str, str], headers: dict[str, str] | None = None
) -> dict:
    (function,) = assembly.of_kind("AWS::CloudFront::Function")
    request = {
        "method": "GET",
        "uri": uri,
        "querystring": {name: {"value": value} for name, value in query.items()},
        "headers": {
            name: {"value": value}
            for name, value in (headers or {"convex-client": "python-0.7.0"}).items()
        },
    }
    program = assembly.of(function, "FunctionCode") + RUN
    # The Node that the CDK runs on (syncline_cdk.javascript_bridge).
    ran = subprocess.run(
        [os.environ["JSII_NODE"], "-e", program, "--", json.dumps([request])],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    (answer,) = json.loads(ran.stdout)
    return answer


@pytest.mark.parametrize(
    ("uri", "query", "passed_on"),
    [
        ("/api/sync", {}, {}),
        ("/api/1.48.0/sync", {}, {"client": "1.48.0"}),
        ("/api/1.48.0-alpha.1/sync", {"x": "1"}, {"x": "1", "client": "1.48.0-alpha.1"}),
        # What a client calls itself in the query is not believed.
        ("/api/sync", {"client": "9.9.9"}, {}),
        ("/api/1.48.0/sync", {"client": "9.9.9"}, {"client": "1.48.0"}),
        ("//api/1.48.0/sync", {}, {"client": "1.48.0"}),
    ],
)
def test_a_socket_s_path_becomes_the_stage_and_its_version_a_parameter(
    default: Assembly, uri: str, query: dict[str, str], passed_on: dict[str, str]
):
    answer = _answer(default, uri, query)
    assert answer["uri"] == "/live"
    assert {name: each["value"] for name, each in answer["querystring"].items()} == passed_on
    assert answer["headers"] == {"convex-client": {"value": "python-0.7.0"}}


@pytest.mark.parametrize(
    "uri", ["/api/a/b/sync", "/api/<script>/sync", f"/api/{'1' * 65}/sync", "/api//sync"]
)
def test_any_other_path_is_not_found(default: Assembly, uri: str):
    assert _answer(default, uri, {})["statusCode"] == 404


REFUSED = [
    ("/api/import/upload_part", "PartTooLarge", "`syncline import`"),
    ("/api/storage/upload", "FileTooLarge", "`direct=True`"),
]


@pytest.mark.parametrize(("path", "code", "advice"), REFUSED)
def test_an_upload_that_lambda_can_t_take_is_refused_with_what_to_use_instead(
    default: Assembly, path: str, code: str, advice: str
):
    length = str(PART_BYTES_MAX + 1)
    answer = _answer(default, path, {"partNumber": "1"}, {"content-length": length})
    assert answer["statusCode"] == 413
    assert answer["headers"] == {
        "access-control-allow-origin": {"value": "*"},
        "content-type": {"value": "application/json"},
    }
    refusal = json.loads(answer["body"]["data"])
    assert refusal["code"] == code
    assert str(PART_BYTES_MAX) in refusal["message"]
    assert advice in refusal["message"]


@pytest.mark.parametrize("path", [path for path, _, _ in REFUSED])
@pytest.mark.parametrize("headers", [{"content-length": str(PART_BYTES_MAX)}, {"x": "chunked"}])
def test_any_other_upload_goes_on_as_it_came(default: Assembly, path: str, headers: dict[str, str]):
    answer = _answer(default, path, {"partNumber": "1"}, headers)
    assert answer["uri"] == path
    assert answer["querystring"] == {"partNumber": {"value": "1"}}
    assert answer["headers"] == {name: {"value": value} for name, value in headers.items()}

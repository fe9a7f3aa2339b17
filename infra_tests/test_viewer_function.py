"""CloudFront's function, run on Node as it stands in the template."""

import json
import os
import subprocess

import pytest

from infra_tests.assembly import Assembly

RUN = """
const events = JSON.parse(process.argv[1]);
console.log(JSON.stringify(events.map((request) => handler({ request }))));
"""


def _answer(assembly: Assembly, uri: str, query: dict[str, str]) -> dict:
    (function,) = assembly.of_kind("AWS::CloudFront::Function")
    request = {
        "method": "GET",
        "uri": uri,
        "querystring": {name: {"value": value} for name, value in query.items()},
        "headers": {"convex-client": {"value": "python-0.7.0"}},
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

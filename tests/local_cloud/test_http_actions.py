"""HTTP actions on the stacks: the embedded server's tests, below /http of the deployment's address.

Left out is what streams, which the managed runtime of Python can't (docs/http-actions.md), and what
has a port of its own or a local issuer.
"""

import json

import pytest

from tests.integration.test_http_actions import (
    ask,
    test_a_mounted_application_answers_below_its_prefix,
    test_a_request_reaches_its_handler_as_it_was_sent,
    test_a_webhook_is_stored_by_a_mutation,
    test_an_exact_path_wins_over_prefixes_and_a_longer_one_over_a_shorter_one,
    test_failures_have_the_documented_body,
    test_pages_of_the_named_origins_may_read_a_shared_route,
    test_repeated_headers_of_an_answer_stay_apart,
    test_what_is_not_routed_is_not_found,
)
from tests.local_cloud.cloud_server import CloudServer

__all__ = [
    "test_a_mounted_application_answers_below_its_prefix",
    "test_a_request_reaches_its_handler_as_it_was_sent",
    "test_a_webhook_is_stored_by_a_mutation",
    "test_an_exact_path_wins_over_prefixes_and_a_longer_one_over_a_shorter_one",
    "test_failures_have_the_documented_body",
    "test_pages_of_the_named_origins_may_read_a_shared_route",
    "test_repeated_headers_of_an_answer_stay_apart",
    "test_what_is_not_routed_is_not_found",
]

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

MEBIBYTE = 2**20


def test_an_answer_in_pieces_arrives_when_it_is_whole(server: CloudServer):
    ask(server, "/hook", method="POST", body=b"go on")
    assert ask(server, "/stream")[:2] == (200, b"first second")
    assert ask(server, "/breaks")[0] == 502


def test_a_body_above_what_lambda_takes_is_refused(server: CloudServer):
    assert ask(server, "/echo", method="POST", body=b"x" * (4 * MEBIBYTE))[0] == 200
    status, body, _ = ask(server, "/echo", method="POST", body=b"x" * (5 * MEBIBYTE))
    assert status == 413
    assert json.loads(body)

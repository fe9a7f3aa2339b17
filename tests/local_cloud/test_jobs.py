"""Scheduled functions and crons on the stacks, through the official clients."""

import pytest
from convex import ConvexClient

from tests.clients.test_jobs import *  # noqa: F403 - the tests themselves are what is wanted
from tests.local_cloud.cloud_server import CloudServer

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]


def test_a_cron_has_run_once_since_the_deploy(server: CloudServer):
    client = ConvexClient(server.url)
    for tasks in client.subscribe("tasks:get", {"room": "crons"}):
        if tasks:
            break
    assert [task["text"] for task in tasks] == ["every hour"]

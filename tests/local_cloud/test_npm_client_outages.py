"""The official npm client in outages: the same tests, on the stacks, in disorder."""

import pytest

from tests.clients.test_node_reconnect import *  # noqa: F403 - the tests themselves are what is wanted

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

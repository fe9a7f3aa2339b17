"""The official npm clients: the embedded server's tests as they are, on the stacks, in disorder."""

import pytest

from tests.clients.test_node_client import *  # noqa: F403 - the tests themselves are what is wanted

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

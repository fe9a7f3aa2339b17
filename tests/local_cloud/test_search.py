"""Searches through the official clients: the embedded server's tests as they are, on the stacks.

Left out is what kills the server.
"""

import pytest

from tests.clients.test_search import *  # noqa: F403 - the tests themselves are what is wanted

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

del test_searches_find_the_same_after_a_kill_of_the_server  # noqa: F821 - imported above

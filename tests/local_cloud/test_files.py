"""Files by the official npm clients: the embedded server's tests, on the stacks."""

import pytest

from tests.clients.test_files import *  # noqa: F403 - the tests themselves are what is wanted

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

"""The functions' logs on the stacks, out of their log groups, by both command lines."""

import pytest

from tests.clients.test_logs import *  # noqa: F403 - the tests themselves are what is wanted

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

"""The React quickstart in Chromium: the same tests, on the stacks, in disorder."""

import pytest

from tests.clients.test_react_quickstart import *  # noqa: F403 - the tests themselves are what is wanted

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

"""Actions through the official clients: the embedded server's tests as they are, on the stacks.

Left out is what stops the server, and the command line's `auth`, which has no local issuer here.
"""

import pytest

from tests.clients.test_actions import *  # noqa: F403 - the tests themselves are what is wanted

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

del test_stopping_the_server_cancels_actions_which_may_clean_up  # noqa: F821 - imported above

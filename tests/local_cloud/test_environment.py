"""Environment variables by both command lines and the PyPI client: the same tests, on the stacks.

Left out is that nothing else is run again: another process may handle a session's next message, and
runs its queries to know their results.
"""

import pytest

from tests.clients.conftest import StartProgram
from tests.clients.test_environment import *  # noqa: F403 - the tests themselves are what is wanted
from tests.clients.test_environment import follow
from tests.integration.deployed_project import DeployedProject

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

del test_a_live_client_is_sent_what_a_change_touches_and_nothing_else_is_run_again  # noqa: F821 - imported above


def test_a_live_client_is_sent_what_a_change_touches(
    project: DeployedProject, pypi: StartProgram, room: str, name: str
):
    assert follow(project, pypi, room, name) >= 1

"""The fixtures of the client tests, on the local cloud instead of the embedded server.

One cloud serves a whole process of tests: each keeps to its own room, and what restarts the server
means an outage here.
"""

import shutil
from collections.abc import Iterator
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.clients.conftest import FUNCTIONS, node, pypi, room
from tests.clients.server import PROJECT
from tests.integration.test_http_actions import FUNCTIONS as SITE_FUNCTIONS
from tests.local_cloud.cloud_server import CloudServer

CRONS = """
from syncline import Crons

crons = Crons()
crons.interval("hourly", "jobs:ran", hours=1, args={"room": "crons", "text": "every hour"})
"""

__all__ = ["node", "pypi", "room"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Killed or stopped cleanly: both are one outage here, so one of the two is enough."""
    twins = [item for item in items if item.name.endswith("[server restarted]")]
    config.hook.pytest_deselected(items=[item for item in twins if _is_here(item)])
    items[:] = [item for item in items if item not in twins or not _is_here(item)]


def _is_here(item: pytest.Item) -> bool:
    return item.path.parent == Path(__file__).parent


def _pins(distribution: str) -> dict[str, str]:
    """A distribution and all that it needs, as they are installed here."""
    pins, wanted = {distribution: version(distribution)}, requires(distribution) or ()
    for requirement in map(Requirement, wanted):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            pins |= _pins(requirement.name)
    return pins


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudServer]:
    """The test functions, the routes of HTTP actions and a cron, with a distribution they need."""
    folder: Path = tmp_path_factory.mktemp("cloud")
    functions = folder / "all"
    for part in (FUNCTIONS, SITE_FUNCTIONS):
        shutil.copytree(part, functions, dirs_exist_ok=True)
    lock = "".join(f"{name}=={pin}\n" for name, pin in _pins("fastapi").items())
    (functions / "requirements.txt").write_text(lock)
    (functions / "crons.py").write_text(CRONS)
    with CloudServer(functions, folder / "project") as running:
        yield running


@pytest.fixture
def own_server(server: CloudServer) -> CloudServer:
    """The same: an outage is all that a test can do to it."""
    return server


@pytest.fixture(scope="session")
def app_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudServer]:
    """The sample app's functions, deployed, with the distributions that examples need."""
    folder: Path = tmp_path_factory.mktemp("app")
    shutil.copytree(PROJECT / "functions", folder / "all")
    lock = PROJECT / "examples" / "scheduled-emails" / "functions" / "requirements.txt"
    shutil.copy(lock, folder / "all")
    with CloudServer(folder / "all", folder / "project") as running:
        yield running

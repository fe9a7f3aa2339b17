"""The examples on the stacks, in disorder: the tests that they have on the embedded server.

One cloud serves one after the other: the next one's functions are pushed when its turn comes.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.conftest import ServeExample
from tests.clients.server import PROJECT
from tests.clients.test_chat_example import *  # noqa: F403 - as above
from tests.clients.test_expo_quickstart import *  # noqa: F403 - as above
from tests.clients.test_file_gallery_example import *  # noqa: F403 - as above
from tests.clients.test_react_quickstart import *  # noqa: F403 - the tests themselves are what is wanted
from tests.clients.test_scheduled_emails_example import *  # noqa: F403 - as above
from tests.clients.test_semantic_search_example import *  # noqa: F403 - as above
from tests.integration.deployed_project import DeployedProject
from tests.local_cloud.cloud_server import CloudServer

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]


Deploy = Callable[[Path], CloudServer]


@pytest.fixture(scope="module")
def deploy(app_cloud: CloudServer, tmp_path_factory: pytest.TempPathFactory) -> Deploy:
    """Empties the cloud and pushes functions, unless they are there already."""
    project = DeployedProject(app_cloud, tmp_path_factory.mktemp("pushing"))
    nothing = project.folder / "nothing.zip"
    with zipfile.ZipFile(nothing, "w") as snapshot:
        snapshot.writestr("emptied/documents.jsonl", "")
    there = [PROJECT / "functions"]

    def deploy(functions: Path) -> CloudServer:
        project.syncline("import", "--replace-all", "--yes", str(nothing))
        if functions != there[-1]:
            project.syncline("push", "--functions", str(functions))
            there.append(functions)
        return app_cloud

    return deploy


@pytest.fixture
def app_server(deploy: Deploy) -> CloudServer:
    """The sample app."""
    return deploy(PROJECT / "functions")


@pytest.fixture(scope="module")
def example(deploy: Deploy) -> ServeExample:
    """The examples."""
    return lambda name: deploy(PROJECT / "examples" / name / "functions")

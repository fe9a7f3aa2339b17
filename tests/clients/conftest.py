"""Fixtures of the client tests: a server per test process, one of its own for what kills it."""

import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scripts.node_toolchain import install_packages, node_toolchain
from tests.clients.program import ClientProgram
from tests.clients.server import PROJECT, DevServer

HERE = Path(__file__).parent
FUNCTIONS = HERE / "functions"

StartProgram = Callable[..., ClientProgram]
"""(program file's name, scenario, server, room) -> the running program"""


ServeExample = Callable[[str], DevServer]
"""(name of a folder of examples/) -> a server of its functions"""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """A server that all tests of this process share: each keeps to its own room."""
    with DevServer(FUNCTIONS, tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[DevServer]:
    """A server for one test, which may kill it."""
    with DevServer(FUNCTIONS, tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeExample]:
    """Serves examples, until the end of the module."""
    with ExitStack() as running:

        def serve(name: str) -> DevServer:
            functions = PROJECT / "examples" / name / "functions"
            return running.enter_context(DevServer(functions, tmp_path_factory.mktemp(name)))

        yield serve


@pytest.fixture
def app_server(tmp_path: Path) -> Iterator[DevServer]:
    """The sample app's functions, served."""
    with DevServer(PROJECT / "functions", tmp_path / "app") as running:
        yield running


@pytest.fixture
def room() -> str:
    """A name under which a test finds only its own data."""
    return f"room-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def node() -> StartProgram:
    """Starts `node/<name>.mjs` with the official npm client."""
    install_packages(HERE)
    toolchain = node_toolchain()

    def start(name: str, scenario: str, server: DevServer, room: str) -> ClientProgram:
        program = f"node/{name}.mjs"
        command = toolchain.command("node", program, scenario, server.url, room, server.admin_key)
        return ClientProgram(command, toolchain.environment(), patience=server.EVENT_SECONDS_MAX)

    return start


@pytest.fixture(scope="session")
def pypi() -> StartProgram:
    """Starts `python/<name>.py` with the official PyPI client."""

    def start(name: str, scenario: str, server: DevServer, room: str) -> ClientProgram:
        program = f"python/{name}.py"
        command = [sys.executable, "-u", program, scenario, server.url, room, server.admin_key]
        return ClientProgram(command, server.environment(), patience=server.EVENT_SECONDS_MAX)

    return start

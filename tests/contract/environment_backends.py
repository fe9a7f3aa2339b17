"""What the contract of environment variables' values runs against."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from syncline.aws import clients
from syncline.aws.parameter_store import ParameterStore, path_of
from syncline.environment_ports import EnvironmentValues
from syncline.local.environment_file import EnvironmentFile
from syncline.simulated.memory_environment import MemoryEnvironment
from tests.contract.moto_tables import moto_cloud

WithStore = Callable[[Path], AbstractContextManager[Callable[[], EnvironmentValues]]]
"""An empty store; each call opens it as another process would."""


@contextmanager
def in_file(folder: Path) -> Generator[Callable[[], EnvironmentValues]]:
    yield lambda: EnvironmentFile(folder / "environment.json")


@contextmanager
def in_parameters(folder: Path) -> Generator[Callable[[], EnvironmentValues]]:
    with moto_cloud():
        client = clients.ssm()
        yield lambda: ParameterStore(client, path=path_of("prod"), key="alias/aws/ssm")


@contextmanager
def in_memory(folder: Path) -> Generator[Callable[[], EnvironmentValues]]:
    store = MemoryEnvironment()
    yield lambda: store


STORES: dict[str, WithStore] = {
    "file": in_file,
    "parameters": in_parameters,
    "memory": in_memory,
}
"""Every adapter by name: a new one is added here."""

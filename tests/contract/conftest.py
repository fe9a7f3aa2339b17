"""One Postgres server for all contract tests of a run."""

from collections.abc import Iterator

import pytest

from syncline.local.embedded_postgres import EmbeddedPostgres
from syncline.local_cloud.rds_data import RdsDataEndpoint
from tests.contract.log_backends import running_data_api, running_postgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def data_api(postgres: EmbeddedPostgres) -> Iterator[RdsDataEndpoint]:
    with running_data_api(postgres.conninfo) as endpoint:
        yield endpoint

"""The user of functions with connections of their own: able to use the log, and nothing else."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from syncline.aws.data_api import DataApi
from syncline.aws.data_api_migration import migrate_through_data_api
from syncline.aws.database_login import make_login
from syncline.aws.settings import DataApiDatabase
from syncline.commit.record import Appended, Position
from syncline.errors import DeveloperError
from syncline.postgres.log import PostgresLog
from tests.contract.log_backends import (
    ask,
    data_api_client,
    put,
    running_data_api,
    running_postgres,
)


def test_a_login_may_use_the_log_and_nothing_else(tmp_path: Path):
    with running_postgres(tmp_path) as server, running_data_api(server.conninfo) as endpoint:
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            # Aurora has it; a plain server does not.
            connection.execute("CREATE ROLE rds_iam")
            connection.execute("CREATE TABLE other (n int)")
        database = DataApiDatabase("arn:aws:rds:cluster", "arn:aws:login", "postgres")
        api = DataApi(data_api_client(endpoint.url), database)

        async def scenario() -> None:
            await migrate_through_data_api(api)
            await make_login(api, "syncline")
            await make_login(api, "syncline")
            log = PostgresLog(make_conninfo(server.conninfo, user="syncline"))
            reply = await log.append(
                [ask(1, put("a", 1), begin=0)],
                standing_on=Position(0, 0),
                exclusive=False,
                mark=1,
            )
            assert isinstance(reply, Appended)
            await log.close_mark(1)
            await log.fold(reply.position.ts, commits_max=10)
            await log.close()
            with pytest.raises(DeveloperError, match="a-z"):
                await make_login(api, 'x"; DROP TABLE other; --')

        asyncio.run(scenario())
        conninfo = make_conninfo(server.conninfo, user="syncline")
        with (
            psycopg.connect(conninfo, autocommit=True) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("SELECT * FROM other")

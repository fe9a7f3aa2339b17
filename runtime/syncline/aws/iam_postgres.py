"""The log over a PostgreSQL connection of its own, logged in through IAM (setting "direct").

A token is a signed request that lives fifteen minutes and is needed only to connect: each
connection asks for its own, so none outlives a process that sleeps or is restored from a snapshot.
TLS is required and the server's certificate verified, as IAM logins demand.
"""

from typing import TYPE_CHECKING, Final

import boto3
from psycopg.conninfo import make_conninfo

from syncline.aws.settings import CommitRoutine, DirectDatabase
from syncline.postgres.connection import Conninfo
from syncline.postgres.log import PostgresLog

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient

PORT: Final = 5432


def iam_postgres_log(database: DirectDatabase, *, routine: CommitRoutine) -> PostgresLog:
    """The log on a database that takes IAM tokens."""
    return PostgresLog(iam_conninfo(boto3.client("rds"), database), routine=routine)  # pyright: ignore[reportUnknownMemberType] # overloads of services without stubs


def iam_conninfo(client: "RDSClient", database: DirectDatabase) -> Conninfo:
    """Where and how to connect, with a token made at the moment of asking."""

    def conninfo() -> str:
        token = client.generate_db_auth_token(
            DBHostname=database.host, Port=PORT, DBUsername=database.user
        )
        return make_conninfo(
            host=database.host,
            port=PORT,
            user=database.user,
            dbname=database.name,
            password=token,
            sslmode="verify-full",
            # The authorities that this machine trusts include Amazon's.
            sslrootcert="system",
        )

    return conninfo

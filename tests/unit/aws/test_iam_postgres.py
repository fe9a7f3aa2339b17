"""Logging in to PostgreSQL through IAM: a token of its own for each connection."""

import boto3
from psycopg.conninfo import conninfo_to_dict

from syncline.aws.iam_postgres import iam_conninfo
from syncline.aws.settings import DirectDatabase


def test_each_connection_asks_for_a_token_and_verifies_the_server():
    client = boto3.client(
        "rds", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    tokens: list[str] = []

    class Tokens:
        def generate_db_auth_token(self, **given: object) -> str:
            assert given == {"DBHostname": "db.internal", "Port": 5432, "DBUsername": "syncline"}
            tokens.append(client.generate_db_auth_token(**given))
            return tokens[-1] + str(len(tokens))

    conninfo = iam_conninfo(Tokens(), DirectDatabase("db.internal", "syncline", "log"))
    assert callable(conninfo)
    first, second = conninfo_to_dict(conninfo()), conninfo_to_dict(conninfo())
    assert len(tokens) == 2
    assert first["password"] != second["password"]
    assert str(first["password"]).startswith("db.internal:5432/?Action=connect&DBUser=syncline")
    assert (first["sslmode"], first["user"], first["dbname"]) == ("verify-full", "syncline", "log")

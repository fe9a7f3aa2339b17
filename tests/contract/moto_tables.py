"""DynamoDB tables on moto in this process, for contracts that run against them."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import boto3
from moto import mock_aws

from syncline.local_cloud.moto_tables import make_tables_faithful

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-central-1",
}


@contextmanager
def moto_table(name: str, keys: Mapping[str, str]) -> Iterator[None]:
    """An empty table while the block runs; `keys`: types by attribute, the partition key first."""
    with moto_cloud():
        create_table(name, keys)
        yield


@contextmanager
def moto_cloud() -> Iterator[None]:
    """An account with nothing in it while the block runs."""
    before = {variable: os.environ.get(variable) for variable in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        with mock_aws():
            yield
    finally:
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value


def create_table(name: str, keys: Mapping[str, str]) -> None:
    """A table as the stacks make it, whose conditions hold until the write is done."""
    make_tables_faithful()
    boto3.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": key, "KeyType": kind}
            for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
        ],
        AttributeDefinitions=[
            {"AttributeName": key, "AttributeType": type_} for key, type_ in keys.items()
        ],
        BillingMode="PAY_PER_REQUEST",
    )

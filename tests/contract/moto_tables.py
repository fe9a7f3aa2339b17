"""DynamoDB tables on moto in this process, for contracts that run against them."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
from moto import mock_aws
from pynamodb.models import Model

from syncline.aws.control import ControlItem
from syncline.aws.document_table import DocumentItem
from syncline.aws.dynamo_tables import for_table
from syncline.aws.interest_table import InterestItem
from syncline.aws.session_table import SessionItem
from syncline.local_cloud.moto_tables import make_tables_faithful

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-central-1",
}

_MODELS: dict[str, type[Model]] = {
    "control": ControlItem,
    "documents": DocumentItem,
    "interest": InterestItem,
    "sessions": SessionItem,
}
"""By the names that tables have in tests."""


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


@cache
def _tables() -> Any:
    return boto3.client("dynamodb")


def make_clients_anew() -> None:
    """Let each table's models share a client, made when it is next used, with the hooks of then.

    To make one for every object would be most of these tests' work. Models are subclasses of
    these, and PynamoDB looks for a connection to the same table in them.
    """
    for name, model in _MODELS.items():
        model._connection = None
        model._connection = for_table(model, name, None, None)._get_connection()


def create_table(name: str, keys: Mapping[str, str]) -> None:
    """A table as the stacks make it, whose conditions hold until the write is done."""
    make_tables_faithful()
    if name in _MODELS and _MODELS[name]._connection is None:
        make_clients_anew()
    _tables().create_table(
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

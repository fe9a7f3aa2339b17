"""moto in this process, with queues as SQS has them."""

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from syncline.local_cloud.moto_queues import make_queues_faithful
from syncline.local_cloud.moto_tables import make_tables_faithful


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    make_queues_faithful()
    make_tables_faithful()
    with mock_aws():
        yield


@pytest.fixture
def sqs(moto: None):
    return boto3.client("sqs")


@pytest.fixture
def s3(moto: None):
    client = boto3.client("s3")
    client.create_bucket(
        Bucket="bundles-of-mine",
        CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
    )
    return client

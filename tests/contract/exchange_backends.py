"""What the contract of the files of imports and exports runs against."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from syncline.aws.exchange_bucket import ExchangeBucket
from syncline.drivers.exchange_files import ExchangeFiles
from syncline.local.exchange_folder import ExchangeFolder
from tests.contract.moto_tables import moto_cloud

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "files-of-mine"

WithFiles = Callable[[Path], AbstractContextManager[ExchangeFiles]]
"""Empty files while the block runs; the folder is the adapter's own."""


@contextmanager
def in_folder(folder: Path) -> Generator[ExchangeFiles]:
    yield ExchangeFolder(folder / "exchange")


@contextmanager
def in_bucket(folder: Path) -> Generator[ExchangeFiles]:
    with moto_bucket() as client:
        yield ExchangeBucket(client, BUCKET, folder / "scratch")


@contextmanager
def moto_bucket() -> "Generator[S3Client]":
    """An empty bucket on moto, and a client that signs as deployments do."""
    with moto_cloud():
        client = boto3.client(
            "s3", config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
        )
        client.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        yield client


FILES: dict[str, WithFiles] = {"folder": in_folder, "bucket": in_bucket}
"""Every adapter by name: a new one is added here."""

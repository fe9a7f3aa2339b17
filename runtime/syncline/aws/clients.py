"""The SDK's clients, each typed by the service's stubs; made when called, never while importing."""

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient

WAITED_SECONDS = 60
"""Seconds after which an answer of a function is no longer waited for; all of them take less."""

# pyright: reportUnknownMemberType=false
# boto3's stub has an overload per service, unknown for those whose stubs are not installed.


def cloudformation() -> "CloudFormationClient":
    """CloudFormation in the region of this process."""
    return boto3.client("cloudformation")


def s3() -> "S3Client":
    """S3. Addresses that it signs hold for encrypted buckets and in this process's region."""
    return boto3.client(
        "s3", config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
    )


def functions() -> "LambdaClient":
    """Lambda. A call is made once: what became of one that got lost is in doubt."""
    return boto3.client(
        "lambda",
        config=Config(
            retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=WAITED_SECONDS
        ),
    )


def secrets() -> "SecretsManagerClient":
    """Secrets Manager."""
    return boto3.client("secretsmanager")


def sqs() -> "SQSClient":
    """SQS."""
    return boto3.client("sqs")


def logs() -> "CloudWatchLogsClient":
    """CloudWatch Logs, for who has a gateway waiting: what takes long is given up."""
    return boto3.client(
        "logs",
        config=Config(retries={"total_max_attempts": 2}, connect_timeout=2, read_timeout=2),
    )


def ssm() -> "SSMClient":
    """SSM. All that is called of it may be called twice; it is slow to allow bursts."""
    return boto3.client("ssm", config=Config(retries={"mode": "standard", "total_max_attempts": 6}))

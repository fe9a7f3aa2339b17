"""The one customer-managed key that everything of a deployment is encrypted with."""

from typing import Final

from aws_cdk import Aws, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from syncline.aws.settings import KEY_ALIAS_PREFIX, LOG_GROUP_PREFIX
from syncline_cdk.principals import account, own_distributions, service
from syncline_cdk.settings import DeploymentSettings

_OWNER_ACTIONS: Final = (
    "CancelKeyDeletion CreateAlias CreateGrant Decrypt DeleteAlias DescribeKey DisableKey "
    "DisableKeyRotation EnableKey EnableKeyRotation Encrypt GenerateDataKey "
    "GenerateDataKeyWithoutPlaintext GetKeyPolicy GetKeyRotationStatus ListGrants ListKeyPolicies "
    "ListKeyRotations ListResourceTags PutKeyPolicy ReEncryptFrom ReEncryptTo RetireGrant "
    "RevokeGrant RotateKeyOnDemand ScheduleKeyDeletion TagResource UntagResource UpdateAlias "
    "UpdateKeyDescription"
).split()
"""What the account may let its own identities do, by IAM policies (KMS developer guide, "Key
policies"): named one by one, so that no policy of a deployment has a wildcard action."""


class EncryptionKey(Construct):
    """The key, rotated every year, and what services may do with it on their own."""

    def __init__(self, scope: Construct, name: str, *, settings: DeploymentSettings) -> None:
        super().__init__(scope, name)
        region = Aws.REGION
        key = kms.Key(
            self,
            "Key",
            description=f"Everything of the Syncline deployment {settings.deployment}",
            enable_key_rotation=True,
            pending_window=Duration.days(30),
            removal_policy=RemovalPolicy.RETAIN if settings.protect_data else RemovalPolicy.DESTROY,
            policy=iam.PolicyDocument(
                statements=[
                    iam.PolicyStatement(
                        sid="AccountDecidesByIam",
                        principals=[account()],
                        actions=[f"kms:{action}" for action in _OWNER_ACTIONS],
                        resources=["*"],
                    ),
                    iam.PolicyStatement(
                        sid="LogGroups",
                        principals=[service(f"logs.{region}.amazonaws.com")],
                        actions=[
                            "kms:Decrypt",
                            "kms:DescribeKey",
                            "kms:Encrypt",
                            "kms:GenerateDataKey",
                            "kms:GenerateDataKeyWithoutPlaintext",
                            "kms:ReEncryptFrom",
                            "kms:ReEncryptTo",
                        ],
                        resources=["*"],
                        conditions={
                            "ArnLike": {
                                "kms:EncryptionContext:aws:logs:arn": Stack.of(self).format_arn(
                                    service="logs",
                                    resource=f"log-group:{LOG_GROUP_PREFIX}{settings.deployment}/*",
                                )
                            }
                        },
                    ),
                    iam.PolicyStatement(
                        sid="Alarms",
                        principals=[service("cloudwatch.amazonaws.com")],
                        actions=["kms:Decrypt", "kms:GenerateDataKey"],
                        resources=["*"],
                        conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
                    ),
                    _served_files(),
                ]
            ),
        )
        kms.CfnAlias(
            self,
            "Alias",
            alias_name=f"{KEY_ALIAS_PREFIX}{settings.deployment}",
            target_key_id=key.key_id,
        )
        self.arn = key.key_arn

    def seen_from(self, scope: Construct, name: str = "Key") -> kms.IKey:
        """The key for resources in `scope`, which can't widen its policy by themselves."""
        return kms.Key.from_key_arn(scope, name, self.arn)


def _served_files() -> iam.PolicyStatement:
    """CloudFront opens what it serves from the bucket."""
    return iam.PolicyStatement(
        sid="ServedFiles",
        principals=[service("cloudfront.amazonaws.com")],
        actions=["kms:Decrypt"],
        resources=["*"],
        conditions=own_distributions(),
    )

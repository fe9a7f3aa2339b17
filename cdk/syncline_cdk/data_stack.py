"""What must outlive every other stack: database, tables, bucket, key, secret and users."""

from typing import Final

from aws_cdk import CfnOutput, Duration, Environment, Fn, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from syncline.aws.settings import EXPORT_PREFIX, IMPORT_PREFIX, PUBLIC_FILE_PREFIX
from syncline_cdk.database import Database
from syncline_cdk.encryption import EncryptionKey
from syncline_cdk.principals import own_distributions, service
from syncline_cdk.settings import DeploymentSettings
from syncline_cdk.tables import Tables
from syncline_cdk.user_pool import UserPool

CORS_SECONDS: Final = 3000
"""For which browsers remember that they may put files into the bucket; ours."""


class DataStack(Stack):
    """Everything that holds state."""

    def __init__(self, scope: Construct, name: str, *, settings: DeploymentSettings) -> None:
        super().__init__(
            scope,
            name,
            env=Environment(account=settings.account, region=settings.region),
            stack_name=f"{settings.deployment}-data",
            description=f"Syncline {settings.deployment}: database, tables, bucket, key",
            termination_protection=settings.protect_data,
        )
        self.encryption = EncryptionKey(self, "Encryption", settings=settings)
        key = self.encryption.seen_from(self)
        self.tables = Tables(self, "Tables", settings=settings, key=key)
        self.database = Database(self, "Database", settings=settings, key=key)
        removal = RemovalPolicy.RETAIN if settings.protect_data else RemovalPolicy.DESTROY
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            removal_policy=removal,
            # Browsers put large files here themselves: a URL that we have signed says which.
            cors=[
                s3.CorsRule(
                    allowed_methods=[s3.HttpMethods.PUT, s3.HttpMethods.GET],
                    allowed_origins=["*"],
                    allowed_headers=["*"],
                    max_age=CORS_SECONDS,
                )
            ],
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="Leftovers",
                    abort_incomplete_multipart_upload_after=Duration.days(2),
                    noncurrent_version_expiration=Duration.days(settings.backup_days),
                ),
                s3.LifecycleRule(id="Imports", prefix=IMPORT_PREFIX, expiration=Duration.days(7)),
                s3.LifecycleRule(id="Exports", prefix=EXPORT_PREFIX, expiration=Duration.days(14)),
            ],
        )
        self._let_cloudfront_serve_files()
        self.admin_secret = secretsmanager.Secret(
            self,
            "AdminSecret",
            description=f"What admin keys of the deployment {settings.deployment} are made from",
            encryption_key=key,
            removal_policy=removal,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                password_length=64, exclude_punctuation=True
            ),
        )
        CfnOutput(self, "AdminSecretArn", value=self.admin_secret.secret_arn)
        self.users = UserPool(self, "Users", settings=settings) if settings.cognito else None
        if self.users is not None:
            self.users.add_outputs(self)

    def _let_cloudfront_serve_files(self) -> None:
        """Public files and nothing else; without listing, a missing one would be a 403."""
        for sid, action, resource in (
            ("Files", "s3:GetObject", self.bucket.arn_for_objects(f"{PUBLIC_FILE_PREFIX}*")),
            ("MissingFiles", "s3:ListBucket", self.bucket.bucket_arn),
        ):
            self.bucket.add_to_resource_policy(
                iam.PolicyStatement(
                    sid=sid,
                    principals=[service("cloudfront.amazonaws.com")],
                    actions=[action],
                    resources=[resource],
                    conditions=own_distributions(),
                )
            )

    @property
    def availability_zones(self) -> list[str]:
        """Zones by number and not by name, for which synthesis would have to ask the account."""
        return [Fn.select(0, Fn.get_azs()), Fn.select(1, Fn.get_azs())]

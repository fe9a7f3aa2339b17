"""What the command line asks an owner's AWS account, with the owner's own credentials."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import boto3
import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from syncline.aws.settings import BUNDLE_PREFIX, DEPLOYMENT_VARIABLE
from syncline.drivers.admin_key import admin_key
from syncline.errors import CallerError, SynclineError, UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef
    from mypy_boto3_secretsmanager import SecretsManagerClient

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# boto3's stub has an overload per service, unknown for those whose stubs are not installed.

BOOTSTRAP_STACK: Final = "CDKToolkit"
BOOTSTRAP_VERSION_MIN: Final = 6
"""What the CDK's own templates ask for (the rule CheckBootstrapVersion in each)."""

STACKS: Final = ("data", "address", "compute", "api", "observability")
"""The deployment's stacks; each is called `<deployment>-<one of them>` (docs/cdk.md)."""

FOLLOWER_HANDLER: Final = "syncline.aws.handlers.follower.handler"

DELETE_MAX: Final = 1000
"""Objects of one DeleteObjects; an S3 quota."""


class _Identity(msgspec.Struct, rename="pascal"):
    account: str
    arn: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, and where: `account` of 12 digits, `arn` of a user or a role's session."""

    account: str
    region: str
    arn: str


_IMPORTED_BY_STACKS: Final = "ExportsOutput"
"""How the CDK begins the names of outputs that it makes for other stacks."""


class Account:
    """One account and region, reached with a profile or the environment's credentials."""

    def __init__(self, *, profile: str | None, region: str | None) -> None:
        """CallerError: BadAwsSettings: the profile does not exist."""
        try:
            self._session = boto3.Session(profile_name=profile, region_name=region)
        except BotoCoreError as error:
            raise CallerError("BadAwsSettings", f"AWS settings: {error}") from error

    def caller(self) -> Caller:
        """Whose credentials these are.

        Raises:
            CallerError: NoRegion, NoCredentials, or CredentialsRefused: what to set is said.
            UnavailableError: AWS can't be reached.
        """
        region = self._session.region_name
        if not region:
            raise CallerError(
                "NoRegion",
                "No AWS region: set AWS_REGION, choose one in the profile, or set account and "
                "region in cdk.json.",
            )
        if self._session.get_credentials() is None:
            raise CallerError(
                "NoCredentials",
                "No AWS credentials: `aws configure` or `aws sso login`, then --profile or "
                "AWS_PROFILE.",
            )
        try:
            reply: object = self._session.client("sts", region_name=region).get_caller_identity()
        except ClientError as error:
            raise CallerError(
                "CredentialsRefused", f"AWS refuses these credentials: {error}; renew them."
            ) from error
        except BotoCoreError as error:
            raise UnavailableError("AwsUnavailable", f"AWS can't be reached: {error}") from error
        identity = msgspec.convert(reply, _Identity)
        return Caller(identity.account, region, identity.arn)

    def check_bootstrap(self, caller: Caller) -> None:
        """See that the account and region were prepared for the CDK.

        Raises:
            CallerError: NotBootstrapped: they were not, or long ago.
        """
        outputs = self._outputs(BOOTSTRAP_STACK)
        version = (outputs or {}).get("BootstrapVersion", "0")
        if int(version) < BOOTSTRAP_VERSION_MIN:
            raise CallerError(
                "NotBootstrapped",
                f"The CDK's stack {BOOTSTRAP_STACK} in {caller.account}, {caller.region} is "
                f"{'missing' if outputs is None else f'of version {version}'}: "
                f"`npx cdk bootstrap aws://{caller.account}/{caller.region}`, once.",
            )

    def outputs(self, deployment: str) -> Mapping[str, str]:
        """All outputs of the deployment's stacks; those of stacks that are not there are missing.

        Raises:
            CallerError: the credentials do not suffice.
        """
        found: dict[str, str] = {}
        for stack in STACKS:
            found |= self._outputs(f"{deployment}-{stack}") or {}
        return found

    def admin_key(self, deployment: str) -> str:
        """The deployment's admin key, made from its secret.

        Raises:
            CallerError: NoDeployment: it is not there; AwsRefuses: the secret may not be read.
        """
        arn = self.outputs(deployment).get("AdminSecretArn")
        if arn is None:
            raise CallerError(
                "NoDeployment",
                f"There is no stack {deployment}-data in {self._session.region_name}: deployed "
                "under another name, or elsewhere?",
            )
        client: SecretsManagerClient = self._session.client("secretsmanager")
        try:
            secret = client.get_secret_value(SecretId=arn)["SecretString"]
        except (ClientError, BotoCoreError) as error:
            raise _failure(error) from error
        return admin_key(deployment, secret.encode())

    def environment(self, deployment: str) -> Mapping[str, str]:
        """The variables of the deployment's follower, from which `Settings` can be read.

        Raises:
            CallerError: NoDeployment: there is no such function; AwsRefuses: not permitted.
        """
        client: LambdaClient = self._session.client("lambda")
        try:
            for page in client.get_paginator("list_functions").paginate():
                for function in page["Functions"]:
                    variables = function.get("Environment", {}).get("Variables", {})
                    is_follower = function.get("Handler") == FOLLOWER_HANDLER
                    if is_follower and variables.get(DEPLOYMENT_VARIABLE) == deployment:
                        return variables
        except (ClientError, BotoCoreError) as error:
            raise _failure(error) from error
        raise CallerError(
            "NoDeployment",
            f"There is no follower of a deployment {deployment} in {self._session.region_name}: "
            "deployed under another name, or elsewhere?",
        )

    def resources(self, stack: str) -> Mapping[str, str]:
        """Physical names by resource type; of several of one type, any.

        Raises:
            CallerError: AwsRefuses: no such stack, or not permitted.
        """
        client: CloudFormationClient = self._session.client("cloudformation")
        try:
            pages = client.get_paginator("list_stack_resources").paginate(StackName=stack)
            return {
                resource["ResourceType"]: resource.get("PhysicalResourceId", "")
                for page in pages
                for resource in page["StackResourceSummaries"]
            }
        except (ClientError, BotoCoreError) as error:
            raise _failure(error) from error

    def bundle(self, deployment: str, beginning: str) -> bytes:
        """The zip of the one bundle in the deployment's bucket whose hash begins so.

        Raises:
            CallerError: UnknownBundle: there is none, or there are several.
        """
        bucket = self.resources(f"{deployment}-data").get("AWS::S3::Bucket", "")
        client: S3Client = self._session.client("s3")
        try:
            listed = client.list_objects_v2(Bucket=bucket, Prefix=f"{BUNDLE_PREFIX}{beginning}")
            keys = [each.get("Key", "") for each in listed.get("Contents", [])]
            if len(keys) != 1:
                raise CallerError(
                    "UnknownBundle",
                    f"{len(keys)} bundles of {deployment} begin with {beginning!r}: "
                    f"`aws s3 ls s3://{bucket}/{BUNDLE_PREFIX}` shows all, with their dates.",
                )
            return client.get_object(Bucket=bucket, Key=keys[0])["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise _failure(error) from error

    def empty_bucket(self, bucket: str) -> int:
        """Delete every version of every object, for ever; returns how many.

        Raises:
            CallerError: AwsRefuses: some could not be deleted.
        """
        client: S3Client = self._session.client("s3")
        deleted = 0
        try:
            for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
                versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
                keys: list[ObjectIdentifierTypeDef] = [
                    {"Key": each.get("Key", ""), "VersionId": each.get("VersionId", "")}
                    for each in versions
                ]
                for at in range(0, len(keys), DELETE_MAX):
                    part = keys[at : at + DELETE_MAX]
                    reply = client.delete_objects(
                        Bucket=bucket, Delete={"Objects": part, "Quiet": True}
                    )
                    if errors := reply.get("Errors"):
                        raise CallerError("AwsRefuses", f"S3 keeps objects of {bucket}: {errors}")
                    deleted += len(part)
        except (ClientError, BotoCoreError) as error:
            raise _failure(error) from error
        return deleted

    def _outputs(self, stack: str) -> Mapping[str, str] | None:
        """Of one stack, without those that other stacks import; None: there is no such stack."""
        client: CloudFormationClient = self._session.client("cloudformation")
        try:
            (found,) = client.describe_stacks(StackName=stack)["Stacks"]
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and "does not exist" in str(error):
                return None
            raise _failure(error) from error
        return {
            output.get("OutputKey", ""): output.get("OutputValue", "")
            for output in found.get("Outputs", [])
            if not output.get("OutputKey", "").startswith(_IMPORTED_BY_STACKS)
        }


def _failure(error: ClientError | BotoCoreError) -> SynclineError:
    if isinstance(error, ClientError):
        return CallerError("AwsRefuses", f"AWS refuses: {error}")
    return UnavailableError("AwsUnavailable", f"AWS can't be reached: {error}")

"""One Lambda function: its code, role, log group and network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from syncline.aws.settings import LOG_GROUP_PREFIX, METRICS_NAMESPACE
from syncline_cdk.database import Database
from syncline_cdk.functions import FunctionShape
from syncline_cdk.principals import service
from syncline_cdk.requirements import CodeTarget
from syncline_cdk.settings import DeploymentSettings


@dataclass(frozen=True, slots=True)
class Runtime:
    """What all functions have in common."""

    settings: DeploymentSettings
    code: lambda_.Code
    target: CodeTarget
    environment: Mapping[str, str]
    key: kms.IKey
    database: Database

    def variables(self) -> dict[str, str]:
        """The environment, with what the logger and the metrics read."""
        return {
            **self.environment,
            "POWERTOOLS_SERVICE_NAME": self.settings.deployment,
            "POWERTOOLS_METRICS_NAMESPACE": METRICS_NAMESPACE,
        }

    def architecture(self) -> lambda_.Architecture:
        """The processor that the code was built for."""
        arm = self.target.architecture == "arm64"
        return lambda_.Architecture.ARM_64 if arm else lambda_.Architecture.X86_64


class Executor(Construct):
    """The function and the role that it alone has."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        shape: FunctionShape,
        runtime: Runtime,
        statements: Sequence[iam.PolicyStatement],
        function_name: str | None = None,
    ) -> None:
        """`function_name`: for one that others have to know before it is made."""
        super().__init__(scope, name.title())
        settings = runtime.settings
        self.log_group = logs.LogGroup(
            self,
            "Log",
            log_group_name=f"{LOG_GROUP_PREFIX}{settings.deployment}/{name}",
            encryption_key=runtime.key,
            retention=log_retention(settings.log_retention_days),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.role = self._role(name, statements)
        in_network = shape.uses_log and runtime.database.is_direct
        with_snapshot = settings.snap_start and shape.is_awaited
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=function_name,
            description=f"Syncline {settings.deployment}: {shape.purpose}",
            runtime=lambda_.Runtime(
                f"python{runtime.target.python}",
                lambda_.RuntimeFamily.PYTHON,
                supports_snap_start=runtime.target.has_snap_start(),
            ),
            architecture=runtime.architecture(),
            code=runtime.code,
            handler=shape.handler(name),
            memory_size=shape.memory,
            timeout=Duration.seconds(shape.timeout_seconds),
            environment=runtime.variables(),
            environment_encryption=runtime.key,
            # The role's policy is complete as it stands: nothing may widen it on the way.
            role=self.role.without_policy_updates(),
            log_group=self.log_group,
            tracing=lambda_.Tracing.ACTIVE,
            # What calls without waiting (EventBridge) comes again in a minute anyway.
            retry_attempts=0,
            reserved_concurrent_executions=settings.session_concurrency_reserved
            if name == "session"
            else None,
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if with_snapshot else None,
            vpc=runtime.database.network if in_network else None,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS)
            if in_network
            else None,
            security_groups=[runtime.database.client_group] if in_network else None,
        )
        self.target = self._published() if with_snapshot else self.function
        """What calls go to."""

    def _published(self) -> lambda_.Alias:
        """The newest version under a name that stays: only versions have snapshots."""
        version = cast("lambda_.IVersion", self.function.current_version)
        return lambda_.Alias(self, "Live", alias_name="live", version=version)

    def _role(self, name: str, statements: Sequence[iam.PolicyStatement]) -> iam.Role:
        own = [
            iam.PolicyStatement(
                sid="Logging",
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[self.log_group.log_group_arn],
            ),
            # X-Ray knows no resources (Service Authorization Reference, "AWS X-Ray").
            iam.PolicyStatement(
                sid="Tracing",
                actions=["xray:PutTelemetryRecords", "xray:PutTraceSegments"],
                resources=["*"],
            ),
        ]
        # Inside the role and not beside it, so that whoever needs the role finds it complete.
        policy = iam.PolicyDocument(statements=[*statements, *own])
        return iam.Role(
            self,
            "Role",
            description=f"What the function {name} may do, and no other",
            assumed_by=service("lambda.amazonaws.com"),
            inline_policies={name: policy},
        )


def log_retention(days: int) -> logs.RetentionDays:
    """CDK names the retentions by words; the settings have refused what has no word."""
    words = {
        1: "ONE_DAY", 3: "THREE_DAYS", 5: "FIVE_DAYS", 7: "ONE_WEEK", 14: "TWO_WEEKS",
        30: "ONE_MONTH", 60: "TWO_MONTHS", 90: "THREE_MONTHS", 120: "FOUR_MONTHS",
        150: "FIVE_MONTHS", 180: "SIX_MONTHS", 365: "ONE_YEAR", 400: "THIRTEEN_MONTHS",
        731: "TWO_YEARS", 1827: "FIVE_YEARS", 3653: "TEN_YEARS",
    }  # fmt: skip
    return logs.RetentionDays[words[days]]

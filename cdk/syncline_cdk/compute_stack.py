"""The functions, the queues that they take from, the minute that wakes them, and the push."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import cast

from aws_cdk import (
    ArnFormat,
    CfnOutput,
    CustomResource,
    Duration,
    Environment,
    IgnoreMode,
    RemovalPolicy,
    Stack,
)
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3_assets as assets
from constructs import Construct, IConstruct

from syncline.aws.parameter_store import path_of
from syncline.aws.settings import (
    CALLING_FUNCTIONS,
    DATA_FUNCTION_VARIABLE,
    LOG_GROUP_PREFIX,
    Settings,
)
from syncline_cdk.address_stack import AddressStack
from syncline_cdk.data_stack import DataStack
from syncline_cdk.executors import Executor, Runtime
from syncline_cdk.functions import FUNCTIONS
from syncline_cdk.permissions import Surroundings, action_function_name, statements_of
from syncline_cdk.queues import QUEUE_SHAPES, Queues
from syncline_cdk.requirements import CodeTarget
from syncline_cdk.settings import DeploymentSettings

BATCH_MESSAGES_MAX = 10
"""Messages that a function gets at once: the most that FIFO queues allow (aws-facts 5.3)."""


class ComputeStack(Stack):
    """Everything that runs. `code`: the folder built by `bundling.build_code` for `target`."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        settings: DeploymentSettings,
        data: DataStack,
        address: AddressStack,
        code: Path,
        target: CodeTarget,
    ) -> None:
        super().__init__(
            scope,
            name,
            env=Environment(account=settings.account, region=settings.region),
            stack_name=f"{settings.deployment}-compute",
            description=f"Syncline {settings.deployment}: functions and queues",
        )
        key = data.encryption.seen_from(self)
        self.queues = Queues(self, "Queues", settings=settings, key=key)
        source = _functions_asset(self, settings)
        action_name = action_function_name(settings.deployment)
        around = Surroundings(
            data,
            address,
            self.queues,
            _object_arn(self, source),
            _function_arn(self, action_name),
            _variables_arn(self, settings.deployment),
            settings.secret_arns,
            [_log_group_arn(self, settings.deployment, each) for each in CALLING_FUNCTIONS],
        )
        runtime = Runtime(
            settings=settings,
            code=lambda_.Code.from_asset(str(code)),
            target=target,
            environment=_environment(settings, data, address, self.queues),
            key=key,
            database=data.database,
        )
        as_owner = _environment(settings, data, address, self.queues, as_owner=True)
        self.executors = {
            function: Executor(
                self,
                function,
                shape=shape,
                runtime=runtime if function != "push" else replace(runtime, environment=as_owner),
                statements=statements_of(function, around),
            )
            for function, shape in FUNCTIONS.items()
            if function != "action"
        }
        self.executors["action"] = self._actions(action_name, runtime, around)
        self._take_from_queues(settings)
        self._wake_every_minute()
        self._sweep_files()
        self._push_functions(source, settings, data.database.login)

    def function(self, name: str) -> lambda_.IFunction:
        """What calls of the function of that name go to (`functions.FUNCTIONS`)."""
        return cast("lambda_.IFunction", self.executors[name].target)

    def _actions(self, name: str, runtime: Runtime, around: Surroundings) -> Executor:
        """Named beforehand, so that those who start it need not be made after it."""
        data = self.function("http").function_arn
        return Executor(
            self,
            "action",
            shape=FUNCTIONS["action"],
            runtime=replace(
                runtime, environment={**runtime.environment, DATA_FUNCTION_VARIABLE: data}
            ),
            statements=statements_of("action", replace(around, data_function_arn=data)),
            function_name=name,
        )

    def _take_from_queues(self, settings: DeploymentSettings) -> None:
        queues = {
            "session": self.queues.session,
            "follower": self.queues.follower,
            "tick": self.queues.tick,
            "scheduler": self.queues.scheduler,
        }
        for name, shape in QUEUE_SHAPES.items():
            lambda_.EventSourceMapping(
                self,
                f"{name.title()}Messages",
                target=self.function(shape.consumer),
                event_source_arn=queues[name].queue_arn,
                # A tick is a whole pass; the follower's hints say the same however many.
                batch_size=1 if name == "tick" else BATCH_MESSAGES_MAX,
                max_concurrency=settings.session_concurrency_max if name == "session" else 2,
                report_batch_item_failures=True,
            )

    def _wake_every_minute(self) -> None:
        sweeper = targets.LambdaFunction(
            self.function("sweeper"),
            # The next minute does what a lost one would have done.
            retry_attempts=0,
            max_event_age=Duration.minutes(1),
        )
        events.Rule(
            self,
            "Minute",
            description="Ticks for connections, and a look at what was left to do",
            schedule=events.Schedule.rate(Duration.minutes(1)),
            targets=[cast("events.IRuleTarget", sweeper)],
        )

    def _sweep_files(self) -> None:
        """Bytes of deleted files and dead uploads; nothing pending costs one read of the view."""
        http = targets.LambdaFunction(
            self.function("http"),
            # The next hour does what a lost one would have done.
            retry_attempts=0,
            max_event_age=Duration.hours(1),
        )
        events.Rule(
            self,
            "Hour",
            description="Removes files that are deleted or were never finished",
            schedule=events.Schedule.rate(Duration.hours(1)),
            targets=[cast("events.IRuleTarget", http)],
        )

    def _push_functions(
        self, source: assets.Asset, settings: DeploymentSettings, login: str
    ) -> None:
        """The last resource of the stack: data that the functions don't fit fails the deploy."""
        before: list[IConstruct] = [*self.node.children]
        push = CustomResource(
            self,
            "PushFunctions",
            resource_type="Custom::SynclinePush",
            service_token=self.function("push").function_arn,
            # CloudFormation waits longer than the function runs, to hear of its failure.
            service_timeout=Duration.seconds(FUNCTIONS["push"].timeout_seconds + 60),
            properties={
                "Deployment": settings.deployment,
                "SourceBucket": source.s3_bucket_name,
                "SourceKey": source.s3_object_key,
                "SourceHash": source.asset_hash,
                "DatabaseLogin": login,
                "Variables": settings.environment,
                "VariableSecrets": settings.environment_secrets,
            },
            removal_policy=RemovalPolicy.DESTROY,
        )
        # The function among them is named by the resource itself.
        own = self.executors["push"]
        push.node.add_dependency(*(construct for construct in before if construct is not own))
        CfnOutput(self, "FunctionsHash", value=source.asset_hash)


def _functions_asset(stack: Stack, settings: DeploymentSettings) -> assets.Asset:
    return assets.Asset(
        stack,
        "Functions",
        path=str(settings.functions_folder),
        exclude=["**/__pycache__/**", "**/*.pyc", ".env*", "**/.*"],
        ignore_mode=IgnoreMode.GIT,
    )


def _function_arn(stack: Stack, name: str) -> str:
    return stack.format_arn(
        service="lambda",
        resource="function",
        resource_name=name,
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


def _variables_arn(stack: Stack, deployment: str) -> str:
    path = path_of(deployment).removeprefix("/")
    return stack.format_arn(service="ssm", resource="parameter", resource_name=path)


def _log_group_arn(stack: Stack, deployment: str, function: str) -> str:
    return stack.format_arn(
        service="logs",
        resource="log-group",
        resource_name=f"{LOG_GROUP_PREFIX}{deployment}/{function}:*",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


def _object_arn(stack: Stack, asset: assets.Asset) -> str:
    return stack.format_arn(
        service="s3",
        region="",
        account="",
        resource=asset.s3_bucket_name,
        resource_name=asset.s3_object_key,
    )


def _hash_seed(deployment: str) -> int:
    """The same at every synthesis, and not the same everywhere."""
    return int.from_bytes(hashlib.sha256(f"hash seed {deployment}".encode()).digest()[:4], "big")


def _environment(
    settings: DeploymentSettings,
    data: DataStack,
    address: AddressStack,
    queues: Queues,
    *,
    as_owner: bool = False,
) -> dict[str, str]:
    return Settings(
        deployment=settings.deployment,
        url=address.url,
        redact=settings.redact,
        documents_table=data.tables.documents.table_name,
        sessions_table=data.tables.sessions.table_name,
        interest_table=data.tables.interest.table_name,
        control_table=data.tables.control.table_name,
        session_queue_url=queues.session.queue_url,
        follower_queue_url=queues.follower.queue_url,
        tick_queue_url=queues.tick.queue_url,
        scheduler_queue_url=queues.scheduler.queue_url,
        bucket=data.bucket.bucket_name,
        gateway_endpoint=address.gateway_endpoint,
        admin_secret_arn=data.admin_secret.secret_arn,
        database=data.database.for_owner() if as_owner else data.database.for_functions(),
        commit_routine=settings.commit_routine,
        action_function=action_function_name(settings.deployment),
        hash_seed=_hash_seed(settings.deployment),
        user_pool=data.users.for_functions() if data.users is not None else None,
    ).environment()

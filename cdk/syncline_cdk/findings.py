"""cdk-nag's findings that are meant to stay, each with its reason."""

from typing import Final, cast

from aws_cdk import Acknowledgment, App, Stack, Token, Validations
from cdk_nag import AwsSolutionsChecks
from constructs import Construct, IConstruct

from syncline.aws.parameter_store import path_of
from syncline.aws.settings import (
    BUNDLE_PREFIX,
    CALLING_FUNCTIONS,
    EXPORT_PREFIX,
    IMPORT_PREFIX,
    LOG_GROUP_PREFIX,
    PRIVATE_FILE_PREFIX,
    PUBLIC_FILE_PREFIX,
    SEGMENT_PREFIX,
)
from syncline_cdk.address_stack import STAGE
from syncline_cdk.deployment import Deployment

_PACK = "AwsSolutions"

VARIABLES: Final = frozenset(("session", "http", "scheduler", "push"))
"""Functions that may read any environment variable, by its parameters."""

OBJECTS: Final = {
    "session": (BUNDLE_PREFIX, SEGMENT_PREFIX),
    "follower": (SEGMENT_PREFIX, PRIVATE_FILE_PREFIX, PUBLIC_FILE_PREFIX),
    "http": (
        SEGMENT_PREFIX,
        *(BUNDLE_PREFIX, EXPORT_PREFIX, IMPORT_PREFIX),
        *(PRIVATE_FILE_PREFIX, PUBLIC_FILE_PREFIX),
    ),
    "action": (BUNDLE_PREFIX,),
    "scheduler": (BUNDLE_PREFIX, SEGMENT_PREFIX),
    "push": (BUNDLE_PREFIX,),
}
"""Below which prefixes of the bucket a function may touch any object."""

LOG_GROUPS: Final = {"http": CALLING_FUNCTIONS}
"""Whose lines a function may read, whatever stream they are in."""

CONNECTIONS: Final = {"session": ("DELETE", "POST"), "ticker": ("POST",)}
"""What a function may do to any open connection."""


def check_by_nag(app: App, deployment: Deployment) -> None:
    """Let cdk-nag judge the app as it is synthesised; an unanswered finding fails synthesis."""
    answer_findings(deployment)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def answer_findings(deployment: Deployment) -> None:
    """Acknowledge what is meant as it is, each finding at the resource where it is found."""
    _answer_data(deployment)
    _answer_users(deployment)
    _answer_address(deployment)
    _answer_functions(deployment)
    _answer_routes(deployment)


def _answer(construct: IConstruct, rule: str, reason: str) -> None:
    acknowledgment = Acknowledgment(id=f"{_PACK}::{_PACK}-{rule}", reason=reason)
    Validations.of(construct).acknowledge(acknowledgment)


def _answer_data(deployment: Deployment) -> None:
    data = deployment.data
    _answer(
        data.database.network,
        "VPC7",
        "Nothing is reachable from outside; flow logs would cost more than an idle deployment",
    )
    _answer(
        data.database.cluster,
        "SMG4",
        "Rotating by a function would wake a paused database; docs/operations.md rotates by hand",
    )
    if not deployment.settings.protect_data:
        _answer(data.database.cluster, "RDS10", "The settings say that it may be deleted")
    _answer(
        data.admin_secret,
        "SMG4",
        "Every admin key is made from it: rotating it is revoking them all, which is a decision",
    )
    _answer(
        data.bucket,
        "S1",
        "Only our functions may read it, and CloudTrail data events can record that they do",
    )


def _answer_users(deployment: Deployment) -> None:
    users = deployment.data.users
    if users is None:
        return
    _answer(users.pool, "COG2", "A second factor is offered; whom to ask it of is the owner's call")
    _answer(
        users.pool,
        "COG8",
        "Threat protection has a price for every user; the pool's plan can be raised at any time",
    )


def _answer_address(deployment: Deployment) -> None:
    distribution = deployment.address.distribution
    _answer(distribution, "CFR1", "Whose clients may come from where is the owner's decision")
    _answer(
        distribution,
        "CFR2",
        "The API's throttles bound what a flood costs; a web ACL has a monthly price of its own",
    )
    _answer(
        distribution,
        "CFR3",
        "The HTTP API logs each request, without addresses of clients, which this log would hold",
    )
    if deployment.settings.certificate_arn is None:
        _answer(
            distribution,
            "CFR4",
            "CloudFront's own domain has no choice of TLS versions; with a domain of one's own the "
            "minimum is TLS 1.2",
        )


def _answer_functions(deployment: Deployment) -> None:
    for name, executor in deployment.compute.executors.items():
        _answer(
            executor.function,
            "L1",
            "Functions run on the Python release that the deployment's settings name and test",
        )
        reason = "X-Ray and Lambda's network interfaces know no resources"
        _answer(executor.role, "IAM5[Resource::*]", reason)
        for resource in _patterns(deployment, name):
            _answer(
                executor.role,
                f"IAM5[Resource::{resource}]",
                "Objects and parameters below a prefix, and open connections, are made while the "
                "deployment runs",
            )


def _patterns(deployment: Deployment, function: str) -> list[str]:
    """Resources with a pattern in a function's policy, as cdk-nag spells them."""
    data, address, compute = deployment.data, deployment.address, deployment.compute
    bucket = _imported(compute, data.export_value(data.bucket.bucket_arn))
    api = _imported(compute, address.export_value(address.socket_api.ref))
    partition, region, account = (
        f"<AWS::{name}>" if Token.is_unresolved(value) else value
        for name, value in (
            ("Partition", compute.partition),
            ("Region", compute.region),
            ("AccountId", compute.account),
        )
    )
    connections = f"arn:{partition}:execute-api:{region}:{account}:{api}/{STAGE}"
    logs = f"{LOG_GROUP_PREFIX}{deployment.settings.deployment}"
    groups = f"arn:{partition}:logs:{region}:{account}:log-group:{logs}"
    path = path_of(deployment.settings.deployment)
    variables = f"arn:{partition}:ssm:{region}:{account}:parameter{path}"
    return [
        *(f"{bucket}/{prefix}*" for prefix in OBJECTS.get(function, ())),
        *(f"{connections}/{method}/@connections/*" for method in CONNECTIONS.get(function, ())),
        *([f"{variables}/*"] if function in VARIABLES else []),
        *(f"{groups}/{each}:*" for each in LOG_GROUPS.get(function, ())),
    ]


def _imported(stack: Stack, value: str) -> str:
    """The name under which another stack's value is imported."""
    resolved = cast("dict[str, str]", stack.resolve(value))
    return resolved["Fn::ImportValue"]


def _answer_routes(deployment: Deployment) -> None:
    stack = deployment.api
    for route in ("ConnectRoute", "DisconnectRoute", "MessageRoute", "RequestRoute"):
        _answer(
            _child(stack, route),
            "APIG4",
            "Clients authenticate by a message or a header that our own code verifies; public "
            "functions are public",
        )
    _answer(
        _child(stack, "SocketStage"),
        "APIG1",
        "It needs a role that is one per account and region, not ours to set; each message is in "
        "the function's log",
    )


def _child(scope: Construct, name: str) -> IConstruct:
    return scope.node.find_child(name)

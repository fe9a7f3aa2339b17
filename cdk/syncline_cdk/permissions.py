"""What each function may do: written by hand, one role per function, no wildcard action.

Rule of thumb of architecture.md: those that run users' functions for clients (session, http) read
the view and write the log; documents are written by the follower, and by the push, which fills new
indexes and brings the view to its own commit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from aws_cdk import Aws
from aws_cdk import aws_iam as iam

from syncline.aws.settings import (
    BUNDLE_PREFIX,
    EXPORT_PREFIX,
    IMPORT_PREFIX,
    PRIVATE_FILE_PREFIX,
    PUBLIC_FILE_PREFIX,
    SEGMENT_PREFIX,
)
from syncline_cdk.address_stack import AddressStack
from syncline_cdk.data_stack import DataStack
from syncline_cdk.queues import Queues


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything that a function can be allowed to touch."""

    data: DataStack
    address: AddressStack
    queues: Queues
    functions_asset_arn: str
    """The object in the bootstrap bucket that holds the functions to push."""
    action_function_arn: str
    variables_arn: str
    """Of the path in Parameter Store below which environment variables lie."""
    variable_secrets: Sequence[str]
    """ARNs of the secrets that are made environment variables."""
    log_group_arns: Sequence[str]
    """Of the functions that run users' functions."""
    data_function_arn: str = ""
    """Of `http`, once it is there."""


def action_function_name(deployment: str) -> str:
    """Known beforehand: the function asks `http` for data, and `http` starts it."""
    return f"{deployment}-action"


_READ_ITEMS: Final = ("GetItem", "Query")
_ENCRYPTING: Final = frozenset(("dynamodb", "s3", "secretsmanager", "sqs", "ssm"))
"""Services that use the key in the name of who calls them."""


def statements_of(name: str, around: Surroundings) -> Sequence[iam.PolicyStatement]:
    """The policy of the function's role, without its log group and tracing."""
    own = _STATEMENTS[name](around)
    return [*own, *_missing_objects(around, own), _key(around, own)]


def _allow(sid: str, actions: Sequence[str], *resources: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(sid=sid, actions=list(actions), resources=list(resources))


def _table(sid: str, arn: str, *operations: str) -> iam.PolicyStatement:
    return _allow(sid, [f"dynamodb:{operation}" for operation in sorted(operations)], arn)


def _key(around: Surroundings, own: Sequence[iam.PolicyStatement]) -> iam.PolicyStatement:
    """The key, only through the services used and Lambda, which opens the environment with it."""
    actions = {action for statement in own for action in statement.actions}
    used = {action.partition(":")[0] for action in actions}
    # Small secure parameters are the one thing that is encrypted by the key itself.
    encrypting = ["kms:Encrypt"] if "ssm:PutParameter" in actions else []
    return iam.PolicyStatement(
        sid="Key",
        actions=["kms:Decrypt", *encrypting, "kms:GenerateDataKey"],
        resources=[around.data.encryption.arn],
        conditions={
            "StringEquals": {
                "kms:ViaService": [
                    f"{service}.{Aws.REGION}.amazonaws.com"
                    for service in ("lambda", *sorted(used & _ENCRYPTING))
                ]
            }
        },
    )


def _missing_objects(
    around: Surroundings, own: Sequence[iam.PolicyStatement]
) -> list[iam.PolicyStatement]:
    """That a missing object is answered by 404: who may not list is told 403 whatever there is.

    S3 asks for it with the whole key as the prefix (S3 API reference, GetObject, "Permissions").
    """
    bucket = around.data.bucket.bucket_arn
    read = [
        resource.removeprefix(f"{bucket}/")
        for statement in own
        if "s3:GetObject" in statement.actions
        for resource in statement.resources
        if resource.startswith(f"{bucket}/")
    ]
    if not read:
        return []
    statement = _allow("MissingObjects", ["s3:ListBucket"], bucket)
    statement.add_conditions({"StringLike": {"s3:prefix": sorted(read)}})
    return [statement]


def _send(sid: str, *arns: str) -> iam.PolicyStatement:
    return _allow(sid, ["sqs:SendMessage"], *arns)


def _consume(arn: str, *more: str) -> iam.PolicyStatement:
    """What Lambda's poller needs."""
    operations = sorted(("DeleteMessage", "GetQueueAttributes", "ReceiveMessage", *more))
    return _allow("Messages", [f"sqs:{operation}" for operation in operations], arn)


def _objects(
    sid: str, around: Surroundings, prefixes: Sequence[str], *operations: str
) -> iam.PolicyStatement:
    resources = [around.data.bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes]
    return _allow(sid, [f"s3:{operation}" for operation in operations], *resources)


def _admin_secret(around: Surroundings) -> iam.PolicyStatement:
    arn = around.data.admin_secret.secret_arn
    return _allow("AdminSecret", ["secretsmanager:GetSecretValue"], arn)


def _post(around: Surroundings, *methods: str) -> iam.PolicyStatement:
    """Sending to connections, by POST, and closing them, by DELETE."""
    arns = [around.address.connections_arn(method) for method in methods]
    return _allow("Connections", ["execute-api:ManageConnections"], *arns)


def _executor(around: Surroundings) -> list[iam.PolicyStatement]:
    """Running functions: the view is read, the log written, the follower told."""
    return [
        _table("Documents", around.data.tables.documents.table_arn, *_READ_ITEMS),
        _objects("Segments", around, [SEGMENT_PREFIX], "GetObject"),
        _variables(around),
        *_committer(around),
        *around.data.database.statements(),
    ]


def _variables(around: Surroundings) -> iam.PolicyStatement:
    return _allow("Variables", ["ssm:GetParameters"], f"{around.variables_arn}/*")


def _set_variables(around: Surroundings) -> list[iam.PolicyStatement]:
    """Setting environment variables, and letting go of what they were."""
    return [
        _allow(
            "NewVariables",
            ["ssm:DeleteParameters", "ssm:PutParameter"],
            f"{around.variables_arn}/*",
        ),
        _allow("KeptVariables", ["ssm:GetParametersByPath"], around.variables_arn),
    ]


def _committer(around: Surroundings) -> list[iam.PolicyStatement]:
    """Before a commit the marker is set (protocols.md rule 16), after it the follower told."""
    return [
        _marker(around),
        _send("Follower", around.queues.follower.queue_arn),
        _objects("Bundles", around, [BUNDLE_PREFIX], "GetObject"),
    ]


def _marker(around: Surroundings) -> iam.PolicyStatement:
    return _table("Marker", around.data.tables.control.table_arn, "GetItem", "UpdateItem")


def _applier(around: Surroundings) -> list[iam.PolicyStatement]:
    """Applying the log to the view, and waking the sessions that it touches."""
    tables = around.data.tables
    return [
        _table(
            "Documents",
            tables.documents.table_arn,
            *(*_READ_ITEMS, "DeleteItem", "PutItem", "UpdateItem"),
        ),
        _table("Interest", tables.interest.table_arn, "Query", "Scan"),
        _send("Queues", around.queues.session.queue_arn, around.queues.scheduler.queue_arn),
    ]


def _connection(around: Surroundings) -> list[iam.PolicyStatement]:
    return [_send("Lane", around.queues.session.queue_arn)]


def _session(around: Surroundings) -> list[iam.PolicyStatement]:
    tables, queues = around.data.tables, around.queues
    return [
        *_executor(around),
        _table("Sessions", tables.sessions.table_arn, "GetItem", "UpdateItem"),
        _table("Interest", tables.interest.table_arn, "BatchWriteItem", "Query"),
        _send("Lane", queues.session.queue_arn),
        # What can't be handled is given back at once.
        _consume(queues.session.queue_arn, "ChangeMessageVisibility"),
        _admin_secret(around),
        _post(around, "DELETE", "POST"),
        _start_actions(around),
    ]


def _follower(around: Surroundings) -> list[iam.PolicyStatement]:
    return [
        *_applier(around),
        _marker(around),
        *around.data.database.statements(),
        _consume(around.queues.follower.queue_arn),
        # Served by CloudFront until they are gone.
        _objects("DeletedFiles", around, [PRIVATE_FILE_PREFIX, PUBLIC_FILE_PREFIX], "DeleteObject"),
        _objects("Segments", around, [SEGMENT_PREFIX], "GetObject", "PutObject"),
    ]


def _http(around: Surroundings) -> list[iam.PolicyStatement]:
    return [
        *_executor(around),
        _objects("NewBundles", around, [BUNDLE_PREFIX], "PutObject"),
        _objects(
            "Files",
            around,
            [EXPORT_PREFIX, IMPORT_PREFIX],
            *("DeleteObject", "GetObject", "PutObject"),
        ),
        # By a signed URL a client acts in the name of who signed it.
        _objects(
            "StoredFiles",
            around,
            [PRIVATE_FILE_PREFIX, PUBLIC_FILE_PREFIX],
            *("DeleteObject", "GetObject", "PutObject"),
        ),
        _admin_secret(around),
        _start_actions(around),
        *_set_variables(around),
        # `syncline logs`.
        _allow("Logs", ["logs:FilterLogEvents"], *around.log_group_arns),
    ]


def _start_actions(around: Surroundings) -> iam.PolicyStatement:
    return _allow("Actions", ["lambda:InvokeFunction"], around.action_function_arn)


def _action(around: Surroundings) -> list[iam.PolicyStatement]:
    """Users' code with the network: what it may do to data, it asks for."""
    return [
        _allow("Data", ["lambda:InvokeFunction"], around.data_function_arn),
        _objects("Bundles", around, [BUNDLE_PREFIX], "GetObject"),
        _send("Lane", around.queues.session.queue_arn),
    ]


def _scheduler(around: Surroundings) -> list[iam.PolicyStatement]:
    queue = around.queues.scheduler.queue_arn
    return [
        *_executor(around),
        _consume(queue),
        _send("More", queue),
        _start_actions(around),
    ]


def _sweeper(around: Surroundings) -> list[iam.PolicyStatement]:
    tables, queues = around.data.tables, around.queues
    return [
        _table("Marker", tables.control.table_arn, "GetItem"),
        # Whether anybody is there.
        _table("Sessions", tables.sessions.table_arn, "Scan"),
        # What is due.
        _table("Documents", tables.documents.table_arn, "Query"),
        _send(
            "Queues", queues.follower.queue_arn, queues.scheduler.queue_arn, queues.tick.queue_arn
        ),
    ]


def _ticker(around: Surroundings) -> list[iam.PolicyStatement]:
    queues = around.queues
    return [
        _table("Sessions", around.data.tables.sessions.table_arn, "Scan"),
        _send("Lane", queues.session.queue_arn),
        _consume(queues.tick.queue_arn),
        _post(around, "POST"),
    ]


def _push(around: Surroundings) -> list[iam.PolicyStatement]:
    return [
        *_applier(around),
        *_committer(around),
        *around.data.database.owner_statements(),
        _objects("NewBundles", around, [BUNDLE_PREFIX], "PutObject"),
        _allow("Functions", ["s3:GetObject"], around.functions_asset_arn),
        # Whether it is part of a rollback.
        _allow("OwnStack", ["cloudformation:DescribeStacks"], Aws.STACK_ID),
        _variables(around),
        *_set_variables(around),
        *_variable_secrets(around),
    ]


def _variable_secrets(around: Surroundings) -> list[iam.PolicyStatement]:
    if not around.variable_secrets:
        return []
    actions = ["secretsmanager:GetSecretValue"]
    return [_allow("VariableSecrets", actions, *around.variable_secrets)]


_STATEMENTS: Final[Mapping[str, Callable[[Surroundings], list[iam.PolicyStatement]]]] = (
    MappingProxyType({
        "connection": _connection,
        "session": _session,
        "follower": _follower,
        "http": _http,
        "action": _action,
        "scheduler": _scheduler,
        "sweeper": _sweeper,
        "ticker": _ticker,
        "push": _push,
    })
)  # fmt: skip

"""What each function may do: written by hand, one role per function, no wildcard action.

Rule of thumb of architecture.md: executors (session, http, push) read the view and write the log;
only the follower writes documents.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from aws_cdk import Aws
from aws_cdk import aws_iam as iam

from syncline.aws.settings import BUNDLE_PREFIX, EXPORT_PREFIX, IMPORT_PREFIX
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


_READ_ITEMS: Final = ("BatchGetItem", "GetItem", "Query")
_ENCRYPTING: Final = frozenset(("dynamodb", "s3", "secretsmanager", "sqs"))
"""Services that use the key in the name of who calls them."""


def statements_of(name: str, around: Surroundings) -> Sequence[iam.PolicyStatement]:
    """The policy of the function's role, without its log group and tracing."""
    own = _STATEMENTS[name](around)
    return [*own, _key(around, own)]


def _allow(sid: str, actions: Sequence[str], *resources: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(sid=sid, actions=list(actions), resources=list(resources))


def _table(sid: str, arn: str, *operations: str) -> iam.PolicyStatement:
    return _allow(sid, [f"dynamodb:{operation}" for operation in sorted(operations)], arn)


def _key(around: Surroundings, own: Sequence[iam.PolicyStatement]) -> iam.PolicyStatement:
    """The key, only through the services used and Lambda, which opens the environment with it."""
    used = {action.partition(":")[0] for statement in own for action in statement.actions}
    return iam.PolicyStatement(
        sid="Key",
        actions=["kms:Decrypt", "kms:GenerateDataKey"],
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


def _send(sid: str, *arns: str) -> iam.PolicyStatement:
    return _allow(sid, ["sqs:SendMessage"], *arns)


def _consume(arn: str) -> iam.PolicyStatement:
    """What Lambda's poller needs, and giving a message back at once."""
    actions = "ChangeMessageVisibility DeleteMessage GetQueueAttributes ReceiveMessage".split()
    return _allow("Messages", [f"sqs:{action}" for action in actions], arn)


def _objects(
    sid: str, around: Surroundings, prefixes: Sequence[str], *operations: str
) -> iam.PolicyStatement:
    resources = [around.data.bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes]
    return _allow(sid, [f"s3:{operation}" for operation in operations], *resources)


def _admin_secret(around: Surroundings) -> iam.PolicyStatement:
    arn = around.data.admin_secret.secret_arn
    return _allow("AdminSecret", ["secretsmanager:GetSecretValue"], arn)


def _executor(around: Surroundings) -> list[iam.PolicyStatement]:
    """Running functions: the view is read, the marker set, the follower told."""
    tables = around.data.tables
    return [
        _table("Documents", tables.documents.table_arn, *_READ_ITEMS),
        # The marker is set before a commit (protocols.md rule 16).
        _table("Marker", tables.control.table_arn, "GetItem", "UpdateItem"),
        _send("Follower", around.queues.follower.queue_arn),
    ]


def _connection(around: Surroundings) -> list[iam.PolicyStatement]:
    return [_send("Lane", around.queues.session.queue_arn)]


def _session(around: Surroundings) -> list[iam.PolicyStatement]:
    tables, queues = around.data.tables, around.queues
    return [
        *_executor(around),
        *around.data.database.statements(),
        _table("Sessions", tables.sessions.table_arn, "GetItem", "PutItem", "UpdateItem"),
        _table("Interest", tables.interest.table_arn, "BatchWriteItem", "Query"),
        _send("Lane", queues.session.queue_arn),
        _consume(queues.session.queue_arn),
        _objects("Bundles", around, [BUNDLE_PREFIX], "GetObject"),
        _admin_secret(around),
        _allow(
            "Connections",
            ["execute-api:ManageConnections"],
            around.address.connections_arn("DELETE"),
            around.address.connections_arn("POST"),
        ),
    ]


def _follower(around: Surroundings) -> list[iam.PolicyStatement]:
    tables, queues = around.data.tables, around.queues
    return [
        _table(
            "Documents",
            tables.documents.table_arn,
            *(*_READ_ITEMS, "DeleteItem", "PutItem", "UpdateItem"),
        ),
        _table("Marker", tables.control.table_arn, "GetItem", "UpdateItem"),
        _table("Interest", tables.interest.table_arn, "Query", "Scan"),
        *around.data.database.statements(),
        _send("LaneAndAgain", queues.session.queue_arn, queues.follower.queue_arn),
        _consume(queues.follower.queue_arn),
    ]


def _http(around: Surroundings) -> list[iam.PolicyStatement]:
    return [
        *_executor(around),
        *around.data.database.statements(),
        _objects("Bundles", around, [BUNDLE_PREFIX], "GetObject", "PutObject"),
        _objects("Files", around, [EXPORT_PREFIX, IMPORT_PREFIX], "GetObject", "PutObject"),
        _admin_secret(around),
    ]


def _sweeper(around: Surroundings) -> list[iam.PolicyStatement]:
    queues = around.queues
    return [
        _table("Marker", around.data.tables.control.table_arn, "GetItem"),
        _send("TicksAndFollower", queues.follower.queue_arn, queues.tick.queue_arn),
    ]


def _ticker(around: Surroundings) -> list[iam.PolicyStatement]:
    queues = around.queues
    return [
        _table("Sessions", around.data.tables.sessions.table_arn, "Scan"),
        _send("Lane", queues.session.queue_arn),
        _consume(queues.tick.queue_arn),
    ]


def _push(around: Surroundings) -> list[iam.PolicyStatement]:
    return [
        *_executor(around),
        *around.data.database.owner_statements(),
        _objects("Bundles", around, [BUNDLE_PREFIX], "GetObject", "PutObject"),
        _allow("Functions", ["s3:GetObject"], around.functions_asset_arn),
    ]


_STATEMENTS: Final[Mapping[str, Callable[[Surroundings], list[iam.PolicyStatement]]]] = (
    MappingProxyType({
        "connection": _connection,
        "session": _session,
        "follower": _follower,
        "http": _http,
        "sweeper": _sweeper,
        "ticker": _ticker,
        "push": _push,
    })
)  # fmt: skip

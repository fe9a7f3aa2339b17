"""Which permissions an AWS call needs: from an operation of the SDK to IAM actions and ARNs.

Source: the Service Authorization Reference ("Actions, resources, and condition keys") of each
service, and the services' pages on KMS. Only operations that a deployment has a reason to make are
known; any other is refused by name, so that no call passes unjudged.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias, TypeVar, cast
from urllib.parse import urlsplit

import msgspec

from syncline.errors import DeveloperError

T = TypeVar("T")


class Call(msgspec.Struct, frozen=True):
    """One AWS call as it was recorded: a line of JSON.

    `role`: the name under which the role's policies are known. `function`: who called, for
    messages. `service` and `operation` as botocore names them ("rds-data", "ExecuteStatement").
    `parameters`: those of the call that name resources, as botocore takes them; a call to
    apigatewaymanagementapi adds `endpoint`, the address that the client was made for.
    """

    role: str
    function: str
    service: str
    operation: str
    parameters: dict[str, object] = {}


@dataclass(frozen=True, slots=True)
class Place:
    """Where calls are made. `keys`: the KMS key's ARN by the ARN of what it encrypts."""

    region: str
    account: str
    partition: str = "aws"
    keys: Mapping[str, str] = field(default_factory=dict[str, str])

    def arn(self, service: str, resource: str) -> str:
        """An ARN of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True, slots=True)
class Need:
    """One permission that a call needs; `context` holds the condition keys (IAM, "Global keys")."""

    action: str
    resource: str
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


def read_calls(lines: Iterable[str]) -> Iterator[Call]:
    """The calls in lines of JSON; empty lines are skipped.

    Raises:
        DeveloperError: UnreadableCall: a line is no call.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield msgspec.json.decode(line, type=Call)
            except msgspec.DecodeError as error:
                raise DeveloperError(
                    "UnreadableCall", f"Line {number} is no recorded call: {error}"
                ) from error


def needs_of(call: Call, place: Place) -> tuple[Need, ...]:
    """Every permission that the call needs, those for encryption included; at least one.

    Raises:
        DeveloperError: UnknownOperation: nothing is known of it here; UnnamedResource: the record
            does not say what the call is about.
    """
    rule = _RULES.get((call.service, call.operation))
    if rule is None:
        raise DeveloperError(
            "UnknownOperation",
            f"{call.service}:{call.operation}, called by {call.function}: no rule says which "
            "permissions it needs; add one to local_cloud/iam_actions.py.",
        )
    around = {"aws:RequestedRegion": (place.region,), "aws:SecureTransport": ("true",)}
    return tuple(
        Need(need.action, need.resource, {**around, **need.context}) for need in rule(call, place)
    )


# Parameters


def _value(call: Call, name: str, kind: type[T]) -> T:
    value = call.parameters.get(name)
    if not isinstance(value, kind) or not value:
        raise DeveloperError(
            "UnnamedResource",
            f"{call.service}:{call.operation}, called by {call.function}: the record has no "
            f"{kind.__name__} {name!r}, so what it is about can't be told.",
        )
    return value


def _text(call: Call, name: str) -> str:
    return _value(call, name, str)


def _arn(call: Call, name: str) -> str:
    """A parameter that must be an ARN: a mere name has parts that only AWS knows."""
    text = _text(call, name)
    if not text.startswith("arn:"):
        raise DeveloperError(
            "UnnamedResource",
            f"{call.service}:{call.operation}, called by {call.function}: {name} is {text!r}; "
            "name it by its ARN, which policies speak of.",
        )
    return text


# Encryption: services use the key in the name of who calls them


def _key(place: Place, service: str, resource: str, *actions: str) -> list[Need]:
    key = place.keys.get(resource)
    if key is None:
        return []
    context = {"kms:ViaService": (f"{service}.{place.region}.amazonaws.com",)}
    return [Need(f"kms:{action}", key, context) for action in actions]


# DynamoDB

_TRANSACTIONS: Final = MappingProxyType(
    {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}
    | {"ConditionCheck": "ConditionCheckItem", "Get": "GetItem"}
)
"""A transaction needs the permission of each part (DynamoDB, "IAM for transactions")."""


def _on_table(operation: str, table: str, place: Place, index: str = "") -> list[Need]:
    arn = table if table.startswith("arn:") else place.arn("dynamodb", f"table/{table}")
    resource = f"{arn}/index/{index}" if index else arn
    return [
        Need(f"dynamodb:{operation}", resource),
        *_key(place, "dynamodb", arn, "Decrypt"),
    ]


def _table(call: Call, place: Place) -> list[Need]:
    index = str(call.parameters.get("IndexName") or "")
    return _on_table(call.operation, _text(call, "TableName"), place, index)


def _tables(call: Call, place: Place) -> list[Need]:
    tables = cast("Mapping[str, object]", _value(call, "RequestItems", dict))
    return [need for table in tables for need in _on_table(call.operation, table, place)]


def _transaction(call: Call, place: Place) -> list[Need]:
    items = cast("Sequence[Mapping[str, Mapping[str, str]]]", _value(call, "TransactItems", list))
    return [
        need
        for item in items
        for part, given in item.items()
        for need in _on_table(_TRANSACTIONS[part], given["TableName"], place)
    ]


# SQS


def _queue(action: str, *key_actions: str) -> "Rule":
    def rule(call: Call, place: Place) -> list[Need]:
        *_, account, name = urlsplit(_text(call, "QueueUrl")).path.split("/")
        arn = f"arn:{place.partition}:sqs:{place.region}:{account}:{name}"
        return [Need(f"sqs:{action}", arn), *_key(place, "sqs", arn, *key_actions)]

    return rule


# S3


def _on_object(action: str, bucket: str, key: str, place: Place, *key_actions: str) -> list[Need]:
    arn = f"arn:{place.partition}:s3:::{bucket}"
    return [Need(f"s3:{action}", f"{arn}/{key}"), *_key(place, "s3", arn, *key_actions)]


def _object(action: str, *key_actions: str) -> "Rule":
    def rule(call: Call, place: Place) -> list[Need]:
        return _on_object(action, _text(call, "Bucket"), _text(call, "Key"), place, *key_actions)

    return rule


def _copy(call: Call, place: Place) -> list[Need]:
    source = call.parameters.get("CopySource")
    if isinstance(source, dict):
        named = cast("Mapping[str, str]", source)
        bucket, key = named["Bucket"], named["Key"]
    else:
        bucket, _, key = _text(call, "CopySource").lstrip("/").partition("/")
    return [
        *_on_object("GetObject", bucket, key, place, "Decrypt"),
        *_object("PutObject", "GenerateDataKey")(call, place),
    ]


def _deleted_objects(call: Call, place: Place) -> list[Need]:
    """Each key is asked for as by a call of its own (S3 API reference, "DeleteObjects")."""
    named = cast("Mapping[str, Sequence[Mapping[str, str]]]", _value(call, "Delete", dict))
    bucket = _text(call, "Bucket")
    return [
        need
        for each in named["Objects"]
        for need in _on_object("DeleteObject", bucket, each["Key"], place)
    ]


def _bucket(call: Call, place: Place) -> list[Need]:
    prefix = call.parameters.get("Prefix")
    context = {"s3:prefix": (prefix,)} if isinstance(prefix, str) else {}
    return [Need("s3:ListBucket", f"arn:{place.partition}:s3:::{_text(call, 'Bucket')}", context)]


# The database and secrets


def _secret_value(arn: str, place: Place) -> list[Need]:
    return [
        Need("secretsmanager:GetSecretValue", arn),
        *_key(place, "secretsmanager", arn, "Decrypt"),
    ]


def _secret(call: Call, place: Place) -> list[Need]:
    return _secret_value(_arn(call, "SecretId"), place)


def _statement(call: Call, place: Place) -> list[Need]:
    """The Data API reads the login as its caller (Aurora User Guide, "Using the Data API")."""
    return [
        Need(f"rds-data:{call.operation}", _arn(call, "resourceArn")),
        *_secret_value(_arn(call, "secretArn"), place),
    ]


# Parameter Store

PARAMETERS: Final = "parameter"
"""The resource that stands for all parameters, among what the key encrypts."""


def _on_parameter(action: str, name: str, place: Place, *key_actions: str) -> list[Need]:
    """Names begin with a slash, which ARNs have once (SSM, "Restrict access by IAM policies")."""
    arn = place.arn("ssm", f"{PARAMETERS}{name}")
    key = _key(place, "ssm", place.arn("ssm", PARAMETERS), *key_actions)
    return [Need(f"ssm:{action}", arn), *key]


def _parameters(call: Call, place: Place) -> list[Need]:
    is_opened = bool(call.parameters.get("WithDecryption"))
    return [
        need
        for name in cast("Sequence[str]", _value(call, "Names", list))
        for need in _on_parameter(call.operation, name, place, *(["Decrypt"] if is_opened else []))
    ]


def _parameter_path(call: Call, place: Place) -> list[Need]:
    return _on_parameter(call.operation, _text(call, "Path"), place)


def _new_parameter(call: Call, place: Place) -> list[Need]:
    """A SecureString of the standard tier is encrypted by the key itself (SSM, "SecureString")."""
    return _on_parameter(call.operation, _text(call, "Name"), place, "Encrypt")


# The others


def _connection(method: str) -> "Rule":
    def rule(call: Call, place: Place) -> list[Need]:
        endpoint = urlsplit(_text(call, "endpoint"))
        api, stage = (endpoint.hostname or "").partition(".")[0], endpoint.path.strip("/")
        connection = _text(call, "ConnectionId")
        resource = f"{api}/{stage}/{method}/@connections/{connection}"
        return [Need("execute-api:ManageConnections", place.arn("execute-api", resource))]

    return rule


def _log_stream(call: Call, place: Place) -> list[Need]:
    """A stream that is yet to be made has no name in the ARN that is checked."""
    stream = _text(call, "logStreamName") if call.operation == "PutLogEvents" else ""
    group = _text(call, "logGroupName")
    return [
        Need(f"logs:{call.operation}", place.arn("logs", f"log-group:{group}:log-stream:{stream}"))
    ]


def _log_group(call: Call, place: Place) -> list[Need]:
    """All streams of a group."""
    group = _text(call, "logGroupName")
    return [Need(f"logs:{call.operation}", place.arn("logs", f"log-group:{group}:*"))]


def _trace(call: Call, place: Place) -> list[Need]:
    """X-Ray knows no resources."""
    del place
    return [Need(f"xray:{call.operation}", "*")]


def _function(call: Call, place: Place) -> list[Need]:
    name = _text(call, "FunctionName")
    arn = name if name.startswith("arn:") else place.arn("lambda", f"function:{name}")
    return [Need("lambda:InvokeFunction", arn)]


def _stack(call: Call, place: Place) -> list[Need]:
    del place
    return [Need(f"cloudformation:{call.operation}", _arn(call, "StackName"))]


Rule: TypeAlias = Callable[[Call, Place], list[Need]]


def _rules(service: str, rule: Rule, *operations: str) -> dict[tuple[str, str], Rule]:
    return {(service, operation): rule for operation in operations}


_RULES: Final[Mapping[tuple[str, str], Rule]] = MappingProxyType({
    **_rules("lambda", _function, "Invoke"),
    **_rules("dynamodb", _table, "DeleteItem", "DescribeTable", "GetItem", "PutItem"),
    **_rules("dynamodb", _table, "Query", "Scan", "UpdateItem"),
    **_rules("dynamodb", _tables, "BatchGetItem", "BatchWriteItem"),
    **_rules("dynamodb", _transaction, "TransactGetItems", "TransactWriteItems"),
    # A sender checks the data key it is given (SQS, "Key management": producers need both).
    **_rules("sqs", _queue("SendMessage", "GenerateDataKey", "Decrypt"), "SendMessage"),
    **_rules("sqs", _queue("SendMessage", "GenerateDataKey", "Decrypt"), "SendMessageBatch"),
    **_rules("sqs", _queue("ReceiveMessage", "Decrypt"), "ReceiveMessage"),
    **_rules("sqs", _queue("DeleteMessage"), "DeleteMessage", "DeleteMessageBatch"),
    **_rules("sqs", _queue("ChangeMessageVisibility"), "ChangeMessageVisibility"),
    **_rules("sqs", _queue("ChangeMessageVisibility"), "ChangeMessageVisibilityBatch"),
    **_rules("sqs", _queue("GetQueueAttributes"), "GetQueueAttributes"),
    **_rules("s3", _object("GetObject", "Decrypt"), "GetObject", "HeadObject"),
    **_rules("s3", _object("PutObject", "GenerateDataKey"), "PutObject"),
    # The parts are put together under the key of the upload (S3, "Multipart upload and KMS").
    **_rules("s3", _object("PutObject", "GenerateDataKey", "Decrypt"), "CreateMultipartUpload"),
    **_rules("s3", _object("PutObject", "GenerateDataKey", "Decrypt"), "UploadPart"),
    **_rules("s3", _object("PutObject", "GenerateDataKey", "Decrypt"), "CompleteMultipartUpload"),
    **_rules("s3", _object("AbortMultipartUpload"), "AbortMultipartUpload"),
    **_rules("s3", _object("ListMultipartUploadParts"), "ListParts"),
    **_rules("s3", _object("DeleteObject"), "DeleteObject"),
    **_rules("s3", _deleted_objects, "DeleteObjects"),
    **_rules("s3", _copy, "CopyObject", "UploadPartCopy"),
    **_rules("s3", _bucket, "HeadBucket", "ListObjects", "ListObjectsV2"),
    **_rules("rds-data", _statement, "BatchExecuteStatement", "BeginTransaction"),
    **_rules("rds-data", _statement, "CommitTransaction", "ExecuteStatement"),
    **_rules("rds-data", _statement, "RollbackTransaction"),
    **_rules("secretsmanager", _secret, "GetSecretValue"),
    **_rules("ssm", _parameters, "DeleteParameters", "GetParameters"),
    **_rules("ssm", _parameter_path, "GetParametersByPath"),
    **_rules("ssm", _new_parameter, "PutParameter"),
    **_rules("apigatewaymanagementapi", _connection("POST"), "PostToConnection"),
    **_rules("apigatewaymanagementapi", _connection("DELETE"), "DeleteConnection"),
    **_rules("apigatewaymanagementapi", _connection("GET"), "GetConnection"),
    **_rules("logs", _log_stream, "CreateLogStream", "PutLogEvents"),
    **_rules("logs", _log_group, "FilterLogEvents"),
    **_rules("xray", _trace, "PutTelemetryRecords", "PutTraceSegments"),
    **_rules("cloudformation", _stack, "DescribeStacks"),
})  # fmt: skip

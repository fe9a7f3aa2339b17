"""Recorded calls against policies: what is needed, what is allowed, what nobody uses."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.errors import DeveloperError
from syncline.local_cloud.iam_actions import Call, Need, Place, needs_of, read_calls
from syncline.local_cloud.policy import (
    Acknowledgement,
    Permission,
    is_allowed,
    judge,
    parse_policy,
)

REGION, ACCOUNT = "eu-west-1", "111122223333"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/docs"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:lanes.fifo"
QUEUE_URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/lanes.fifo"
CLUSTER = f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:log"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:login-abcdef"
GATEWAY = f"https://api1.execute-api.{REGION}.amazonaws.com/live"
PARAMETERS = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter"
SOCKETS = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:api1/live"
PLAIN = Place(REGION, ACCOUNT)
KEYED = Place(
    REGION,
    ACCOUNT,
    keys={TABLE: KEY, QUEUE: KEY, SECRET: KEY, PARAMETERS: KEY, "arn:aws:s3:::files": KEY},
)


def call(service: str, operation: str, role: str = "session", **parameters: object) -> Call:
    return Call(role, "session", service, operation, parameters)


def pairs(made: Call, place: Place = PLAIN) -> list[tuple[str, str]]:
    return [(need.action, need.resource) for need in needs_of(made, place)]


def document(**statement: object) -> dict[str, object]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "S", "Effect": "Allow", "Action": "x:Y", "Resource": "*"} | statement
        ],
    }


def allows(need: Need, *documents: dict[str, object]) -> bool:
    return is_allowed([parse_policy(given) for given in documents], need)


# What calls need

TABLE_2 = TABLE.replace("docs", "other")

NEEDS = [
    (
        call("lambda", "Invoke", FunctionName="d-action", InvocationType="Event"),
        [("lambda:InvokeFunction", PLAIN.arn("lambda", "function:d-action"))],
    ),
    (call("dynamodb", "GetItem", TableName="docs"), [("dynamodb:GetItem", TABLE)]),
    (call("dynamodb", "Scan", TableName=TABLE), [("dynamodb:Scan", TABLE)]),
    (
        call("dynamodb", "Query", TableName="docs", IndexName="by_time"),
        [("dynamodb:Query", f"{TABLE}/index/by_time")],
    ),
    (
        call("dynamodb", "BatchGetItem", RequestItems={"docs": {}, "other": {}}),
        [("dynamodb:BatchGetItem", TABLE), ("dynamodb:BatchGetItem", TABLE_2)],
    ),
    (
        call("dynamodb", "BatchWriteItem", RequestItems={"docs": []}),
        [("dynamodb:BatchWriteItem", TABLE)],
    ),
    (
        call(
            "dynamodb",
            "TransactWriteItems",
            TransactItems=[
                {"Put": {"TableName": "docs"}},
                {"ConditionCheck": {"TableName": "other"}},
            ],
        ),
        [("dynamodb:PutItem", TABLE), ("dynamodb:ConditionCheckItem", TABLE_2)],
    ),
    (call("sqs", "SendMessageBatch", QueueUrl=QUEUE_URL), [("sqs:SendMessage", QUEUE)]),
    (call("sqs", "DeleteMessageBatch", QueueUrl=QUEUE_URL), [("sqs:DeleteMessage", QUEUE)]),
    (
        call("s3", "GetObject", Bucket="files", Key="a/b c"),
        [("s3:GetObject", "arn:aws:s3:::files/a/b c")],
    ),
    (
        call("s3", "HeadObject", Bucket="files", Key="a"),
        [("s3:GetObject", "arn:aws:s3:::files/a")],
    ),
    (call("s3", "ListObjectsV2", Bucket="files"), [("s3:ListBucket", "arn:aws:s3:::files")]),
    (call("s3", "UploadPart", Bucket="files", Key="a"), [("s3:PutObject", "arn:aws:s3:::files/a")]),
    (
        call("s3", "CopyObject", Bucket="files", Key="b", CopySource="/old/x/y"),
        [("s3:GetObject", "arn:aws:s3:::old/x/y"), ("s3:PutObject", "arn:aws:s3:::files/b")],
    ),
    (
        call("s3", "CopyObject", Bucket="files", Key="b", CopySource={"Bucket": "old", "Key": "x"}),
        [("s3:GetObject", "arn:aws:s3:::old/x"), ("s3:PutObject", "arn:aws:s3:::files/b")],
    ),
    (
        call("rds-data", "ExecuteStatement", resourceArn=CLUSTER, secretArn=SECRET),
        [("rds-data:ExecuteStatement", CLUSTER), ("secretsmanager:GetSecretValue", SECRET)],
    ),
    (
        call("secretsmanager", "GetSecretValue", SecretId=SECRET),
        [("secretsmanager:GetSecretValue", SECRET)],
    ),
    (
        call("apigatewaymanagementapi", "PostToConnection", endpoint=GATEWAY, ConnectionId="c="),
        [("execute-api:ManageConnections", f"{SOCKETS}/POST/@connections/c=")],
    ),
    (
        call("apigatewaymanagementapi", "DeleteConnection", endpoint=GATEWAY, ConnectionId="c="),
        [("execute-api:ManageConnections", f"{SOCKETS}/DELETE/@connections/c=")],
    ),
    (
        call("ssm", "GetParameters", Names=["/a/B", "/a/C"], WithDecryption=True),
        [("ssm:GetParameters", f"{PARAMETERS}/a/B"), ("ssm:GetParameters", f"{PARAMETERS}/a/C")],
    ),
    (
        call("ssm", "GetParametersByPath", Path="/a", Recursive=True),
        [("ssm:GetParametersByPath", f"{PARAMETERS}/a")],
    ),
    (call("ssm", "PutParameter", Name="/a/B"), [("ssm:PutParameter", f"{PARAMETERS}/a/B")]),
    (
        call("ssm", "DeleteParameters", Names=["/a/B"]),
        [("ssm:DeleteParameters", f"{PARAMETERS}/a/B")],
    ),
    (call("xray", "PutTraceSegments"), [("xray:PutTraceSegments", "*")]),
    (
        call("logs", "PutLogEvents", logGroupName="/g", logStreamName="s"),
        [("logs:PutLogEvents", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/g:log-stream:s")],
    ),
    (
        call("logs", "CreateLogStream", logGroupName="/g", logStreamName="s"),
        [("logs:CreateLogStream", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/g:log-stream:")],
    ),
]


@pytest.mark.parametrize(
    ("made", "needed"),
    NEEDS,
    ids=[f"{c.service}:{c.operation}-{n}" for n, (c, _) in enumerate(NEEDS)],
)
def test_a_call_needs_these_actions_on_these_resources(made: Call, needed: list[tuple[str, str]]):
    assert pairs(made) == needed


@pytest.mark.parametrize(
    ("made", "service", "actions"),
    [
        (call("dynamodb", "Query", TableName="docs"), "dynamodb", ["Decrypt"]),
        (call("sqs", "SendMessage", QueueUrl=QUEUE_URL), "sqs", ["GenerateDataKey", "Decrypt"]),
        (call("sqs", "ReceiveMessage", QueueUrl=QUEUE_URL), "sqs", ["Decrypt"]),
        (call("sqs", "DeleteMessage", QueueUrl=QUEUE_URL), "sqs", []),
        (call("s3", "GetObject", Bucket="files", Key="a"), "s3", ["Decrypt"]),
        (call("s3", "PutObject", Bucket="files", Key="a"), "s3", ["GenerateDataKey"]),
        (
            call("rds-data", "ExecuteStatement", resourceArn=CLUSTER, secretArn=SECRET),
            "secretsmanager",
            ["Decrypt"],
        ),
        (call("ssm", "GetParameters", Names=["/a"], WithDecryption=True), "ssm", ["Decrypt"]),
        (call("ssm", "GetParametersByPath", Path="/a", WithDecryption=False), "ssm", []),
        (call("ssm", "PutParameter", Name="/a"), "ssm", ["Encrypt"]),
        (call("ssm", "DeleteParameters", Names=["/a"]), "ssm", []),
    ],
)
def test_what_is_encrypted_needs_the_key_through_its_service(
    made: Call, service: str, actions: list[str]
):
    keyed = [need for need in needs_of(made, KEYED) if need.action.startswith("kms:")]
    assert [need.action for need in keyed] == [f"kms:{action}" for action in actions]
    for need in keyed:
        assert need.resource == KEY
        assert need.context["kms:ViaService"] == (f"{service}.{REGION}.amazonaws.com",)


def test_an_unknown_operation_is_refused_by_name():
    with pytest.raises(DeveloperError, match="dynamodb:DeleteTable") as refused:
        needs_of(call("dynamodb", "DeleteTable", TableName="docs"), PLAIN)
    assert refused.value.code == "UnknownOperation"


@pytest.mark.parametrize(
    ("made", "missing"),
    [
        (call("dynamodb", "GetItem"), "TableName"),
        (call("dynamodb", "BatchGetItem", RequestItems={}), "RequestItems"),
        (call("secretsmanager", "GetSecretValue", SecretId="login"), "ARN"),
        (call("apigatewaymanagementapi", "PostToConnection", ConnectionId="c"), "endpoint"),
    ],
)
def test_a_record_that_does_not_name_its_resource_is_refused(made: Call, missing: str):
    with pytest.raises(DeveloperError, match=missing) as refused:
        needs_of(made, PLAIN)
    assert refused.value.code == "UnnamedResource"


def test_calls_are_read_from_lines_of_json():
    line = json.dumps({
        "role": "r", "function": "f", "service": "sqs", "operation": "SendMessage",
        "parameters": {"QueueUrl": QUEUE_URL}, "at": 1.5,
    })  # fmt: skip
    assert list(read_calls([line + "\n", "\n"])) == [
        Call("r", "f", "sqs", "SendMessage", {"QueueUrl": QUEUE_URL})
    ]
    with pytest.raises(DeveloperError, match="Line 2"):
        list(read_calls([line, '{"role": 1}']))


# What policies allow


def test_nothing_is_allowed_that_no_statement_allows():
    need = Need("sqs:SendMessage", QUEUE)
    assert not allows(need)
    assert not allows(need, document(Action="sqs:ReceiveMessage"))
    assert not allows(need, document(Action="sqs:SendMessage", Resource=f"{QUEUE}x"))
    assert allows(need, document(), document(Action=["a:B", "SQS:sendmessage"], Resource=[QUEUE]))


def test_a_denial_wins_over_every_permission():
    need = Need("sqs:SendMessage", QUEUE)
    permission = document(Action="sqs:*")
    assert allows(need, permission)
    assert not allows(need, permission, document(Effect="Deny", Action="sqs:Send*"))
    assert not allows(need, document(Effect="Deny", Action="sqs:Send*"))
    assert allows(need, permission, document(Effect="Deny", Action="sqs:Receive*"))


@pytest.mark.parametrize(
    ("pattern", "resource", "covers"),
    [
        ("*", "", True),
        ("arn:aws:s3:::b/bundles/*", "arn:aws:s3:::b/bundles/x/y.zip", True),
        ("arn:aws:s3:::b/bundles/*", "arn:aws:s3:::b/bundles", False),
        ("arn:aws:s3:::b/?", "arn:aws:s3:::b/a", True),
        ("arn:aws:s3:::b/?", "arn:aws:s3:::b/ab", False),
        ("arn:aws:s3:::b/?", "arn:aws:s3:::b/", False),
        ("arn:aws:s3:::b.c", "arn:aws:s3:::bxc", False),
        ("arn:aws:s3:::B", "arn:aws:s3:::b", False),
        ("arn:aws:s3:::b/[a]", "arn:aws:s3:::b/a", False),
        (f"{SOCKETS}/POST/@connections/*", f"{SOCKETS}/DELETE/@connections/c", False),
    ],
)
def test_resources_match_by_stars_and_question_marks_only(
    pattern: str, resource: str, covers: bool
):
    assert allows(Need("x:Y", resource), document(Resource=pattern)) is covers


def test_not_action_and_not_resource_mean_all_others():
    exceptions = {"Sid": "S", "Effect": "Allow", "NotAction": "iam:*", "NotResource": QUEUE}
    policy: dict[str, object] = {"Version": "2012-10-17", "Statement": exceptions}
    assert allows(Need("sqs:SendMessage", TABLE), policy)
    assert not allows(Need("iam:PassRole", TABLE), policy)
    assert not allows(Need("sqs:SendMessage", QUEUE), policy)


@pytest.mark.parametrize(
    ("operator", "wanted", "given", "holds"),
    [
        ("StringEquals", "sqs.eu.com", ("sqs.eu.com",), True),
        ("StringEquals", "sqs.*", ("sqs.eu.com",), False),
        ("StringEquals", ["s3.eu.com", "sqs.eu.com"], ("sqs.eu.com",), True),
        ("StringEquals", "x", (), False),
        ("StringLike", "sqs.*", ("sqs.eu.com",), True),
        ("StringLike", "sqs.?", ("sqs.eu.com",), False),
        ("ArnLike", "arn:aws:*:eu:1:*", ("arn:aws:sqs:eu:1:a:b",), True),
        ("ArnLike", "arn:*:b", ("arn:aws:sqs:eu:1:b",), False),
        ("Bool", "true", ("true",), True),
        ("Bool", True, ("true",), True),
        ("Bool", "false", ("true",), False),
        ("ForAllValues:StringLike", ["a*", "b"], ("aa", "b"), True),
        ("ForAllValues:StringLike", ["a*"], ("aa", "b"), False),
        ("ForAllValues:StringLike", ["a*"], (), True),
    ],
)
def test_conditions_decide_whether_a_statement_counts(
    operator: str, wanted: object, given: tuple[str, ...], holds: bool
):
    policy = document(Condition={operator: {"KMS:viaService": wanted}})
    context = {"kms:ViaService": given} if given else {}
    assert allows(Need("x:Y", KEY, context), policy) is holds


def test_a_listing_is_judged_by_its_prefix():
    arn = "arn:aws:s3:::files"
    policy = document(
        Action="s3:ListBucket", Resource=arn, Condition={"StringLike": {"s3:prefix": ["a/*"]}}
    )
    for asked, holds in (({"Prefix": "a/b"}, True), ({"Prefix": "b/"}, False), ({}, False)):
        (need,) = needs_of(call("s3", "ListObjectsV2", Bucket="files", **asked), PLAIN)
        assert allows(need, policy) is holds


def test_all_conditions_of_a_statement_must_hold():
    condition = {"StringEquals": {"kms:ViaService": "s3"}, "Bool": {"aws:SecureTransport": "true"}}
    policy = document(Condition=condition)
    secure = {"kms:ViaService": ("s3",), "aws:SecureTransport": ("true",)}
    assert allows(Need("x:Y", KEY, secure), policy)
    assert not allows(Need("x:Y", KEY, {**secure, "aws:SecureTransport": ("false",)}), policy)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ({"Condition": {"StringNotEquals": {"kms:ViaService": "x"}}}, "StringNotEquals"),
        ({"Condition": {"ForAnyValue:StringLike": {"kms:ViaService": "x"}}}, "ForAnyValue"),
        ({"Condition": {"StringEquals": {"aws:PrincipalTag/a": "x"}}}, "PrincipalTag"),
        ({"Condition": {"StringLike": {"kms:ViaService": "${aws:username}"}}}, "variables"),
        ({"Resource": "arn:aws:s3:::b/${aws:username}"}, "variables"),
        ({"Resource": {"Fn::GetAtt": ["Queue", "Arn"]}}, "Resource"),
        ({"NotAction": "x:Z"}, "Action"),
        ({"Principal": "*"}, "Principal"),
        ({"Effect": "allow"}, "Effect"),
    ],
)
def test_a_policy_that_is_not_understood_is_refused(statement: dict[str, object], named: str):
    with pytest.raises(DeveloperError, match=named) as refused:
        parse_policy(document(**statement))
    assert refused.value.code == "BadPolicy"


# Judging

SENDS = call("sqs", "SendMessage", QueueUrl=QUEUE_URL)
MAY_SEND = document(Sid="Lane", Action=["sqs:SendMessage", "sqs:DeleteMessage"], Resource=QUEUE)
UNUSED = Permission("session", "Lane", "sqs:DeleteMessage", QUEUE)
REASON = "only after a failure"


def test_what_is_used_and_no_more_leaves_nothing_to_say():
    deletes = call("sqs", "DeleteMessage", QueueUrl=QUEUE_URL)
    findings = judge([SENDS, deletes, SENDS], {"session": [MAY_SEND]}, [], place=PLAIN)
    assert findings.lines() == []


def test_a_permission_that_nothing_used_is_found_unless_acknowledged():
    policies = {"session": [MAY_SEND]}
    findings = judge([SENDS], policies, [], place=PLAIN)
    assert findings.unused == (UNUSED,)
    (line,) = findings.lines()
    assert "sqs:DeleteMessage" in line
    known = Acknowledgement("session", "Lane", "sqs:DeleteMessage", REASON)
    assert judge([SENDS], policies, [known], place=PLAIN).lines() == []


def test_every_resource_of_a_statement_is_a_permission_of_its_own():
    policy = document(Action="sqs:SendMessage", Resource=[QUEUE, f"{QUEUE}2"])
    findings = judge([SENDS], {"session": [policy]}, [], place=PLAIN)
    assert [p.resource for p in findings.unused] == [f"{QUEUE}2"]
    one = Acknowledgement("session", "S", "sqs:SendMessage", REASON, resource="*fifo2")
    assert judge([SENDS], {"session": [policy]}, [one], place=PLAIN).lines() == []
    other = Acknowledgement("session", "S", "sqs:SendMessage", REASON, resource="*fifo")
    assert len(judge([SENDS], {"session": [policy]}, [other], place=PLAIN).lines()) == 2


@pytest.mark.parametrize(
    ("role", "sid", "action"),
    [
        ("session", "Lane", "sqs:SendMessage"),
        ("session", "Gone", "sqs:DeleteMessage"),
        ("nobody", "Lane", "sqs:DeleteMessage"),
    ],
)
def test_an_acknowledgement_of_what_is_used_or_not_there_is_stale(role: str, sid: str, action: str):
    known = Acknowledgement(role, sid, action, REASON)
    findings = judge([SENDS], {"session": [MAY_SEND]}, [known], place=PLAIN)
    assert findings.stale == (known,)
    assert findings.unused == (UNUSED,)


def test_what_is_used_by_chance_may_be_acknowledged_either_way():
    policies = {"session": [MAY_SEND]}
    sends = Acknowledgement("session", "Lane", "sqs:SendMessage", REASON, by_chance=True)
    deletes = Acknowledgement("session", "Lane", "sqs:DeleteMessage", REASON, by_chance=True)
    gone = Acknowledgement("session", "Gone", "sqs:SendMessage", REASON, by_chance=True)
    findings = judge([SENDS], policies, [sends, deletes, gone], place=PLAIN)
    assert (findings.unused, findings.stale) == ((), (gone,))


@pytest.mark.parametrize(("action", "reason"), [("sqs:DeleteMessage", " "), ("sqs:*", REASON)])
def test_acknowledgements_need_a_reason_and_name_one_action(action: str, reason: str):
    with pytest.raises(ValueError, match="sqs"):
        Acknowledgement("session", "Lane", action, reason)


def test_a_denied_call_is_told_once_with_who_made_it():
    reads = call("dynamodb", "GetItem", TableName="docs")
    findings = judge([reads, reads], {"session": []}, [], place=PLAIN)
    (line,) = findings.lines()
    assert "session called dynamodb:GetItem" in line
    assert f"dynamodb:GetItem on {TABLE} is not allowed" in line


def test_the_key_of_what_a_call_uses_must_be_allowed_too():
    via = {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}
    key = document(Sid="Key", Action="kms:Decrypt", Resource=KEY, Condition=via)
    may_read = document(Sid="Docs", Action="dynamodb:GetItem", Resource=TABLE)
    reads = call("dynamodb", "GetItem", TableName="docs")
    findings = judge([reads], {"session": [may_read, key]}, [], place=KEYED)
    assert [denied.need.action for denied in findings.denied] == ["kms:Decrypt"]
    assert [permission.sid for permission in findings.unused] == ["Key"]


def test_permissions_of_one_role_do_not_help_another():
    sends = call("sqs", "SendMessage", role="ticker", QueueUrl=QUEUE_URL)
    policies = {"session": [MAY_SEND], "ticker": []}
    findings = judge([sends], policies, [], place=PLAIN)
    assert [denied.call.role for denied in findings.denied] == ["ticker"]
    assert {permission.role for permission in findings.unused} == {"session"}


def test_a_role_without_policies_is_refused():
    with pytest.raises(DeveloperError, match="session"):
        judge([SENDS], {}, [], place=PLAIN)


def test_exceptions_from_everything_are_one_permission():
    statement = {"Sid": "S", "Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}
    policies = {"session": [{"Version": "2012-10-17", "Statement": statement}]}
    assert judge([SENDS], policies, [], place=PLAIN).lines() == []
    (line,) = judge([], policies, [], place=PLAIN).lines()
    assert "all but iam:*" in line


# Properties

texts = st.text(alphabet="ab:/.*?[\n", max_size=8)


def wildcard_match(pattern: str, text: str) -> bool:
    """The definition, by recursion."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(wildcard_match(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in {"?", text[0]} and wildcard_match(pattern[1:], text[1:])


@given(pattern=texts.filter(bool), text=texts)
def test_wildcards_mean_what_their_definition_says(pattern: str, text: str):
    assert allows(Need("x:Y", text), document(Resource=pattern)) is wildcard_match(pattern, text)


actions = st.sampled_from(["sqs:SendMessage", "sqs:DeleteMessage", "sqs:*", "s3:GetObject"])
statements = st.lists(
    st.builds(
        lambda effect, action, resource, number: document(
            Sid=f"S{number}", Effect=effect, Action=action, Resource=resource
        ),
        st.sampled_from(["Allow", "Allow", "Deny"]),
        actions,
        st.sampled_from(["*", QUEUE, TABLE]),
        st.integers(0, 9),
    ),
    max_size=4,
)
operations = st.lists(st.sampled_from(["SendMessage", "DeleteMessage", "ReceiveMessage"]))


@given(operations, statements)
def test_every_call_is_allowed_or_found_and_every_permission_used_or_found(
    made: list[str], documents: list[dict[str, object]]
):
    calls = [call("sqs", operation, QueueUrl=QUEUE_URL) for operation in made]
    findings = judge(calls, {"session": documents}, [], place=PLAIN)
    policies = [parse_policy(given) for given in documents]
    for operation in made:
        need = Need(f"sqs:{operation}", QUEUE)
        denied = any(found.need.action == need.action for found in findings.denied)
        assert denied is not is_allowed(policies, need)
    without = judge([], {"session": documents}, [], place=PLAIN).unused
    assert set(findings.unused) <= set(without)
    for permission in set(without) - set(findings.unused):
        assert permission.resource in {"*", QUEUE}
        assert permission.action.startswith("sqs:")


@given(operations, statements)
def test_acknowledging_all_that_is_unused_leaves_neither_unused_nor_stale(
    made: list[str], documents: list[dict[str, object]]
):
    exact = [given for given in documents if "sqs:*" not in str(given)]
    calls = [call("sqs", operation, QueueUrl=QUEUE_URL) for operation in made]
    unused = judge(calls, {"session": exact}, [], place=PLAIN).unused
    known = [Acknowledgement(p.role, p.sid, p.action, REASON, p.resource) for p in unused]
    findings = judge(calls, {"session": exact}, known, place=PLAIN)
    assert (findings.unused, findings.stale) == ((), ())

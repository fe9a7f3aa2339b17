"""The matcher of recorded calls understands every policy that the templates give a role."""

import json
import re
from typing import Any

from infra_tests.assembly import Assembly
from syncline.local_cloud.iam_actions import Call, Place
from syncline.local_cloud.policy import judge, parse_policy

REGION, ACCOUNT = "eu-central-1", "123456789012"
PSEUDO = {"Region": REGION, "AccountId": ACCOUNT, "Partition": "aws"}


def resolved(assembly: Assembly, stack: str, value: Any) -> Any:
    """A policy document with references as text, as CloudFormation would leave none."""
    match value:
        case {"Statement": _} | {"Effect": _} | {"StringEquals": _} | {"StringLike": _}:
            return {key: resolved(assembly, stack, each) for key, each in value.items()}
        case {"kms:ViaService": _} | {"s3:prefix": _}:
            return {key: resolved(assembly, stack, each) for key, each in value.items()}
        case {"aws:RequestedRegion": _}:
            return {key: resolved(assembly, stack, each) for key, each in value.items()}
        case list():
            return [resolved(assembly, stack, each) for each in value]
        case _:
            text = assembly.text(stack, value)
            return re.sub(r"(?:\$\{|<)AWS::(\w+)(?:\}|>)", lambda m: PSEUDO.get(m[1], m[1]), text)


def role_policies(assembly: Assembly) -> dict[str, list[dict[str, object]]]:
    return {
        role.place: [
            resolved(assembly, role.place.partition("/")[0], policy["PolicyDocument"])
            for policy in role.properties.get("Policies", ())
        ]
        for role in assembly.of_kind("AWS::IAM::Role")
    }


def test_every_role_s_policies_can_be_judged(assembly: Assembly):
    judged = 0
    for documents in role_policies(assembly).values():
        for document in documents:
            judged += len(parse_policy(document).statements())
    assert judged > 40


def test_calls_are_judged_by_the_templates_own_statements(default: Assembly):
    queue = "lanes.fifo"
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"
    url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{queue}"
    documents = role_policies(default)["Compute/Connection/Role"]
    (named,) = [
        statement.resources()[0]
        for statement in parse_policy(documents[0]).statements()
        if statement.sid == "Lane"
    ]
    text = json.dumps(documents[0]).replace(named, arn)
    policies = {"connection": [json.loads(text)]}
    place = Place(REGION, ACCOUNT)
    sends = Call("connection", "connection", "sqs", "SendMessageBatch", {"QueueUrl": url})
    takes = Call("connection", "connection", "sqs", "ReceiveMessage", {"QueueUrl": url})
    assert judge([sends], policies, [], place=place).denied == ()
    (denied,) = judge([takes], policies, [], place=place).denied
    assert denied.need.action == "sqs:ReceiveMessage"

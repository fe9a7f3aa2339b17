"""The roles of deployed stacks, for judging recorded calls (`policy.judge`).

Roles are known by what has them (`session`, `lane`, …): their names differ from deployment to
deployment.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

import msgspec
from moto.dynamodb.models import dynamodb_backends
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

from syncline.local_cloud.iam_actions import PARAMETERS, Call, Place
from syncline.local_cloud.lambda_instance import FunctionShape
from syncline.local_cloud.ports import SocketApi
from syncline.local_cloud.resource_model import Declarations

LANE: Final = "lane"
"""What the role is called by which the WebSocket API sends messages on."""


_CDK_BUCKETS: Final = "cdk-"
"""The bootstrap's bucket has its own encryption."""


def role_labels(functions: Iterable[FunctionShape], api: SocketApi) -> Mapping[str, str]:
    """What has each role, by the role's ARN."""
    lanes = {route.role: LANE for route in api.routes.values() if route.role is not None}
    return {**lanes, **{function.role: function.label for function in functions}}


def labelled(calls: Iterable[Call], labels: Mapping[str, str]) -> Iterator[Call]:
    """The calls with their roles as `role_labels` calls them."""
    for call in calls:
        yield msgspec.structs.replace(call, role=labels.get(call.role, call.role))


def _text(document: object) -> str:
    return document if isinstance(document, str) else msgspec.json.encode(document).decode()


class Grants:
    """The policy documents that roles have had: a deploy may change them between two calls."""

    def __init__(self, account: str) -> None:
        self._roles = iam_backends[account]["aws"].roles
        self._documents: dict[str, set[str]] = {}

    def note(self, role: str) -> None:
        """Remember what a role, by its ARN, has now."""
        for each in self._roles.values():
            if each.arn == role:
                # Texts, as moto says, or what CloudFormation made of the template.
                given: list[object] = [*each.policies.values()]
                self._documents.setdefault(role, set()).update(map(_text, given))

    def of(self, labels: Mapping[str, str]) -> Mapping[str, list[Mapping[str, object]]]:
        """All documents by the role's label."""
        return {
            label: [msgspec.json.decode(text) for text in sorted(self._documents.get(arn, ()))]
            for arn, label in labels.items()
        }


def place(declarations: Declarations, *, account: str, region: str) -> Place:
    """The account, and the one key that encrypts all that the templates make."""
    here = Place(region, account)
    key = declarations.one("AWS::KMS::Key").physical_id
    buckets = s3_backends[account]["aws"].buckets
    encrypted = [
        *(bucket.arn for bucket in buckets.values() if not bucket.name.startswith(_CDK_BUCKETS)),
        *(table.table_arn for table in dynamodb_backends[account][region].tables.values()),
        *(queue.queue_arn for queue in sqs_backends[account][region].queues.values()),
        *(each.physical_id for each in declarations.of_type("AWS::SecretsManager::Secret")),
        here.arn("ssm", PARAMETERS),
    ]
    return replace(here, keys={arn: here.arn("kms", f"key/{key}") for arn in encrypted})

"""The DynamoDB tables: the view of the documents, sessions, their interest, and the marker."""

from dataclasses import dataclass
from typing import Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from syncline_cdk.settings import DeploymentSettings


@dataclass(frozen=True, slots=True)
class TableShape:
    """Keys and expiry of a table; the models in `syncline.aws` declare the same."""

    partition_key: tuple[str, dynamodb.AttributeType]
    sort_key: tuple[str, dynamodb.AttributeType] | None
    expiry: str | None


_TEXT, _BINARY = dynamodb.AttributeType.STRING, dynamodb.AttributeType.BINARY

TABLE_SHAPES: Final = {
    "Documents": TableShape(("p", _BINARY), ("k", _BINARY), "x"),
    "Sessions": TableShape(("c", _TEXT), None, "expires"),
    "Interest": TableShape(("b", _BINARY), ("q", _BINARY), "expires"),
    "Control": TableShape(("name", _TEXT), None, None),
}
"""Every table by its name in the template."""


class Tables(Construct):
    """All tables, on demand, with point-in-time recovery."""

    def __init__(
        self, scope: Construct, name: str, *, settings: DeploymentSettings, key: kms.IKey
    ) -> None:
        super().__init__(scope, name)
        tables = {
            table: self._table(table, shape, settings, key) for table, shape in TABLE_SHAPES.items()
        }
        self.documents = tables["Documents"]
        self.sessions = tables["Sessions"]
        self.interest = tables["Interest"]
        self.control = tables["Control"]

    def _table(
        self, name: str, shape: TableShape, settings: DeploymentSettings, key: kms.IKey
    ) -> dynamodb.Table:
        def attribute(named: tuple[str, dynamodb.AttributeType]) -> dynamodb.Attribute:
            return dynamodb.Attribute(name=named[0], type=named[1])

        return dynamodb.Table(
            self,
            name,
            partition_key=attribute(shape.partition_key),
            sort_key=attribute(shape.sort_key) if shape.sort_key else None,
            time_to_live_attribute=shape.expiry,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True,
                recovery_period_in_days=settings.backup_days,
            ),
            deletion_protection=settings.protect_data,
            removal_policy=RemovalPolicy.RETAIN if settings.protect_data else RemovalPolicy.DESTROY,
        )

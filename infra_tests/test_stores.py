"""What holds data: encrypted by one key, recoverable, closed to the public, hard to delete."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynamodb.models import Model

import syncline.aws
from infra_tests.assembly import Assembly, Resource
from syncline_cdk.tables import TABLE_SHAPES

KEY = "<Data/Encryption/Key.Arn>"

KEY_PROPERTIES = {
    "AWS::DynamoDB::Table": ("SSESpecification", "KMSMasterKeyId"),
    "AWS::Lambda::Function": ("KmsKeyArn",),
    "AWS::Logs::LogGroup": ("KmsKeyId",),
    "AWS::RDS::DBCluster": ("KmsKeyId",),
    "AWS::S3::Bucket": (
        *("BucketEncryption", "ServerSideEncryptionConfiguration", 0),
        *("ServerSideEncryptionByDefault", "KMSMasterKeyID"),
    ),
    "AWS::SNS::Topic": ("KmsMasterKeyId",),
    "AWS::SQS::Queue": ("KmsMasterKeyId",),
    "AWS::SecretsManager::Secret": ("KmsKeyId",),
}
"""Where each type of resource that keeps something names its key."""

KEEPING_NOTHING = frozenset(
    """
    AWS::ApiGatewayV2::Api AWS::ApiGatewayV2::Integration AWS::ApiGatewayV2::Route
    AWS::ApiGatewayV2::Stage AWS::Budgets::Budget AWS::CloudFront::Distribution
    AWS::CloudFront::Function AWS::CloudFront::OriginAccessControl
    AWS::CloudFront::ResponseHeadersPolicy AWS::CloudWatch::Alarm
    AWS::CloudWatch::Dashboard AWS::EC2::EIP
    AWS::EC2::InternetGateway AWS::EC2::NatGateway AWS::EC2::Route AWS::EC2::RouteTable
    AWS::EC2::SecurityGroup AWS::EC2::SecurityGroupEgress AWS::EC2::SecurityGroupIngress
    AWS::EC2::Subnet AWS::EC2::SubnetRouteTableAssociation AWS::EC2::VPC AWS::EC2::VPCEndpoint
    AWS::EC2::VPCGatewayAttachment AWS::Events::Rule AWS::IAM::Role AWS::KMS::Alias AWS::KMS::Key
    AWS::Lambda::Alias AWS::Lambda::EventInvokeConfig AWS::Lambda::EventSourceMapping
    AWS::Lambda::Permission AWS::Lambda::Version AWS::RDS::DBInstance AWS::RDS::DBSubnetGroup
    AWS::S3::BucketPolicy AWS::SNS::Subscription AWS::SNS::TopicPolicy AWS::SQS::QueuePolicy
    AWS::SecretsManager::SecretTargetAttachment Custom::SynclinePush
    """.split()
)
"""Types without data of clients at rest; an instance of Aurora has its cluster's storage."""

KEEPING_UNDER_AWS_KEYS = frozenset({"AWS::Cognito::UserPool", "AWS::Cognito::UserPoolClient"})
"""Cognito encrypts by keys of its own; only deployments that ask for a pool have one."""


def test_whatever_keeps_data_is_encrypted_with_the_one_key(assembly: Assembly):
    for resource in assembly.resources.values():
        if resource.kind in KEEPING_NOTHING | KEEPING_UNDER_AWS_KEYS:
            continue
        value = resource.properties
        for step in KEY_PROPERTIES[resource.kind]:
            value = value[step]
        assert assembly.text(resource.place.partition("/")[0], value) == KEY, resource.place


def test_only_who_asks_for_users_has_data_under_other_keys(default: Assembly):
    kinds = {resource.kind for resource in default.resources.values()}
    assert not kinds & KEEPING_UNDER_AWS_KEYS


def test_there_is_one_key_and_it_is_rotated(assembly: Assembly):
    (key,) = assembly.of_kind("AWS::KMS::Key")
    assert key.properties["EnableKeyRotation"] is True
    assert key.properties["PendingWindowInDays"] == 30


def test_the_key_serves_the_account_log_groups_and_alarms_only(assembly: Assembly):
    (key,) = assembly.of_kind("AWS::KMS::Key")
    account, logs, alarms, files = assembly.policy(key, "KeyPolicy")
    assert ":root" in account.principals
    assert "logs." in logs.principals
    assert "kms:EncryptionContext:aws:logs:arn" in logs.conditions
    assert "cloudwatch.amazonaws.com" in alarms.principals
    assert "aws:SourceAccount" in alarms.conditions
    assert "cloudfront.amazonaws.com" in files.principals
    assert files.actions == {"kms:Decrypt"}
    assert ":distribution/*" in files.conditions


@pytest.mark.parametrize(("choice", "days"), [("default", 14), ("other", 3)])
def test_tables_and_database_go_back_to_any_point_of_the_chosen_days(
    request: pytest.FixtureRequest, choice: str, days: int
):
    assembly: Assembly = request.getfixturevalue(choice)
    for table in assembly.of_kind("AWS::DynamoDB::Table"):
        recovery = table.properties["PointInTimeRecoverySpecification"]
        assert recovery == {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": days}
    (cluster,) = assembly.of_kind("AWS::RDS::DBCluster")
    assert cluster.properties["BackupRetentionPeriod"] == days


def test_tables_are_paid_by_request(assembly: Assembly):
    tables = assembly.of_kind("AWS::DynamoDB::Table")
    assert {table.properties["BillingMode"] for table in tables} == {"PAY_PER_REQUEST"}


def _stateful(assembly: Assembly) -> Iterator[Resource]:
    for kind in "DynamoDB::Table RDS::DBCluster S3::Bucket KMS::Key".split():
        yield from assembly.of_kind(f"AWS::{kind}")
    yield assembly.resources["Data/AdminSecret"]


def test_by_default_data_refuses_to_be_deleted_and_outlives_its_stack(default: Assembly):
    assert default.stacks["Data"]["properties"]["terminationProtection"] is True
    for resource in _stateful(default):
        assert resource.body["DeletionPolicy"] == "Retain", resource.place
        assert resource.body["UpdateReplacePolicy"] == "Retain", resource.place
    for table in default.of_kind("AWS::DynamoDB::Table"):
        assert table.properties["DeletionProtectionEnabled"] is True
    (cluster,) = default.of_kind("AWS::RDS::DBCluster")
    assert cluster.properties["DeletionProtection"] is True


def test_unprotected_data_goes_with_its_stack(other: Assembly):
    assert other.stacks["Data"]["properties"]["terminationProtection"] is False
    for resource in _stateful(other):
        assert resource.body["DeletionPolicy"] == "Delete", resource.place
    for table in other.of_kind("AWS::DynamoDB::Table"):
        assert table.properties["DeletionProtectionEnabled"] is False
    (cluster,) = other.of_kind("AWS::RDS::DBCluster")
    assert cluster.properties["DeletionProtection"] is False


def test_no_bucket_is_public_and_none_takes_requests_without_tls(assembly: Assembly):
    policies = {
        assembly.of(policy, "Bucket"): assembly.policy(policy, "PolicyDocument")
        for policy in assembly.of_kind("AWS::S3::BucketPolicy")
    }
    for bucket in assembly.of_kind("AWS::S3::Bucket"):
        assert bucket.properties["PublicAccessBlockConfiguration"] == dict.fromkeys(
            ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"),
            True,
        )
        (ownership,) = bucket.properties["OwnershipControls"]["Rules"]
        assert ownership == {"ObjectOwnership": "BucketOwnerEnforced"}
        assert bucket.properties["VersioningConfiguration"] == {"Status": "Enabled"}
        statements = policies[f"<{bucket.place}>"]
        # But for CloudFront, which test_addresses.py looks at.
        others = [each for each in statements if "cloudfront" not in each.principals]
        assert {statement.effect for statement in others} == {"Deny"}
        assert any("aws:SecureTransport" in statement.conditions for statement in statements)


def test_leftovers_of_imports_and_exports_go_by_themselves(assembly: Assembly):
    (bucket,) = assembly.of_kind("AWS::S3::Bucket")
    rules = bucket.properties["LifecycleConfiguration"]["Rules"]
    days = {rule.get("Prefix"): rule.get("ExpirationInDays") for rule in rules}
    # Bundles stay: a rollback needs former ones.
    assert days == {None: None, "imports/": 7, "exports/": 14}


def test_the_database_is_private_encrypted_and_pauses(assembly: Assembly):
    (cluster,) = assembly.of_kind("AWS::RDS::DBCluster")
    assert cluster.properties["StorageEncrypted"] is True
    assert cluster.properties["EnableIAMDatabaseAuthentication"] is True
    # The push migrates through the Data API, whatever functions use.
    assert cluster.properties["EnableHttpEndpoint"] is True
    scaling = cluster.properties["ServerlessV2ScalingConfiguration"]
    assert scaling["MinCapacity"] == 0
    assert scaling["SecondsUntilAutoPause"] == 600
    for instance in assembly.of_kind("AWS::RDS::DBInstance"):
        assert instance.properties["PubliclyAccessible"] is False


def test_no_secret_is_in_a_template(assembly: Assembly):
    for template in assembly.templates.values():
        text = json.dumps(template)
        assert "{{resolve:secretsmanager" not in text.replace(
            "SecretString:username", ""
        ) or _only_the_database_reads_its_own(template)


def _only_the_database_reads_its_own(template: dict) -> bool:
    users = [
        body["Type"]
        for body in template["Resources"].values()
        if "{{resolve:secretsmanager" in json.dumps(body)
    ]
    return users == ["AWS::RDS::DBCluster"]


# Keys

TABLE_OF_MODULE = {
    "document_table": "Documents",
    "session_table": "Sessions",
    "interest_table": "Interest",
    "control": "Control",
    "rebuild_progress": "Control",
}


def _models() -> Iterator[tuple[str, type[Model]]]:
    """Every model that a module of syncline.aws declares, and its module's name."""
    for path in sorted(Path(syncline.aws.__path__[0]).glob("*.py")):
        if "(Model):" not in path.read_text(encoding="utf-8"):
            continue
        module = importlib.import_module(f"syncline.aws.{path.stem}")
        for value in vars(module).values():
            is_model = isinstance(value, type) and issubclass(value, Model)
            if is_model and value.__module__ == module.__name__:
                yield path.stem, value


def _keys_of(model: type[Model]) -> list[tuple[str, str, str]]:
    return sorted(
        ("HASH" if attribute.is_hash_key else "RANGE", attribute.attr_name, attribute.attr_type)
        for attribute in model.get_attributes().values()
        if attribute.is_hash_key or attribute.is_range_key
    )


def _keys_in(table: Resource) -> list[tuple[str, str, str]]:
    types = {
        attribute["AttributeName"]: attribute["AttributeType"]
        for attribute in table.properties["AttributeDefinitions"]
    }
    return sorted(
        (key["KeyType"], key["AttributeName"], types[key["AttributeName"]])
        for key in table.properties["KeySchema"]
    )


MODELS = list(_models())


@pytest.mark.parametrize(("module", "model"), MODELS, ids=[model.__name__ for _, model in MODELS])
def test_a_table_has_the_keys_and_the_expiry_of_its_models(
    default: Assembly, module: str, model: type[Model]
):
    table = default.resources[f"Data/Tables/{TABLE_OF_MODULE[module]}"]
    assert _keys_in(table) == _keys_of(model)
    expiry = table.properties.get("TimeToLiveSpecification", {}).get("AttributeName")
    names = {attribute.attr_name for attribute in model.get_attributes().values()}
    assert expiry is None or expiry in names
    assert (expiry is None) == (TABLE_OF_MODULE[module] == "Control")


def test_every_table_has_a_model():
    assert {TABLE_OF_MODULE[module] for module, _ in MODELS} == set(TABLE_SHAPES)

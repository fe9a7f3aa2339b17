"""What each role may do: no more than its function needs, and nothing by a pattern unexplained."""

import json

import pytest

from infra_tests.assembly import Assembly, Resource
from syncline_cdk.functions import FUNCTIONS

DOCUMENTS, SESSIONS = "<Data/Tables/Documents.Arn>", "<Data/Tables/Sessions.Arn>"
INTEREST, CONTROL = "<Data/Tables/Interest.Arn>", "<Data/Tables/Control.Arn>"
BUCKET = "<Data/Bucket.Arn>"
KEY = "<Data/Encryption/Key.Arn>"

WRITES = frozenset(
    f"dynamodb:{operation}"
    for operation in "BatchWriteItem DeleteItem PutItem TransactWriteItems UpdateItem".split()
)

TRACING = {("xray:PutTelemetryRecords", "*"), ("xray:PutTraceSegments", "*")}
INTERFACES = {
    (f"ec2:{operation}NetworkInterface{plural}", "*")
    for operation, plural in (("Create", ""), ("Delete", ""), ("Describe", "s"))
} | {("ec2:DescribeSubnets", "*")}


def _connections(method: str) -> tuple[str, str]:
    return ("execute-api:ManageConnections", f"<Address/SocketApi>/live/{method}/@connections/*")


VARIABLES = "parameter/syncline/"


# X-Ray, and the network interfaces of functions in a network, know no resources; objects below a
# prefix and connections are made while the deployment runs.
CLIENTS_FILES = ("imports", "exports", "private", "api/storage")
READING_VARIABLES = {("ssm:GetParameters", "environment/*")}
SETTING_VARIABLES = READING_VARIABLES | {
    (f"ssm:{operation}", "environment/*") for operation in ("DeleteParameters", "PutParameter")
}
READING_LOGS = {
    ("logs:FilterLogEvents", f"{name}:*") for name in ("session", "http", "scheduler", "action")
}
PATTERNS = {
    "connection": set(),
    "session": {
        ("s3:GetObject", f"{BUCKET}/bundles/*"),
        ("s3:GetObject", f"{BUCKET}/search/*"),
        _connections("DELETE"),
        _connections("POST"),
        *READING_VARIABLES,
    },
    "follower": {(f"s3:{operation}Object", f"{BUCKET}/search/*") for operation in ("Get", "Put")}
    | {("s3:DeleteObject", f"{BUCKET}/{prefix}/*") for prefix in ("private", "api/storage")},
    "http": {
        (f"s3:{operation}Object", f"{BUCKET}/{prefix}/*")
        for operation in ("Get", "Put")
        for prefix in ("bundles", *CLIENTS_FILES)
    }
    | {("s3:GetObject", f"{BUCKET}/search/*")}
    | {("s3:DeleteObject", f"{BUCKET}/{prefix}/*") for prefix in CLIENTS_FILES}
    | SETTING_VARIABLES
    | READING_LOGS,
    "action": {("s3:GetObject", f"{BUCKET}/bundles/*")},
    "scheduler": {("s3:GetObject", f"{BUCKET}/{prefix}/*") for prefix in ("bundles", "search")}
    | READING_VARIABLES,
    "sweeper": set(),
    "ticker": {_connections("POST")},
    "push": {(f"s3:{operation}Object", f"{BUCKET}/bundles/*") for operation in ("Get", "Put")}
    | SETTING_VARIABLES,
}
REACH_THE_LOG = {"follower", "http", "push", "scheduler", "session"}
IN_NETWORK = {"session", "follower", "http", "scheduler"}


def _roles(assembly: Assembly) -> list[Resource]:
    return assembly.of_kind("AWS::IAM::Role")


def test_roles_have_no_policy_but_the_one_inside_them(assembly: Assembly):
    kinds = {resource.kind for resource in assembly.resources.values()}
    assert not kinds & {"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::User"}
    for role in _roles(assembly):
        assert "ManagedPolicyArns" not in role.properties, role.place


def test_every_function_has_a_role_of_its_own(assembly: Assembly):
    roles = {name: assembly.of(function, "Role") for name, function in assembly.functions()}
    assert roles == {name: f"<Compute/{name.title()}/Role.Arn>" for name in FUNCTIONS}
    places = {f"Compute/{name.title()}/Role" for name in FUNCTIONS}
    assert {role.place for role in _roles(assembly)} == places | {"Api/LaneRole"}


def test_roles_are_assumed_by_their_service_alone(assembly: Assembly):
    for role in _roles(assembly):
        (statement,) = role.properties["AssumeRolePolicyDocument"]["Statement"]
        service = "apigateway" if role.place == "Api/LaneRole" else "lambda"
        assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}
        assert statement["Action"] == "sts:AssumeRole"


def test_no_policy_of_any_kind_has_a_wildcard_action_that_it_allows(assembly: Assembly):
    statements = [s for role in _roles(assembly) for s in assembly.statements(role.place)]
    for kind, name in (
        ("KMS::Key", "KeyPolicy"),
        ("SQS::QueuePolicy", "PolicyDocument"),
        ("S3::BucketPolicy", "PolicyDocument"),
    ):
        for resource in assembly.of_kind(f"AWS::{kind}"):
            statements += assembly.policy(resource, name)
    allowed = [statement for statement in statements if statement.effect == "Allow"]
    assert len(allowed) > len(FUNCTIONS)
    assert not [s for s in allowed if any("*" in action for action in s.actions)]


def _within(resource: str) -> str:
    """A resource without the account and the deployment that it lies in."""
    if "execute-api" in resource:
        return resource[resource.find("<Address") :]
    if ":logs:" in resource:
        return resource.rpartition("/")[2]
    if ":ssm:" in resource:
        return resource.partition(VARIABLES)[2].partition("/")[2]
    return resource


@pytest.mark.parametrize("name", FUNCTIONS)
def test_resources_by_pattern_are_those_that_have_a_reason(
    default: Assembly, other: Assembly, name: str
):
    for assembly in (default, other):
        found = {
            (action, _within(resource))
            for action, resource in assembly.allowed(name)
            if "*" in resource
        }
        network = INTERFACES if assembly is other and name in IN_NETWORK else set()
        assert found == PATTERNS[name] | TRACING | network


def test_a_missing_object_is_missing_and_not_forbidden(assembly: Assembly):
    listers = set()
    for name in FUNCTIONS:
        read = {
            resource.removeprefix(f"{BUCKET}/")
            for action, resource in assembly.allowed(name)
            if action == "s3:GetObject" and resource.startswith(BUCKET)
        }
        listed: set[str] = set()
        for statement in assembly.statements(f"Compute/{name.title()}/Role"):
            if "s3:ListBucket" in statement.actions:
                assert statement.resources == {BUCKET}
                listed.update(json.loads(statement.conditions)["StringLike"]["s3:prefix"])
        assert listed == read, name
        listers |= {name} if listed else set()
    assert listers == {"session", "follower", "http", "action", "scheduler", "push"}


def test_network_interfaces_are_made_in_the_deployment_s_region_only(other: Assembly):
    for name in IN_NETWORK:
        (statement,) = [
            statement
            for statement in other.statements(f"Compute/{name.title()}/Role")
            if "ec2:CreateNetworkInterface" in statement.actions
        ]
        assert "aws:RequestedRegion" in statement.conditions


def _with(assembly: Assembly, action: str, resource: str) -> set[str]:
    """The functions that may do something to a resource."""
    return {name for name in FUNCTIONS if (action, resource) in assembly.allowed(name)}


def test_no_function_that_runs_code_for_clients_writes_documents(assembly: Assembly):
    writers = set().union(*(_with(assembly, action, DOCUMENTS) for action in WRITES))
    assert writers == {"follower", "push"}
    # The sweeper looks for what is due.
    assert _with(assembly, "dynamodb:Query", DOCUMENTS) == {*REACH_THE_LOG, "sweeper"}


def test_only_the_session_writes_sessions_and_interest(assembly: Assembly):
    for table in (SESSIONS, INTEREST):
        assert set().union(*(_with(assembly, action, table) for action in WRITES)) == {"session"}


def test_connections_are_closed_by_their_session_and_pinged_by_the_ticker(assembly: Assembly):
    reached = {
        (name, resource.split("/live/")[1].partition("/")[0])
        for name in FUNCTIONS
        for action, resource in assembly.allowed(name)
        if action == "execute-api:ManageConnections"
    }
    assert reached == {("session", "DELETE"), ("session", "POST"), ("ticker", "POST")}


def test_tables_are_read_one_by_one_except_where_a_pass_is_the_job(assembly: Assembly):
    scans = {
        (name, resource)
        for name in FUNCTIONS
        for action, resource in assembly.allowed(name)
        if action == "dynamodb:Scan"
    }
    assert scans == {
        *(("ticker", SESSIONS), ("sweeper", SESSIONS)),
        *(("follower", INTEREST), ("push", INTEREST)),
    }


def test_the_push_looks_at_no_stack_but_its_own(assembly: Assembly):
    stacks = {
        (name, resource)
        for name in FUNCTIONS
        for action, resource in assembly.allowed(name)
        if action.startswith("cloudformation:")
    }
    assert stacks == {("push", "<AWS::StackId>")}


def test_the_admin_secret_is_read_by_those_who_check_admin_keys(assembly: Assembly):
    readers = _with(assembly, "secretsmanager:GetSecretValue", "<Data/AdminSecret>")
    assert readers == {"http", "session"}


def test_environment_variables_are_read_where_functions_run_and_set_where_admins_are_heard(
    default: Assembly, other: Assembly
):
    setting = {"DeleteParameters", "GetParameters", "GetParametersByPath", "PutParameter"}
    for assembly, deployment in ((default, "syncline"), (other, "other")):
        path = f"/syncline/{deployment}/environment"
        allowed = {
            name: {
                (action.removeprefix("ssm:"), resource.partition(":parameter")[2])
                for action, resource in assembly.allowed(name)
                if action.startswith("ssm:")
            }
            for name in FUNCTIONS
        }
        assert all(resource.startswith(path) for each in allowed.values() for _, resource in each)
        assert {name: {action for action, _ in each} for name, each in allowed.items() if each} == {
            "session": {"GetParameters"},
            "scheduler": {"GetParameters"},
            "http": setting,
            "push": setting,
        }
        assert ("GetParametersByPath", path) in allowed["http"]
        assert _with(assembly, "kms:Encrypt", KEY) == {"http", "push"}


def test_secrets_that_become_variables_are_read_by_the_push_alone(
    default: Assembly, other: Assembly
):
    secret = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:payment-Ab12Cd"
    assert _with(other, "secretsmanager:GetSecretValue", secret) == {"push"}
    assert not [
        resource
        for action, resource in default.allowed("push")
        if action.startswith("secretsmanager:") and "Admin" in resource
    ]


def test_the_log_is_reached_by_those_who_read_or_write_it(default: Assembly, other: Assembly):
    cluster = [
        (name, resource)
        for name in FUNCTIONS
        for action, resource in default.allowed(name)
        if action == "rds-data:ExecuteStatement"
    ]
    assert {name for name, _ in cluster} == REACH_THE_LOG
    (arn,) = {resource for _, resource in cluster}
    assert "<Data/Database/Cluster>" in arn
    direct = [
        (name, resource)
        for name in FUNCTIONS
        for action, resource in other.allowed(name)
        if action == "rds-db:connect"
    ]
    assert {name for name, _ in direct} == IN_NETWORK
    (user,) = {resource for _, resource in direct}
    assert user.endswith(":<Data/Database/Cluster.DBClusterResourceId>/syncline")
    # As its owner, through the Data API: only the push.
    assert {
        name
        for name in FUNCTIONS
        for action, _ in other.allowed(name)
        if action.startswith("rds-data:")
    } == {"push"}


def test_actions_reach_data_by_asking_one_function_only(assembly: Assembly):
    invoked = {
        name: resource
        for name in FUNCTIONS
        for action, resource in assembly.allowed(name)
        if action == "lambda:InvokeFunction"
    }
    (function,) = [each for name, each in assembly.functions() if name == "action"]
    name = function.properties["FunctionName"]
    assert name.endswith("-action")
    assert set(invoked) == {"session", "http", "scheduler", "action"}
    assert invoked["session"] == invoked["http"] == invoked["scheduler"]
    assert invoked["session"].endswith(f":function:{name}")
    assert invoked["action"].startswith("<Compute/Http/")
    services = {action.partition(":")[0] for action, _ in assembly.allowed("action") - TRACING}
    assert services == {"kms", "lambda", "logs", "s3", "sqs"}


def test_schema_changes_are_the_push_s_alone(assembly: Assembly):
    starters = {
        name
        for name in FUNCTIONS
        for action, _ in assembly.allowed(name)
        if action == "rds-data:BeginTransaction"
    }
    assert starters == {"push"}


def test_the_connection_function_does_nothing_but_tell_the_lane(assembly: Assembly):
    lane = "<Compute/Queues/Session.Arn>"
    assert assembly.allowed("connection") - TRACING == {
        ("sqs:SendMessage", lane),
        ("kms:Decrypt", KEY),
        ("kms:GenerateDataKey", KEY),
        ("logs:CreateLogStream", "<Compute/Connection/Log.Arn>"),
        ("logs:PutLogEvents", "<Compute/Connection/Log.Arn>"),
    }


def test_api_gateway_may_fill_the_lanes_and_nothing_else(assembly: Assembly):
    allowed = {
        (action, resource)
        for statement in assembly.statements("Api/LaneRole")
        for action in statement.actions
        for resource in statement.resources
    }
    assert allowed == {
        ("sqs:SendMessage", "<Compute/Queues/Session.Arn>"),
        ("kms:Decrypt", KEY),
        ("kms:GenerateDataKey", KEY),
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_uses_the_key_only_through_the_services_it_calls(assembly: Assembly, name: str):
    through = [
        statement.conditions
        for statement in assembly.statements(f"Compute/{name.title()}/Role")
        if any(action.startswith("kms:") for action in statement.actions)
    ]
    (conditions,) = through
    services = {"dynamodb", "s3", "secretsmanager", "sqs", "ssm"}
    used = {action.partition(":")[0] for action, _ in assembly.allowed(name)} & services
    assert "kms:ViaService" in conditions
    assert {service for service in services if f'"{service}.' in conditions} == used


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_writes_its_own_log_only(assembly: Assembly, name: str):
    writing = ("logs:CreateLogStream", "logs:PutLogEvents")
    logs = {resource for action, resource in assembly.allowed(name) if action in writing}
    assert logs == {f"<Compute/{name.title()}/Log.Arn>"}


def test_every_log_group_forgets_as_chosen(default: Assembly, other: Assembly):
    for assembly, days in ((default, 30), (other, 7)):
        groups = assembly.of_kind("AWS::Logs::LogGroup")
        assert len(groups) == len(FUNCTIONS) + 1, "the functions' and the HTTP API's"
        assert {group.properties["RetentionInDays"] for group in groups} == {days}

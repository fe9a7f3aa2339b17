"""Settings, what each changes in the templates, and the environment that handlers read."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import syncline.aws
from infra_tests.assembly import Assembly
from infra_tests.conftest import OTHER_CHOICES
from syncline.aws.settings import DataApiDatabase, DirectDatabase, Settings, UserPoolSettings
from syncline_cdk import Deployment, DeploymentSettings
from syncline_cdk.functions import FUNCTIONS
from syncline_cdk.settings import settings_from_context

TAG = "syncline:deployment"

OF_POWERTOOLS = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE"}
"""Variables that the library reads itself (Powertools, "Environment variables")."""


# Environment


class _Read(Mapping[str, str]):
    """A mapping that remembers which names were asked for and had a value."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        value = self._variables[name]
        self.names.add(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def _environment(assembly: Assembly, function: str) -> dict[str, str]:
    """What Lambda hands to the function, with generated names in place of references."""
    variables = assembly.resources[f"Compute/{function.title()}/Function"].properties[
        "Environment"
    ]["Variables"]
    return {name: assembly.text("Compute", value) for name, value in variables.items()}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_handlers_read_every_variable_that_they_are_given_and_no_other(
    assembly: Assembly, function: str
):
    given = _environment(assembly, function)
    read = _Read(given)
    Settings.from_environment(read)
    assert read.names | OF_POWERTOOLS == given.keys()


def test_sets_have_one_order_in_all_processes_of_a_deployment(default: Assembly, other: Assembly):
    seeds = [
        {_environment(assembly, function)["PYTHONHASHSEED"] for function in FUNCTIONS}
        for assembly in (default, other)
    ]
    (first,), (second,) = seeds
    assert first != second
    assert Settings.from_environment(_environment(default, "http")).hash_seed == int(first)


def test_a_user_pool_is_made_only_when_asked_for_and_its_tokens_are_then_taken(
    default: Assembly, other: Assembly
):
    kinds = {resource.kind for resource in default.resources.values()}
    assert not [kind for kind in kinds if kind.startswith("AWS::Cognito")]
    assert Settings.from_environment(_environment(default, "http")).user_pool is None
    client = other.resources["Data/Users/Pool/Client"].properties
    assert client["GenerateSecret"] is False
    assert Settings.from_environment(_environment(other, "http")).user_pool == UserPoolSettings(
        "<Data/Users/Pool.ProviderURL>", "<Data/Users/Pool/Client>"
    )
    outputs = other.templates["Data"]["Outputs"]
    assert {"UserPoolId", "UserPoolClientId"} <= outputs.keys()


def test_settings_are_read_from_the_environment_in_one_place_only():
    for path in sorted(Path(syncline.aws.__path__[0]).rglob("*.py")):
        if path.name != "settings.py":
            assert not re.search(r"\"SYNCLINE_\w+\"", path.read_text()), path.name


def test_the_environment_says_what_was_chosen(default: Assembly, other: Assembly):
    chosen = Settings.from_environment(_environment(default, "session"))
    assert (chosen.deployment, chosen.redact, chosen.commit_routine) == (
        *("syncline", True, "function"),
    )
    assert chosen.documents_table == "<Data/Tables/Documents>"
    assert chosen.session_queue_url == "<Compute/Queues/Session>"
    assert isinstance(chosen.database, DataApiDatabase)
    otherwise = Settings.from_environment(_environment(other, "session"))
    assert (otherwise.deployment, otherwise.redact, otherwise.commit_routine) == (
        *("other", False, "procedure"),
    )
    assert otherwise.url == "https://live.example.org"
    assert otherwise.database == DirectDatabase(
        "<Data/Database/Cluster.Endpoint.Address>", "syncline", "syncline"
    )


def test_the_push_reaches_the_log_as_its_owner_and_is_told_which_login_to_make(
    default: Assembly, other: Assembly
):
    for assembly, login in ((default, ""), (other, "syncline")):
        database = Settings.from_environment(_environment(assembly, "push")).database
        assert isinstance(database, DataApiDatabase)
        (push,) = assembly.of_kind("Custom::SynclinePush")
        assert push.properties["DatabaseLogin"] == login


def test_the_push_comes_after_everything_that_it_needs(assembly: Assembly):
    (push,) = assembly.of_kind("Custom::SynclinePush")
    later = {
        resource.place
        for resource in assembly.resources.values()
        if resource.place.startswith("Compute/")
        and assembly.text("Compute", {"Ref": _logical(assembly, resource.place)})
        not in {assembly.text("Compute", {"Ref": name}) for name in push.body["DependsOn"]}
    }
    allowed = {push.place, "Compute/CDKMetadata/Default", "Compute/CDKMetadata"}
    assert {place for place in later if not place.startswith("Compute/Push/")} <= allowed


def _logical(assembly: Assembly, place: str) -> str:
    (body,) = [
        name
        for name, resource in assembly.templates["Compute"]["Resources"].items()
        if resource is assembly.resources[place].body
    ]
    return body


# Variants


def test_by_default_no_function_is_in_a_network_and_none_costs_when_idle(default: Assembly):
    for name, function in default.functions():
        assert "VpcConfig" not in function.properties, name
    kinds = {resource.kind for resource in default.resources.values()}
    assert not kinds & {"AWS::EC2::NatGateway", "AWS::EC2::InternetGateway", "AWS::EC2::EIP"}


def test_with_direct_connections_those_that_use_the_log_are_in_its_network(other: Assembly):
    inside = {name for name, f in other.functions() if "VpcConfig" in f.properties}
    assert inside == {"session", "follower", "http", "scheduler"}
    assert len(other.of_kind("AWS::EC2::NatGateway")) == 1
    endpoints = {e.properties["VpcEndpointType"] for e in other.of_kind("AWS::EC2::VPCEndpoint")}
    assert endpoints == {"Gateway"}
    (way_in,) = other.of_kind("AWS::EC2::SecurityGroupIngress")
    assert "ClientGroup" in other.of(way_in, "SourceSecurityGroupId")
    for subnet in other.of_kind("AWS::EC2::Subnet"):
        assert subnet.properties["MapPublicIpOnLaunch"] is False


def test_zones_are_named_by_number_so_that_synthesis_asks_nobody(assembly: Assembly):
    for subnet in assembly.of_kind("AWS::EC2::Subnet"):
        assert "Fn::GetAZs" in assembly.of(subnet, "AvailabilityZone")
    assert "missing" not in assembly.manifest


def test_functions_that_clients_wait_for_start_from_snapshots_if_chosen(
    default: Assembly, other: Assembly
):
    assert not [r for r in default.resources.values() if r.kind == "AWS::Lambda::Version"]
    snapped = {name for name, f in other.functions() if "SnapStart" in f.properties}
    assert snapped == {"connection", "session", "follower", "http"}
    aliases = {alias.place: alias for alias in other.of_kind("AWS::Lambda::Alias")}
    assert aliases.keys() == {f"Compute/{name.title()}/Live" for name in snapped}
    for mapping in other.of_kind("AWS::Lambda::EventSourceMapping"):
        target = other.of(mapping, "FunctionName")
        assert target.endswith(":live") or target in {
            "<Compute/Ticker/Function>",
            "<Compute/Scheduler/Function>",
        }
    http = other.of(other.resources["Api/HttpFunction"], "IntegrationUri")
    assert http == "<Compute/Http/Live>"


def test_the_code_is_for_the_machine_that_was_chosen(other: Assembly):
    for name, function in other.functions():
        assert function.properties["Runtime"] == "python3.13", name
        assert function.properties["Architectures"] == ["arm64"], name


# Observability


def test_alarms_watch_dead_letters_lag_errors_and_throttles(assembly: Assembly):
    alarms = {
        a.place.removeprefix("Observability/") for a in assembly.of_kind("AWS::CloudWatch::Alarm")
    }
    names = {name.title() for name in FUNCTIONS}
    assert {
        f"{queue}DeadLetters" for queue in ("Session", "Follower", "Tick", "Scheduler")
    } <= alarms
    assert {f"{name}{what}" for name in names for what in ("Errors", "Throttles")} <= alarms
    assert {"FollowerLag", "FollowerWaiting", "LaneWaiting"} <= alarms
    assert {
        f"{table}{direction}ThrottleEvents"
        for table in ("Documents", "Sessions", "Interest", "Control")
        for direction in ("Read", "Write")
    } <= alarms


def test_an_idle_deployment_raises_no_alarm(assembly: Assembly):
    for alarm in assembly.of_kind("AWS::CloudWatch::Alarm"):
        assert alarm.properties["TreatMissingData"] == "notBreaching", alarm.place


def test_the_lag_alarm_has_the_metric_that_the_follower_reports(other: Assembly):
    lag = other.resources["Observability/FollowerLag"].properties
    assert (lag["Namespace"], lag["MetricName"], lag["Threshold"]) == (
        "Syncline",
        "FollowerLag",
        60,
    )
    assert lag["Dimensions"] == [{"Name": "service", "Value": "other"}]
    assert _environment(other, "follower")["POWERTOOLS_SERVICE_NAME"] == "other"
    assert _environment(other, "follower")["POWERTOOLS_METRICS_NAMESPACE"] == "Syncline"


def test_alarms_are_sent_to_the_address_that_was_chosen(default: Assembly, other: Assembly):
    for alarm in default.of_kind("AWS::CloudWatch::Alarm"):
        assert "AlarmActions" not in alarm.properties
    (subscription,) = other.of_kind("AWS::SNS::Subscription")
    assert subscription.properties["Endpoint"] == "owner@example.org"
    for alarm in other.of_kind("AWS::CloudWatch::Alarm"):
        (action,) = alarm.properties["AlarmActions"]
        assert other.text("Observability", action) == "<Observability/Notices>"


def test_the_budget_counts_this_deployment_s_tag_and_warns_before_and_after(
    default: Assembly, other: Assembly
):
    assert not [r for r in default.resources.values() if r.kind == "AWS::Budgets::Budget"]
    (budget,) = other.of_kind("AWS::Budgets::Budget")
    assert budget.properties["Budget"]["BudgetLimit"] == {"Amount": 50, "Unit": "USD"}
    assert budget.properties["Budget"]["CostFilters"] == {"TagKeyValue": [f"user:{TAG}$other"]}
    kinds = {
        warning["Notification"]["NotificationType"]
        for warning in budget.properties["NotificationsWithSubscribers"]
    }
    assert kinds == {"FORECASTED", "ACTUAL"}


def test_the_dashboard_shows_every_function_queue_and_table(default: Assembly):
    (dashboard,) = default.of_kind("AWS::CloudWatch::Dashboard")
    body = default.of(dashboard, "DashboardBody")
    for name in FUNCTIONS:
        assert f"<Compute/{name.title()}/Function>" in body
    for queue in default.of_kind("AWS::SQS::Queue"):
        assert f"<{queue.place}.QueueName>" in body
    for table in default.of_kind("AWS::DynamoDB::Table"):
        assert f"<{table.place}>" in body
    assert "FollowerLag" in body


# Tags and names


def _tags(properties: Mapping[str, object]) -> dict[str, str]:
    tags = properties["Tags"]
    if isinstance(tags, dict):
        return tags
    assert isinstance(tags, list)
    return {tag["Key"]: tag["Value"] for tag in tags}


def test_everything_that_has_tags_has_ours(default: Assembly, other: Assembly):
    for assembly, name in ((default, "syncline"), (other, "other")):
        tagged = [r for r in assembly.resources.values() if "Tags" in r.properties]
        assert len(tagged) > 40
        assert {_tags(resource.properties)[TAG] for resource in tagged} == {name}
        for stack in assembly.stacks.values():
            assert stack["properties"]["tags"][TAG] == name
    assert {
        _tags(r.properties)["team"] for r in other.resources.values() if "Tags" in r.properties
    } == {"north"}


def test_deployments_lie_side_by_side_in_one_account(default: Assembly, other: Assembly):
    # Of stages and databases there is one of a name in its API or cluster only.
    local = {"StageName", "DatabaseName", "DBClusterParameterGroupName", "MetricName"}

    def names(assembly: Assembly) -> set[str]:
        return {
            value
            for resource in assembly.resources.values()
            for key, value in resource.properties.items()
            if key.endswith("Name") and key not in local and isinstance(value, str)
        } | {stack["properties"]["stackName"] for stack in assembly.stacks.values()}

    assert {"syncline-session.fifo", "syncline-viewer-request"} < names(default)
    assert not names(default) & (names(other) - {"live"})


# Settings


def test_the_other_choices_differ_from_every_default():
    default = DeploymentSettings()
    same = {
        name
        for name in DeploymentSettings.__struct_fields__
        if getattr(default, name) == getattr(OTHER_CHOICES, name)
    }
    # No resource changes by these but the version of what runs, and the folders that are read.
    assert same == {
        *("functions", "functions_lock", "python", "architecture"),
        *("database_name", "database_version", "database_pause_seconds"),
    }


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"deployment": "Prod"}, "deployment 'Prod'"),
        ({"region": "eu-west-1"}, "account and region"),
        ({"database_capacity_max": 0.5}, "database_capacity_max 0.5"),
        ({"database_pause_seconds": 10}, "database_pause_seconds 10"),
        ({"backup_days": 36}, "backup_days 36"),
        ({"environment": {"A-B": "x"}}, "'A-B' is no name"),
        ({"environment": {"A": "x" * 8193}}, "The value of A has 8193 bytes"),
        ({"environment_secrets": {"A": "payment"}}, "A: 'payment' is no ARN of a secret"),
        (
            {
                "environment": {"A": "x"},
                "environment_secrets": {
                    "A": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:payment-Ab12Cd"
                },
            },
            "both have A",
        ),
        ({"domain_name": "a.example.org"}, "domain_name and certificate_arn"),
        (
            {"domain_name": "a.example.org", "certificate_arn": "arn:aws:acm:eu-west-1:1:c/1"},
            "us-east-1 only",
        ),
        ({"session_concurrency_max": 1}, "session_concurrency_max 1"),
        ({"session_concurrency_reserved": 0}, "session_concurrency_reserved"),
        ({"requests_per_second_max": 5}, "requests_per_second_max 5"),
        ({"log_retention_days": 8}, "log_retention_days 8"),
        ({"monthly_budget_usd": 10.0}, "needs alarm_email"),
        ({"log_retention": 30}, "unknown field `log_retention`"),
        ({"backup_days": "14"}, "Expected `int`"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(wrong: dict[str, object], said: str):
    with pytest.raises(ValueError, match=re.escape(said)):
        settings_from_context(wrong)


def test_settings_come_as_an_object_of_cdk_json_or_as_text_of_the_command_line():
    expected = DeploymentSettings(deployment="test", backup_days=7)
    assert settings_from_context({"deployment": "test", "backup_days": 7}) == expected
    assert settings_from_context('{"deployment": "test", "backup_days": 7}') == expected
    assert settings_from_context(None) == DeploymentSettings()
    with pytest.raises(ValueError, match="JSON"):
        settings_from_context("deployment=test")


def test_snapshots_of_a_python_that_has_none_are_refused(tmp_path: Path):
    from aws_cdk import App

    settings = DeploymentSettings(code="lambda", python="3.11", snap_start=True)
    with pytest.raises(ValueError, match=r"snap_start needs Python 3\.12"):
        Deployment(App(), "Refused", settings=settings, code=tmp_path)


def test_every_function_s_handler_is_there_and_no_other():
    folder = Path(syncline.aws.__path__[0]) / "handlers"
    handlers = {path.stem: ast.parse(path.read_text()) for path in folder.glob("[!_]*.py")}
    assert handlers.keys() == FUNCTIONS.keys()
    for name, module in handlers.items():
        assert "handler" in {getattr(node, "name", "") for node in module.body}, name

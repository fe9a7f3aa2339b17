"""Smoke checks that ask the deployment's AWS account, with the owner's credentials.

They read, with one exception that cleans up after itself: `call-commit` makes a schema of its own
in the database and drops it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

import boto3
from botocore.exceptions import ClientError

from scripts.smoke_clients import Check, Deployment, SmokeError, require
from scripts.smoke_socket import percentile
from syncline.aws.data_api import DataApi, make_client, sql_state
from syncline.aws.settings import FOLLOWER_LAG_METRIC, METRICS_NAMESPACE, DataApiDatabase
from syncline.ports import LogUnavailable

FUNCTIONS = ("connection", "session", "follower", "http", "sweeper", "ticker", "push")

_CALL_COMMIT = (
    "CREATE SCHEMA syncline_smoke",
    "CREATE TABLE syncline_smoke.steps (number integer)",
    """CREATE PROCEDURE syncline_smoke.twice() LANGUAGE plpgsql AS '
    BEGIN
      INSERT INTO syncline_smoke.steps VALUES (1); COMMIT;
      INSERT INTO syncline_smoke.steps VALUES (2); COMMIT;
    END'""",
)
_CALL_COMMIT_END = "DROP SCHEMA IF EXISTS syncline_smoke CASCADE"


async def _ask(service: str, operation: str, **given: Any) -> Any:
    """One call of the SDK; the answer is JSON."""
    client = cast("Any", boto3.Session()).client(service)
    return await asyncio.to_thread(partial(getattr(client, operation), **given))


async def _resources(deployment: Deployment, stack: str) -> Mapping[str, list[str]]:
    """Physical names of a stack's resources by type."""
    answer = await _ask(
        "cloudformation",
        "describe_stack_resources",
        StackName=f"{deployment.name}-{stack}",
    )
    found: dict[str, list[str]] = {}
    for resource in answer["StackResources"]:
        found.setdefault(resource["ResourceType"], []).append(resource["PhysicalResourceId"])
    return found


async def _cluster(deployment: Deployment) -> Mapping[str, Any]:
    (name,) = (await _resources(deployment, "data"))["AWS::RDS::DBCluster"]
    answer = await _ask("rds", "describe_db_clusters", DBClusterIdentifier=name)
    return answer["DBClusters"][0]


async def _database(deployment: Deployment) -> DataApi:
    cluster = await _cluster(deployment)
    secrets = (await _resources(deployment, "data"))["AWS::SecretsManager::SecretTargetAttachment"]
    where = DataApiDatabase(cluster["DBClusterArn"], secrets[0], cluster["DatabaseName"])
    return DataApi(make_client(), where)


def _on_database(
    run: Callable[[DataApi], Awaitable[str]],
) -> Callable[[Deployment], Awaitable[str]]:
    async def check(deployment: Deployment) -> str:
        return await run(await _database(deployment))

    return check


async def call_commit(database: DataApi) -> str:
    """A procedure that commits twice, in a schema of its own; SmokeError: it is refused."""
    await database.rows(_CALL_COMMIT_END)
    try:
        for statement in _CALL_COMMIT:
            await database.rows(statement)
        try:
            await database.rows("CALL syncline_smoke.twice()")
        except ClientError as error:
            raise SmokeError(
                f"the Data API refuses it ({sql_state(error)}): keep commit_routine at "
                f'"function". {error}'
            ) from error
        ((rows,),) = await database.rows("SELECT count(*) FROM syncline_smoke.steps")
        require(rows == 2, f"{rows} of 2 steps are there")
        return 'commit_routine "procedure" works through the Data API'
    finally:
        await database.rows(_CALL_COMMIT_END)


async def data_api_latency(database: DataApi) -> str:
    """Fifty statements one after another, and the one that came first."""
    took: list[float] = []
    for _ in range(60):
        begin = time.perf_counter()
        await database.rows("SELECT 1")
        took.append(time.perf_counter() - begin)
    warm = took[10:]
    return (
        f"from here: p50 {1e3 * percentile(warm, 0.5):.0f} ms, "
        f"p99 {1e3 * percentile(warm, 0.99):.0f} ms; the first {took[0]:.1f} s"
    )


async def data_api_limits(database: DataApi) -> str:
    """A row of 64 KB, an answer of 1 MiB: what we stay below, and what happens above."""
    ((text,),) = await database.rows("SELECT repeat('x', 60000)")
    require(len(str(text)) == 60_000, "a row of 60,000 bytes does not come back whole")
    rows = await database.rows("SELECT repeat('x', 40000) FROM generate_series(1, 20)")
    require(len(rows) == 20, "an answer of 800 KB does not come back whole")
    ((size,),) = await database.rows(
        "SELECT length(CAST(:given AS bytea))", {"given": b"x" * 2_800 * 1024}
    )
    require(size == 2_800 * 1024, "a parameter of 2,800 KiB does not arrive whole")
    told: list[str] = []
    for what, statement in (
        ("row of 70 KB", "SELECT repeat('x', 70000)"),
        ("answer of 2 MB", "SELECT repeat('x', 40000) FROM generate_series(1, 50)"),
    ):
        try:
            await database.rows(statement)
            told.append(f"{what}: taken, above the documented limit")
        except (ClientError, LogUnavailable) as error:
            told.append(f"{what}: refused ({type(error).__name__}: {str(error)[:80]})")
    return "; ".join(told)


async def _sleeps(deployment: Deployment) -> str:
    """Left alone, the database is paused: the sweeper does not wake it."""
    (name,) = (await _resources(deployment, "data"))["AWS::RDS::DBCluster"]
    now = datetime.now(UTC)
    answer = await _ask(
        "cloudwatch",
        "get_metric_statistics",
        Namespace="AWS/RDS",
        MetricName="ServerlessDatabaseCapacity",
        Dimensions=[{"Name": "DBClusterIdentifier", "Value": name}],
        StartTime=now - timedelta(hours=3),
        EndTime=now,
        Period=300,
        Statistics=["Maximum"],
    )
    points = sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])
    require(bool(points), "no capacity was reported in three hours")
    zero = sum(point["Maximum"] == 0 for point in points)
    require(
        zero > 0,
        "awake for three hours: run this after nobody used the deployment for an hour; if it is "
        "awake still, something wakes it",
    )
    return f"paused in {zero} of {len(points)} spans of five minutes, the newest three hours"


async def resume(database: DataApi) -> str:
    """How long the first statement waits; run it after `sleeps` has shown a pause."""
    begin = time.perf_counter()
    await database.rows("SELECT 1")
    return f"{time.perf_counter() - begin:.1f} s until the first answer"


async def _stores(deployment: Deployment) -> str:
    """What imitations of AWS drop without a word: recovery, expiry, encryption, scaling to zero."""
    resources = await _resources(deployment, "data")
    for table in resources["AWS::DynamoDB::Table"]:
        described = (await _ask("dynamodb", "describe_table", TableName=table))["Table"]
        encryption = described.get("SSEDescription", {})
        require(encryption.get("SSEType") == "KMS", f"{table}: not encrypted with a key")
        backups = await _ask("dynamodb", "describe_continuous_backups", TableName=table)
        recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
        require(
            recovery["PointInTimeRecoveryStatus"] == "ENABLED",
            f"{table}: no point-in-time recovery",
        )
    cluster = await _cluster(deployment)
    scaling = cluster["ServerlessV2ScalingConfiguration"]
    require(scaling["MinCapacity"] == 0, "the database does not scale to zero")
    require(cluster["HttpEndpointEnabled"], "the Data API is off")
    require(cluster["StorageEncrypted"], "the database is not encrypted")
    pause = scaling.get("SecondsUntilAutoPause")
    return f"{len(resources['AWS::DynamoDB::Table'])} tables; the database pauses after {pause} s"


async def _log_events(deployment: Deployment, function: str, pattern: str) -> list[str]:
    since = datetime.now(UTC) - timedelta(days=1)
    answer = await _ask(
        "logs",
        "filter_log_events",
        logGroupName=f"/syncline/{deployment.name}/{function}",
        filterPattern=pattern,
        startTime=int(since.timestamp() * 1000),
        limit=1000,
    )
    return [event["message"] for event in answer["events"]]


async def _denials(deployment: Deployment) -> str:
    """Policies were judged by our own matcher; IAM, KMS and service roles have the last word."""
    found = {
        function: await _log_events(deployment, function, '?AccessDenied ?"not authorized"')
        for function in FUNCTIONS
    }
    denied = [f"{function}: {lines[0][:200]}" for function, lines in found.items() if lines]
    require(not denied, "; ".join(denied))
    return "no function was refused anything in a day"


async def _starts(deployment: Deployment) -> str:
    told: list[str] = []
    for function in ("connection", "session", "follower", "http"):
        lines = await _log_events(deployment, function, '"Init Duration"')
        took = [
            float(part.split()[0]) for line in lines for part in line.split("Init Duration: ")[1:]
        ]
        if took:
            told.append(f"{function} p50 {percentile(took, 0.5):.0f} ms of {len(took)}")
    require(bool(told), "no start in a day: run `first-call` first")
    return ", ".join(told)


async def _lag(deployment: Deployment) -> str:
    """The follower's lag arrives as a metric, so that its alarm has something to look at."""
    now = datetime.now(UTC)
    answer = await _ask(
        "cloudwatch",
        "get_metric_statistics",
        Namespace=METRICS_NAMESPACE,
        MetricName=FOLLOWER_LAG_METRIC,
        Dimensions=[{"Name": "service", "Value": deployment.name}],
        StartTime=now - timedelta(hours=3),
        EndTime=now,
        Period=300,
        Statistics=["Maximum"],
    )
    points = [point["Maximum"] for point in answer["Datapoints"]]
    require(bool(points), "no lag was reported in three hours: run `latency`, wait five minutes")
    require(max(points) < 60, f"the view was {max(points):.0f} s behind the log")
    return f"at most {max(points):.2f} s in three hours"


async def _dead_letters(deployment: Deployment) -> str:
    for url in (await _resources(deployment, "compute"))["AWS::SQS::Queue"]:
        if "-dead" not in url:
            continue
        answer = await _ask(
            "sqs",
            "get_queue_attributes",
            QueueUrl=url,
            AttributeNames=["ApproximateNumberOfMessages"],
        )
        left = answer["Attributes"]["ApproximateNumberOfMessages"]
        require(left == "0", f"{left} messages in {url}: docs/operations.md")
    return "no message failed for good"


CHECKS = (
    Check(
        "call-commit",
        "Does CALL of a procedure with an inner COMMIT work through the Data API?",
        "architecture.md, Commit; aws-facts 3.3, 9.5",
        _on_database(call_commit),
    ),
    Check(
        "data-api-latency",
        "What does a bare statement of the Data API take?",
        "aws-facts 3.2, 9.5",
        _on_database(data_api_latency),
    ),
    Check(
        "data-api-limits",
        "What happens at a row of 64 KB, an answer of 1 MiB, a large parameter?",
        "protocols.md rule 7; aws-facts 3.2, 9.5",
        _on_database(data_api_limits),
    ),
    Check(
        "stores",
        "Do tables and database have what the templates ask for?",
        "aws-local-lab 1.2",
        _stores,
    ),
    Check(
        "denials",
        "Was any role refused anything (IAM, KMS through services, service roles)?",
        "aws-local-lab 2",
        _denials,
    ),
    Check("dead-letters", "Did any message fail for good?", "docs/operations.md", _dead_letters),
    Check("lag", "Does the follower keep up, and report it?", "protocols.md rule 8", _lag),
    Check(
        "starts",
        "How long do functions take to start, as they are deployed?",
        "aws-facts 5.2, 9.8",
        _starts,
    ),
    Check(
        "sleeps",
        "Does an idle deployment let its database sleep?",
        "protocols.md rule 16; aws-facts 3.1",
        _sleeps,
    ),
    Check(
        "resume",
        "How long does a paused database take to answer?",
        "aws-facts 3.1",
        _on_database(resume),
    ),
)

"""The dashboard, and the metrics that it shows and the alarms watch."""

from collections.abc import Sequence
from typing import Final, TypeAlias

from aws_cdk import Duration
from aws_cdk import aws_apigatewayv2 as gateway
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from syncline.aws.settings import FOLLOWER_LAG_METRIC, METRICS_NAMESPACE
from syncline_cdk.address_stack import AddressStack
from syncline_cdk.compute_stack import ComputeStack
from syncline_cdk.data_stack import DataStack
from syncline_cdk.settings import DeploymentSettings

PERIOD: Final = Duration.minutes(5)

THROTTLE_EVENTS: Final = ("ReadThrottleEvents", "WriteThrottleEvents")
"""DynamoDB's metrics of refused requests, per table."""

Graph: TypeAlias = tuple[str, Sequence[cloudwatch.IMetric]]
"""A title and what is drawn below it."""


def follower_lag(settings: DeploymentSettings) -> cloudwatch.Metric:
    """Seconds by which the view is behind the log, as the follower reports them."""
    return cloudwatch.Metric(
        namespace=METRICS_NAMESPACE,
        metric_name=FOLLOWER_LAG_METRIC,
        dimensions_map={"service": settings.deployment},
        period=PERIOD,
        statistic="Maximum",
        unit=cloudwatch.Unit.SECONDS,
    )


def table_names(data: DataStack) -> dict[str, str]:
    """The tables' names by what they hold."""
    tables = data.tables
    return {
        "Documents": tables.documents.table_name,
        "Sessions": tables.sessions.table_name,
        "Interest": tables.interest.table_name,
        "Control": tables.control.table_name,
    }


def throttled_requests(table: str, event: str) -> cloudwatch.Metric:
    """Requests to a table that DynamoDB refused; `event`: one of THROTTLE_EVENTS."""
    return cloudwatch.Metric(
        namespace="AWS/DynamoDB",
        metric_name=event,
        dimensions_map={"TableName": table},
        period=PERIOD,
        statistic="Sum",
    )


class Dashboard(Construct):
    """Two graphs a row: what comes in, what runs, what waits, what is behind, what is refused."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        settings: DeploymentSettings,
        data: DataStack,
        address: AddressStack,
        compute: ComputeStack,
    ) -> None:
        super().__init__(scope, name)
        graphs = [
            *_traffic(address),
            *_functions(compute),
            *_queues(compute),
            ("The view's lag behind the log, seconds", [follower_lag(settings)]),
            *_stores(data),
        ]
        cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=f"{settings.deployment}-syncline",
            default_interval=Duration.hours(3),
            widgets=[
                [
                    cloudwatch.GraphWidget(title=title, left=metrics, width=12)
                    for title, metrics in graphs[start : start + 2]
                ]
                for start in range(0, len(graphs), 2)
            ],
        )


def _traffic(address: AddressStack) -> list[Graph]:
    def metric(api: gateway.CfnApi, name: str, statistic: str = "Sum") -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/ApiGateway",
            metric_name=name,
            dimensions_map={"ApiId": api.ref},
            period=PERIOD,
            statistic=statistic,
        )

    messages = ("ConnectCount", "MessageCount", "IntegrationError", "ClientError")
    calls = [metric(address.http_api, name) for name in ("Count", "4xx", "5xx")]
    return [
        ("Connections and messages", [metric(address.socket_api, name) for name in messages]),
        (
            "HTTP: calls, errors, milliseconds (p99)",
            [*calls, metric(address.http_api, "Latency", "p99")],
        ),
    ]


def _functions(compute: ComputeStack) -> list[Graph]:
    functions = [compute.function(name) for name in compute.executors]
    return [
        ("Function milliseconds (p99)", [f.metric_duration(statistic="p99") for f in functions]),
        ("Function errors", [f.metric_errors() for f in functions]),
        ("Function throttles", [f.metric_throttles() for f in functions]),
    ]


def _queues(compute: ComputeStack) -> list[Graph]:
    queues = compute.queues
    live = (queues.session, queues.follower, queues.tick, queues.scheduler)
    return [
        (
            "Age of the oldest message, seconds",
            [queue.metric_approximate_age_of_oldest_message() for queue in live],
        ),
        (
            "Messages that failed for good",
            [
                queue.metric_approximate_number_of_messages_visible()
                for queue in queues.dead_letters.values()
            ],
        ),
    ]


def _stores(data: DataStack) -> list[Graph]:
    cluster = data.database.cluster
    return [
        (
            "Database capacity units and connections",
            [
                cluster.metric("ServerlessDatabaseCapacity", statistic="Average"),
                cluster.metric("DatabaseConnections", statistic="Maximum"),
            ],
        ),
        (
            "DynamoDB throttles",
            [
                throttled_requests(table, event)
                for table in table_names(data).values()
                for event in THROTTLE_EVENTS
            ],
        ),
    ]

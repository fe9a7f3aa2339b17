"""The alarms, the guard on cost, and the dashboard."""

from typing import Final, cast

from aws_cdk import Environment, Stack
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from syncline_cdk.address_stack import AddressStack
from syncline_cdk.compute_stack import ComputeStack
from syncline_cdk.dashboard import (
    PERIOD,
    THROTTLE_EVENTS,
    Dashboard,
    follower_lag,
    table_names,
    throttled_requests,
)
from syncline_cdk.data_stack import DataStack
from syncline_cdk.principals import anyone, service
from syncline_cdk.settings import DeploymentSettings

COST_TAG: Final = "syncline:deployment"
"""The tag on everything, by which the budget counts; activate it once in the billing console."""


class ObservabilityStack(Stack):
    """What to look at, and what calls somebody."""

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
        super().__init__(
            scope,
            name,
            env=Environment(account=settings.account, region=settings.region),
            stack_name=f"{settings.deployment}-observability",
            description=f"Syncline {settings.deployment}: alarms",
        )
        self._settings = settings
        self._data = data
        self._address = address
        self._compute = compute
        self._topic = self._notices(data, settings.alarm_email)
        self._alarm_on_queues()
        self._alarm_on_functions()
        self._alarm_on_lag()
        self._alarm_on_tables()
        Dashboard(self, "Dashboard", settings=settings, data=data, address=address, compute=compute)
        if settings.monthly_budget_usd is not None and settings.alarm_email is not None:
            self._guard_cost(settings.monthly_budget_usd, settings.alarm_email)

    # Alarms

    def _notices(self, data: DataStack, email: str | None) -> sns.ITopic | None:
        if email is None:
            return None
        topic = sns.Topic(self, "Notices", master_key=data.encryption.seen_from(self))
        subscription = subscriptions.EmailSubscription(email)
        topic.add_subscription(cast("sns.ITopicSubscription", subscription))
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Alarms",
                principals=[service("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="TlsOnly",
                effect=iam.Effect.DENY,
                principals=[anyone()],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"Bool": {"aws:SecureTransport": "false"}},
            )
        )
        return cast("sns.ITopic", topic)

    def _alarm(
        self, name: str, metric: cloudwatch.IMetric, threshold: float, what: str, periods: int = 1
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_description=what,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            # A deployment that nobody uses reports nothing, which is as it should be.
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        if self._topic is not None:
            alarm.add_alarm_action(cast("cloudwatch.IAlarmAction", actions.SnsAction(self._topic)))

    def _alarm_on_queues(self) -> None:
        for name, queue in self._compute.queues.dead_letters.items():
            self._alarm(
                f"{name.title()}DeadLetters",
                queue.metric_approximate_number_of_messages_visible(
                    period=PERIOD, statistic="Maximum"
                ),
                0,
                f"Messages of the {name} queue failed for good: docs/operations.md",
            )

    def _alarm_on_functions(self) -> None:
        for name in self._compute.executors:
            function = self._compute.function(name)
            self._alarm(
                f"{name.title()}Errors",
                function.metric_errors(period=PERIOD),
                0,
                f"The function {name} failed or ran out of time",
                periods=2,
            )
            self._alarm(
                f"{name.title()}Throttles",
                function.metric_throttles(period=PERIOD),
                0,
                f"The function {name} was refused: the account's concurrency is used up",
                periods=2,
            )

    def _alarm_on_lag(self) -> None:
        limit = self._settings.follower_lag_seconds_max
        self._alarm(
            "FollowerLag",
            follower_lag(self._settings),
            limit,
            "The view is behind the log by seconds",
        )
        # The follower can't report a lag while it does not run; its queue can.
        self._alarm(
            "FollowerWaiting",
            self._compute.queues.follower.metric_approximate_age_of_oldest_message(period=PERIOD),
            limit,
            "Hints for the follower lie unread for seconds",
        )
        self._alarm(
            "LaneWaiting",
            self._compute.queues.session.metric_approximate_age_of_oldest_message(period=PERIOD),
            120,
            "Messages of connections lie unread for seconds",
        )

    def _alarm_on_tables(self) -> None:
        for name, table in table_names(self._data).items():
            for event in THROTTLE_EVENTS:
                self._alarm(
                    f"{name}{event}",
                    throttled_requests(table, event),
                    0,
                    f"DynamoDB refuses requests to the table {name}: a hot key, or a burst",
                    periods=3,
                )

    # Cost

    def _guard_cost(self, monthly_usd: float, email: str) -> None:
        """Warns of a month that will be, or has become, dearer than it may."""
        subscriber = budgets.CfnBudget.SubscriberProperty(address=email, subscription_type="EMAIL")
        budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=monthly_usd, unit="USD"),
                cost_filters={"TagKeyValue": [f"user:{COST_TAG}${self._settings.deployment}"]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        comparison_operator="GREATER_THAN",
                        notification_type=kind,
                        threshold=100,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[subscriber],
                )
                for kind in ("FORECASTED", "ACTUAL")
            ],
        )

"""What answers at the addresses: routes, integrations and stages of both APIs."""

import json
from typing import Final

from aws_cdk import Environment, RemovalPolicy, Stack
from aws_cdk import aws_apigatewayv2 as gateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from syncline.aws.settings import LOG_GROUP_PREFIX
from syncline_cdk.address_stack import STAGE, AddressStack
from syncline_cdk.compute_stack import ComputeStack
from syncline_cdk.data_stack import DataStack
from syncline_cdk.executors import log_retention
from syncline_cdk.functions import GATEWAY_SECONDS, SOCKET_GATEWAY_SECONDS
from syncline_cdk.principals import service
from syncline_cdk.settings import DeploymentSettings

LANE_TEMPLATE: Final = "&".join(
    (
        "Action=SendMessage",
        # The lane is the connection's, whatever the message says (aws-facts 1.5).
        "MessageGroupId=$util.urlEncode($context.connectionId)",
        "MessageDeduplicationId=$util.urlEncode($context.messageId)",
        # SQS takes only the characters of XML; base64 lets every text of a client pass.
        "MessageBody=$util.urlEncode($util.base64Encode($input.body))",
        # When the gateway received it, to sort by (protocols.md rule 20).
        "MessageAttribute.1.Name=at",
        "MessageAttribute.1.Value.DataType=Number",
        "MessageAttribute.1.Value.StringValue=$context.requestTimeEpoch",
    )
)
"""How a client's message becomes a message of its lane: API Gateway's own template language."""

_ACCESS_LOG: Final = {
    "requestId": "$context.requestId",
    "at": "$context.requestTimeEpoch",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "status": "$context.status",
    "milliseconds": "$context.responseLatency",
    "error": "$context.integrationErrorMessage",
}
"""A line of the HTTP API's access log: no address and no header of a client."""


class ApiStack(Stack):
    """Routes to functions and queues. It comes last, when what they lead to is there."""

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
            stack_name=f"{settings.deployment}-api",
            description=f"Syncline {settings.deployment}: API routes",
        )
        self._limits = gateway.CfnStage.RouteSettingsProperty(
            throttling_rate_limit=settings.requests_per_second_max,
            throttling_burst_limit=settings.requests_per_second_max // 2,
        )
        self._serve_sockets(data, address, compute)
        self._serve_http(settings, data, address, compute.function("http"))

    # WebSocket

    def _serve_sockets(self, data: DataStack, address: AddressStack, compute: ComputeStack) -> None:
        api = address.socket_api
        connection = compute.function("connection")
        lifecycle = gateway.CfnIntegration(
            self,
            "SocketLifecycle",
            api_id=api.ref,
            integration_type="AWS_PROXY",
            integration_uri=self._invocation(connection),
            timeout_in_millis=SOCKET_GATEWAY_SECONDS * 1000,
        )
        lane = self._lane_integration(api, data, compute)
        routes = [
            self._route(api, "Connect", "$connect", lifecycle),
            self._route(api, "Disconnect", "$disconnect", lifecycle),
            self._route(api, "Message", "$default", lane),
        ]
        for route in ("$connect", "$disconnect"):
            self._let_invoke(f"Socket{route[1:].title()}", connection, api, f"*/{route}")
        stage = gateway.CfnStage(
            self,
            "SocketStage",
            api_id=api.ref,
            stage_name=STAGE,
            auto_deploy=True,
            default_route_settings=self._limits,
        )
        for route in routes:
            stage.add_resource_dependency(route)

    def _lane_integration(
        self, api: gateway.CfnApi, data: DataStack, compute: ComputeStack
    ) -> gateway.CfnIntegration:
        """Client messages go straight into the session queue; no function is paid to enqueue."""
        queue = compute.queues.session
        role = iam.Role(
            self,
            "LaneRole",
            description="Puts client messages into the session queue",
            assumed_by=service("apigateway.amazonaws.com"),
            inline_policies={
                "lane": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            sid="Lane", actions=["sqs:SendMessage"], resources=[queue.queue_arn]
                        ),
                        iam.PolicyStatement(
                            sid="Key",
                            actions=["kms:Decrypt", "kms:GenerateDataKey"],
                            resources=[data.encryption.arn],
                            conditions={
                                "StringEquals": {
                                    "kms:ViaService": f"sqs.{self.region}.amazonaws.com"
                                }
                            },
                        ),
                    ]
                )
            },
        )
        path = f"{self.account}/{queue.queue_name}"
        return gateway.CfnIntegration(
            self,
            "SocketLane",
            api_id=api.ref,
            integration_type="AWS",
            integration_method="POST",
            integration_uri=f"arn:{self.partition}:apigateway:{self.region}:sqs:path/{path}",
            credentials_arn=role.role_arn,
            passthrough_behavior="NEVER",
            request_parameters={
                "integration.request.header.Content-Type": "'application/x-www-form-urlencoded'"
            },
            template_selection_expression="\\$default",
            request_templates={"$default": LANE_TEMPLATE},
            timeout_in_millis=SOCKET_GATEWAY_SECONDS * 1000,
        )

    # HTTP

    def _serve_http(
        self,
        settings: DeploymentSettings,
        data: DataStack,
        address: AddressStack,
        function: lambda_.IFunction,
    ) -> None:
        api = address.http_api
        integration = gateway.CfnIntegration(
            self,
            "HttpFunction",
            api_id=api.ref,
            integration_type="AWS_PROXY",
            integration_uri=function.function_arn,
            payload_format_version="2.0",
            timeout_in_millis=GATEWAY_SECONDS * 1000,
        )
        route = self._route(api, "Request", "$default", integration)
        self._let_invoke("Http", function, api, "*/$default")
        log_group = self._access_log(settings, data.encryption.seen_from(self))
        stage = gateway.CfnStage(
            self,
            "HttpStage",
            api_id=api.ref,
            stage_name="$default",
            auto_deploy=True,
            default_route_settings=self._limits,
            access_log_settings=gateway.CfnStage.AccessLogSettingsProperty(
                destination_arn=log_group.log_group_arn, format=json.dumps(_ACCESS_LOG)
            ),
        )
        stage.add_resource_dependency(route)

    def _access_log(self, settings: DeploymentSettings, key: kms.IKey) -> logs.LogGroup:
        return logs.LogGroup(
            self,
            "AccessLog",
            log_group_name=f"{LOG_GROUP_PREFIX}{settings.deployment}/http-access",
            encryption_key=key,
            retention=log_retention(settings.log_retention_days),
            removal_policy=RemovalPolicy.DESTROY,
        )

    # Both

    def _route(
        self, api: gateway.CfnApi, name: str, route: str, integration: gateway.CfnIntegration
    ) -> gateway.CfnRoute:
        return gateway.CfnRoute(
            self,
            f"{name}Route",
            api_id=api.ref,
            route_key=route,
            # Clients prove who they are by a message or a header, which our own code verifies.
            authorization_type="NONE",
            target=f"integrations/{integration.ref}",
        )

    def _invocation(self, function: lambda_.IFunction) -> str:
        path = f"2015-03-31/functions/{function.function_arn}/invocations"
        return f"arn:{self.partition}:apigateway:{self.region}:lambda:path/{path}"

    def _let_invoke(
        self, name: str, function: lambda_.IFunction, api: gateway.CfnApi, where: str
    ) -> None:
        lambda_.CfnPermission(
            self,
            f"{name}Permission",
            action="lambda:InvokeFunction",
            function_name=function.function_arn,
            principal="apigateway.amazonaws.com",
            source_arn=self.format_arn(
                service="execute-api", resource=api.ref, resource_name=where
            ),
        )

"""What the front door, Lambda and the queues' consumers need to know of deployed stacks.

Everything comes out of the template as moto has resolved it; nothing is written a second time.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from moto.awslambda.models import EventSourceMapping, LambdaFunction
from moto.events.models import Rule

from syncline.local_cloud.distribution import EdgeFunction
from syncline.local_cloud.event_sources import Mapped, Scheduled, rate_seconds
from syncline.local_cloud.file_origin import FileBehaviours
from syncline.local_cloud.lambda_instance import FunctionShape
from syncline.local_cloud.ports import HttpApi, SocketApi, SocketRoute
from syncline.local_cloud.resource_model import Declarations, Properties

_INVOCATION: Final = "/functions/"


def socket_api(declarations: Declarations, *, account: str, region: str) -> SocketApi:
    """The WebSocket API with its routes."""
    api_id = declarations.one("AWS::ApiGatewayV2::Api", ProtocolType="WEBSOCKET").physical_id
    stage = declarations.one("AWS::ApiGatewayV2::Stage", ApiId=api_id).properties["StageName"]
    routes = {
        str(route.properties["RouteKey"]): _socket_route(
            _integration(declarations, route.properties)
        )
        for route in declarations.of_type("AWS::ApiGatewayV2::Route")
        if route.properties["ApiId"] == api_id
    }
    return SocketApi(api_id, stage, account, region, routes)


def _integration(declarations: Declarations, route: Properties) -> Properties:
    name = str(route["Target"]).removeprefix("integrations/")
    return next(
        each.properties
        for each in declarations.of_type("AWS::ApiGatewayV2::Integration")
        if each.physical_id == name
    )


def _socket_route(integration: Properties) -> SocketRoute:
    uri = str(integration["IntegrationUri"])
    templates: Mapping[str, str] = integration.get("RequestTemplates", {})
    is_function = integration["IntegrationType"] == "AWS_PROXY"
    return SocketRoute(
        kind="function" if is_function else "service",
        function=_function_of(uri) if is_function else None,
        uri=uri,
        role=integration.get("CredentialsArn"),
        request_template=templates.get("$default"),
        headers=integration.get("RequestParameters", {}),
    )


def _function_of(uri: str) -> str:
    """`arn:…:lambda:path/2015-03-31/functions/<function's ARN>/invocations`, or the ARN itself."""
    return uri.partition(_INVOCATION)[2].rpartition("/")[0] if _INVOCATION in uri else uri


def http_api(declarations: Declarations) -> HttpApi:
    """The HTTP API, whose one route leads to one function."""
    api_id = declarations.one("AWS::ApiGatewayV2::Api", ProtocolType="HTTP").physical_id
    route = declarations.one("AWS::ApiGatewayV2::Route", ApiId=api_id)
    integration = _integration(declarations, route.properties)
    return HttpApi(
        api_id,
        _function_of(str(integration["IntegrationUri"])),
        int(integration["TimeoutInMillis"]),
    )


def viewer_function(declarations: Declarations) -> EdgeFunction:
    """The one function at the edge."""
    function = declarations.one("AWS::CloudFront::Function")
    distribution = declarations.one("AWS::CloudFront::Distribution")
    socket_api = declarations.one("AWS::ApiGatewayV2::Api", ProtocolType="WEBSOCKET").physical_id
    config = distribution.properties["DistributionConfig"]
    hosts = {each["Id"]: str(each["DomainName"]) for each in config["Origins"]}
    paths: dict[bool, list[str]] = {True: [], False: []}
    for each in config.get("CacheBehaviors", []):
        if each.get("FunctionAssociations"):
            leads_to_sockets = hosts[each["TargetOriginId"]].startswith(f"{socket_api}.")
            paths[leads_to_sockets].append(each["PathPattern"])
    code = str(function.properties["FunctionCode"])
    return EdgeFunction(code, tuple(paths[True]), tuple(paths[False]))


def file_behaviours(declarations: Declarations) -> FileBehaviours:
    """What of the distribution leads to the bucket."""
    config = declarations.one("AWS::CloudFront::Distribution").properties["DistributionConfig"]
    buckets = {
        each["Id"]: str(each["DomainName"]).partition(".s3.")[0]
        for each in config["Origins"]
        if "S3OriginConfig" in each
    }
    behaviours = config.get("CacheBehaviors", [])
    leading = [each for each in behaviours if each["TargetOriginId"] in buckets]
    first = behaviours.index(leading[0])
    policy = declarations.one("AWS::CloudFront::ResponseHeadersPolicy")
    return FileBehaviours(
        [each["PathPattern"] for each in leading],
        [each["PathPattern"] for each in behaviours[:first]],
        buckets[leading[0]["TargetOriginId"]],
        tuple(_policy_headers(policy.properties["ResponseHeadersPolicyConfig"])),
    )


def _policy_headers(config: Properties) -> Iterator[tuple[str, str]]:
    """As far as our policy says something."""
    cors = config["CorsConfig"]
    yield "Access-Control-Allow-Origin", cors["AccessControlAllowOrigins"]["Items"][0]
    yield "Access-Control-Expose-Headers", cors["AccessControlExposeHeaders"]["Items"][0]
    if "ContentTypeOptions" in config["SecurityHeadersConfig"]:
        yield "X-Content-Type-Options", "nosniff"


def function_shape(function: LambdaFunction, code: Mapping[str, Path]) -> FunctionShape:
    """A Lambda function of moto's; `code`: folders by the key of their archive."""
    return FunctionShape(
        name=function.function_name,
        arn=function.function_arn,
        label=str(function.handler).split(".")[-2],
        role=function.role,
        handler=str(function.handler),
        timeout_seconds=float(function.timeout),
        memory=int(function.memory_size),
        variables=_reachable(function.environment_vars),
        code=code[function.code["S3Key"]],
    )


def _reachable(variables: Mapping[str, str]) -> dict[str, str]:
    """The deployment's own address as it is here: the front door has no certificate."""
    return {
        name: value.replace("https://", "http://", 1)
        if value.startswith("https://127.0.0.1:")
        else value
        for name, value in variables.items()
    }


def mappings(
    found: Iterable[EventSourceMapping], queue_urls: Mapping[str, str]
) -> Iterator[Mapped]:
    """What event source mappings say; `queue_urls`: by ARN."""
    for mapping in found:
        yield Mapped(
            function=mapping.function_arn,
            queue_arn=mapping.event_source_arn,
            queue_url=queue_urls[mapping.event_source_arn],
            batch_size=int(mapping.batch_size),
            reports_failures="ReportBatchItemFailures" in (mapping.function_response_types or ()),
        )


def schedules(rules: Iterable[Rule]) -> Iterator[Scheduled]:
    """What rules call by a schedule."""
    for rule in rules:
        if rule.scheduled_expression:
            for target in rule.targets:
                yield Scheduled(target["Arn"], rule.arn, rate_seconds(rule.scheduled_expression))

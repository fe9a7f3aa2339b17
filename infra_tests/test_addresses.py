"""What clients reach: routes, the message template, CloudFront, the outputs that name it all."""

import json

from infra_tests.assembly import Assembly
from syncline_cdk.functions import FUNCTIONS

SOCKET_API, HTTP_API = "<Address/SocketApi>", "<Address/HttpApi>"
BUCKET = "<Data/Bucket.RegionalDomainName>"


def _routes(assembly: Assembly) -> dict[tuple[str, str], str]:
    return {
        (assembly.of(route, "ApiId"), route.properties["RouteKey"]): assembly.of(route, "Target")
        for route in assembly.of_kind("AWS::ApiGatewayV2::Route")
    }


def test_every_route_leads_where_it_should(assembly: Assembly):
    assert _routes(assembly) == {
        (SOCKET_API, "$connect"): "integrations/<Api/SocketLifecycle>",
        (SOCKET_API, "$disconnect"): "integrations/<Api/SocketLifecycle>",
        (SOCKET_API, "$default"): "integrations/<Api/SocketLane>",
        (HTTP_API, "$default"): "integrations/<Api/HttpFunction>",
    }


def test_opening_and_closing_calls_the_connection_function(default: Assembly, other: Assembly):
    path = "arn:<AWS::Partition>:apigateway:<AWS::Region>:lambda:path/2015-03-31/functions"
    lifecycle = default.resources["Api/SocketLifecycle"]
    assert lifecycle.properties["IntegrationType"] == "AWS_PROXY"
    uri = default.of(lifecycle, "IntegrationUri")
    assert uri == f"{path}/<Compute/Connection/Function.Arn>/invocations"
    published = other.of(other.resources["Api/SocketLifecycle"], "IntegrationUri")
    assert published.endswith("/<Compute/Connection/Live>/invocations")


def test_http_calls_the_http_function_with_the_second_payload_format(default: Assembly):
    integration = default.resources["Api/HttpFunction"]
    assert integration.properties["IntegrationType"] == "AWS_PROXY"
    assert integration.properties["PayloadFormatVersion"] == "2.0"
    assert default.of(integration, "IntegrationUri") == "<Compute/Http/Function.Arn>"


def test_a_message_goes_straight_into_its_connection_s_lane(assembly: Assembly):
    lane = dict(assembly.resources["Api/SocketLane"].properties)
    queue = "<AWS::AccountId>/<Compute/Queues/Session.QueueName>"
    if assembly.stacks["Api"]["environment"] != "aws://unknown-account/unknown-region":
        queue = "111122223333/<Compute/Queues/Session.QueueName>"
        region = "eu-west-1"
    else:
        region = "<AWS::Region>"
    for name in ("ApiId", "CredentialsArn", "IntegrationUri"):
        lane[name] = assembly.of(assembly.resources["Api/SocketLane"], name)
    assert lane == {
        "ApiId": SOCKET_API,
        "CredentialsArn": "<Api/LaneRole.Arn>",
        "IntegrationMethod": "POST",
        "IntegrationType": "AWS",
        "IntegrationUri": f"arn:<AWS::Partition>:apigateway:{region}:sqs:path/{queue}",
        "PassthroughBehavior": "NEVER",
        "RequestParameters": {
            "integration.request.header.Content-Type": "'application/x-www-form-urlencoded'"
        },
        "RequestTemplates": {
            "$default": (
                "Action=SendMessage"
                "&MessageGroupId=$util.urlEncode($context.connectionId)"
                "&MessageDeduplicationId=$util.urlEncode($context.messageId)"
                "&MessageBody=$util.urlEncode($util.base64Encode($input.body))"
                "&MessageAttribute.1.Name=at"
                "&MessageAttribute.1.Value.DataType=Number"
                "&MessageAttribute.1.Value.StringValue=$context.requestTimeEpoch"
            )
        },
        "TemplateSelectionExpression": "\\$default",
        "TimeoutInMillis": 29_000,
    }


def test_clients_are_sent_no_answer_of_the_queue(assembly: Assembly):
    kinds = {resource.kind for resource in assembly.resources.values()}
    assert "AWS::ApiGatewayV2::RouteResponse" not in kinds
    for route in assembly.of_kind("AWS::ApiGatewayV2::Route"):
        assert "RouteResponseSelectionExpression" not in route.properties


def test_api_gateway_calls_functions_on_its_routes_only(assembly: Assembly):
    permissions = {
        (
            assembly.of(permission, "FunctionName").split("/")[1],
            assembly.of(permission, "SourceArn").split(":", 5)[5].partition("<Address")[2],
        )
        for permission in assembly.of_kind("AWS::Lambda::Permission")
        if permission.properties["Principal"] == "apigateway.amazonaws.com"
    }
    assert permissions == {
        ("Connection", "/SocketApi>/*/$connect"),
        ("Connection", "/SocketApi>/*/$disconnect"),
        ("Http", "/HttpApi>/*/$default"),
    }


def _limits(assembly: Assembly) -> set[tuple[int, int]]:
    return {
        (limits["ThrottlingRateLimit"], limits["ThrottlingBurstLimit"])
        for stage in assembly.of_kind("AWS::ApiGatewayV2::Stage")
        for limits in [stage.properties["DefaultRouteSettings"]]
    }


def test_both_apis_bound_what_a_flood_costs(default: Assembly, other: Assembly):
    assert _limits(default) == {(2000, 1000)}
    assert _limits(other) == {(500, 250)}


def test_no_client_s_address_is_written_down(assembly: Assembly):
    stages = json.dumps([s.body for s in assembly.of_kind("AWS::ApiGatewayV2::Stage")])
    assert "sourceIp" not in stages
    assert "userAgent" not in stages
    (distribution,) = assembly.of_kind("AWS::CloudFront::Distribution")
    assert "Logging" not in distribution.properties["DistributionConfig"]


# CloudFront

# The ids of policies that AWS manages (CloudFront developer guide, "Managed policies").
CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
ALL_VIEWER_EXCEPT_HOST_HEADER = "b689b0a8-53d0-40ab-baf2-68738e2966ac"


def _distribution(assembly: Assembly) -> dict:
    (distribution,) = assembly.of_kind("AWS::CloudFront::Distribution")
    return distribution.properties["DistributionConfig"]


def _apis(config: dict) -> list[dict]:
    origins = [origin for origin in config["Origins"] if "CustomOriginConfig" in origin]
    assert len(origins) >= 2
    return origins


def _origin_hosts(assembly: Assembly) -> dict[str, str]:
    return {
        origin["Id"]: assembly.text("Address", origin["DomainName"])
        for origin in _distribution(assembly)["Origins"]
    }


def test_one_address_leads_to_both_apis(assembly: Assembly):
    config, hosts = _distribution(assembly), _origin_hosts(assembly)
    assert hosts[config["DefaultCacheBehavior"]["TargetOriginId"]].startswith(f"{HTTP_API}.execute")
    assert [behavior["PathPattern"] for behavior in config["CacheBehaviors"]] == [
        "/api/sync",
        "/api/*/sync",
        "/api/import/upload_part",
        "/api/storage/upload",
        "/api/storage/upload/*",
        "/api/storage/*",
    ]
    for behavior, api in zip(
        config["CacheBehaviors"],
        (SOCKET_API, SOCKET_API, HTTP_API, HTTP_API, HTTP_API, BUCKET),
        strict=True,
    ):
        assert hosts[behavior["TargetOriginId"]].startswith((f"{api}.execute-api.", BUCKET))
    for behavior in config["CacheBehaviors"][:4]:
        (function,) = behavior["FunctionAssociations"]
        assert function["EventType"] == "viewer-request"
    assert not config["DefaultCacheBehavior"].get("FunctionAssociations")


def test_nothing_is_cached_or_plain_and_the_host_stays_behind(assembly: Assembly):
    config = _distribution(assembly)
    files = config["CacheBehaviors"][-1]
    for behavior in (config["DefaultCacheBehavior"], *config["CacheBehaviors"]):
        assert behavior["ViewerProtocolPolicy"] == "https-only"
        assert behavior["CachePolicyId"] == CACHING_DISABLED
        if behavior is not files:
            assert behavior["OriginRequestPolicyId"] == ALL_VIEWER_EXCEPT_HOST_HEADER
    assert "OriginRequestPolicyId" not in files
    for origin in _apis(config):
        assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
        assert origin["CustomOriginConfig"]["OriginSSLProtocols"] == ["TLSv1.2"]


def test_files_come_straight_from_the_bucket_under_a_signature(assembly: Assembly):
    config = _distribution(assembly)
    files = config["CacheBehaviors"][-1]
    (origin,) = [o for o in config["Origins"] if o["Id"] == files["TargetOriginId"]]
    assert assembly.text("Address", origin["DomainName"]) == BUCKET
    # The empty identity is how CloudFormation says that there is no legacy one.
    assert origin["S3OriginConfig"] == {"OriginAccessIdentity": ""}
    (control,) = assembly.of_kind("AWS::CloudFront::OriginAccessControl")
    assert assembly.text("Address", origin["OriginAccessControlId"]) == f"<{control.place}.Id>"
    assert control.properties["OriginAccessControlConfig"] | {"Name": ""} == {
        "Name": "",
        "OriginAccessControlOriginType": "s3",
        "SigningBehavior": "always",
        "SigningProtocol": "sigv4",
    }
    assert files["AllowedMethods"] == ["GET", "HEAD"]
    assert files["Compress"] in (True, False)
    assert not files.get("FunctionAssociations")
    (headers,) = assembly.of_kind("AWS::CloudFront::ResponseHeadersPolicy")
    assert assembly.text("Address", files["ResponseHeadersPolicyId"]) == f"<{headers.place}>"
    chosen = headers.properties["ResponseHeadersPolicyConfig"]
    assert chosen["SecurityHeadersConfig"] == {"ContentTypeOptions": {"Override": True}}
    assert chosen["CorsConfig"]["AccessControlAllowCredentials"] is False


def test_cloudfront_may_read_public_files_and_nothing_else(assembly: Assembly):
    (policy,) = assembly.of_kind("AWS::S3::BucketPolicy")
    statements = [
        each
        for each in assembly.policy(policy, "PolicyDocument")
        if "cloudfront" in each.principals
    ]
    bucket = "<Data/Bucket.Arn>"
    assert {(each.actions, each.resources) for each in statements} == {
        (frozenset({"s3:GetObject"}), frozenset({f"{bucket}/api/storage/*"})),
        (frozenset({"s3:ListBucket"}), frozenset({bucket})),
    }
    for each in statements:
        assert ":distribution/*" in each.conditions
        assert "aws:SourceArn" in each.conditions


def test_browsers_may_put_files_where_a_signed_url_says(assembly: Assembly):
    (bucket,) = assembly.of_kind("AWS::S3::Bucket")
    (rule,) = bucket.properties["CorsConfiguration"]["CorsRules"]
    assert rule["AllowedMethods"] == ["PUT", "GET"]
    assert (rule["AllowedOrigins"], rule["AllowedHeaders"]) == (["*"], ["*"])


def test_the_viewer_function_carries_the_version_to_the_stage(assembly: Assembly):
    (function,) = assembly.of_kind("AWS::CloudFront::Function")
    (stage,) = [
        stage.properties["StageName"]
        for stage in assembly.of_kind("AWS::ApiGatewayV2::Stage")
        if assembly.of(stage, "ApiId") == SOCKET_API
    ]
    code = assembly.of(function, "FunctionCode")
    assert f"request.uri = '/{stage}'" in code
    assert "request.querystring.client = { value: match[1] }" in code
    assert function.properties["FunctionConfig"]["Runtime"] == "cloudfront-js-2.0"
    assert len(code) < 10_000, "CloudFront's quota of a function's size"


def test_functions_post_to_the_stage_and_never_through_cloudfront(assembly: Assembly):
    for name, function in assembly.functions():
        variables = function.properties["Environment"]["Variables"]
        endpoint = assembly.text("Compute", variables["SYNCLINE_GATEWAY_ENDPOINT"])
        assert endpoint.startswith(f"https://{SOCKET_API}.execute-api."), name
        assert endpoint.endswith("/live"), name


def test_a_domain_of_one_s_own_is_the_address(other: Assembly):
    config = _distribution(other)
    assert config["Aliases"] == ["live.example.org"]
    assert config["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    assert config["ViewerCertificate"]["AcmCertificateArn"].startswith("arn:aws:acm:us-east-1:")
    outputs = _outputs(other)
    assert outputs["DeploymentUrl"] == "https://live.example.org"
    assert outputs["WebSocketUrl"] == "wss://live.example.org/api/sync"
    assert outputs["CloudFrontDomain"] == "<Address/Distribution.DomainName>"


def _outputs(assembly: Assembly) -> dict[str, str]:
    return {
        name: assembly.text(stack, output["Value"])
        for stack, template in assembly.templates.items()
        for name, output in template.get("Outputs", {}).items()
        if "Export" not in output
    }


def test_the_outputs_say_where_the_deployment_is(default: Assembly):
    outputs = _outputs(default)
    assert len(outputs.pop("FunctionsHash")) == 64
    assert outputs == {
        "AdminSecretArn": "<Data/AdminSecret>",
        "DeploymentUrl": "https://<Address/Distribution.DomainName>",
        "WebSocketUrl": "wss://<Address/Distribution.DomainName>/api/sync",
        "CloudFrontDomain": "<Address/Distribution.DomainName>",
    }


# Times


def test_each_caller_waits_longer_than_what_it_calls(assembly: Assembly):
    seconds = {name: f.properties["Timeout"] for name, f in assembly.functions()}
    gateway = {
        name: assembly.resources[f"Api/{name}"].properties["TimeoutInMillis"] / 1000
        for name in ("SocketLifecycle", "SocketLane", "HttpFunction")
    }
    assert seconds["connection"] < gateway["SocketLifecycle"] <= 29
    assert gateway["SocketLane"] <= 29
    assert seconds["http"] < gateway["HttpFunction"] <= 30
    for origin in _apis(_distribution(assembly)):
        assert origin["CustomOriginConfig"]["OriginReadTimeout"] > gateway["HttpFunction"]
    (push,) = assembly.of_kind("Custom::SynclinePush")
    assert seconds["push"] < int(push.properties["ServiceTimeout"])
    # They run every minute and should not meet themselves.
    assert seconds["sweeper"] < 60
    assert seconds["ticker"] < 60


def test_every_function_is_one_of_those_that_are_declared(assembly: Assembly):
    assert {name: f.properties["Handler"] for name, f in assembly.functions()} == {
        name: f"syncline.aws.handlers.{name}.handler" for name in FUNCTIONS
    }

"""Where clients find a deployment: CloudFront, and the ids of the two APIs behind it.

Functions must know the address at which they are reached, and the routes must know the functions;
so the addresses come before the functions, and what answers at them after (`api_stack`).
"""

from pathlib import Path
from typing import Final, cast

from aws_cdk import Aws, CfnOutput, Duration, Environment, Stack
from aws_cdk import aws_apigatewayv2 as gateway
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_s3 as s3
from constructs import Construct

from syncline.aws.http_events import PART_BYTES_MAX
from syncline.execution.file_addresses import PUBLIC_PATH, UPLOAD_PATH
from syncline_cdk.data_stack import DataStack
from syncline_cdk.settings import DeploymentSettings

STAGE: Final = "live"
"""The WebSocket API's stage; the HTTP API's is `$default`, which has no path."""

_VIEWER_FUNCTION: Final = Path(__file__).parent / "viewer_request.js"


def viewer_function_code() -> str:
    """What CloudFront runs for a request to open a WebSocket, and for an upload."""
    code = _VIEWER_FUNCTION.read_text(encoding="utf-8")
    return code.replace("/STAGE", f"/{STAGE}").replace("PART_BYTES_MAX", str(PART_BYTES_MAX))


class AddressStack(Stack):
    """One public address for HTTP and WebSocket (aws-facts 1.3, 1.4)."""

    def __init__(
        self, scope: Construct, name: str, *, settings: DeploymentSettings, data: DataStack
    ) -> None:
        super().__init__(
            scope,
            name,
            env=Environment(account=settings.account, region=settings.region),
            stack_name=f"{settings.deployment}-address",
            description=f"Syncline {settings.deployment}: public addresses",
        )
        self.socket_api = gateway.CfnApi(
            self,
            "SocketApi",
            name=f"{settings.deployment}-socket",
            protocol_type="WEBSOCKET",
            # Read by nobody: every message takes the route $default.
            route_selection_expression="$request.body.type",
        )
        self.http_api = gateway.CfnApi(
            self, "HttpApi", name=f"{settings.deployment}-http", protocol_type="HTTP"
        )
        self.distribution = self._distribution(settings, data)
        domain = self.distribution.distribution_domain_name
        host = settings.domain_name or domain
        self.url = f"https://{host}"
        self.socket_url = f"wss://{host}/api/sync"
        CfnOutput(self, "DeploymentUrl", value=self.url)
        CfnOutput(self, "WebSocketUrl", value=self.socket_url)
        CfnOutput(self, "CloudFrontDomain", value=domain)

    def _host(self, api: gateway.CfnApi) -> str:
        return f"{api.ref}.execute-api.{self.region}.{self.url_suffix}"

    @property
    def gateway_endpoint(self) -> str:
        """Where functions post to connections; never through CloudFront (aws-facts 1.4)."""
        return f"https://{self._host(self.socket_api)}/{STAGE}"

    def connections_arn(self, method: str) -> str:
        """What `execute-api:ManageConnections` is allowed on: one HTTP method, any connection."""
        return self.format_arn(
            service="execute-api",
            resource=self.socket_api.ref,
            resource_name=f"{STAGE}/{method}/@connections/*",
        )

    def _distribution(
        self, settings: DeploymentSettings, data: DataStack
    ) -> cloudfront.Distribution:
        rewrite = cloudfront.Function(
            self,
            "ViewerRequest",
            # Without it, deployments of one account would have the same one.
            function_name=f"{settings.deployment}-viewer-request",
            code=cloudfront.FunctionCode.from_inline(viewer_function_code()),
            runtime=cloudfront.FunctionRuntime.JS_2_0,
            comment="Leads /api/<version>/sync to the WebSocket API; refuses uploads too large",
        )
        socket = self._behaviour(self.socket_api, cloudfront.AllowedMethods.ALLOW_GET_HEAD, rewrite)
        http = self._behaviour(self.http_api, cloudfront.AllowedMethods.ALLOW_ALL)
        bounded = self._behaviour(self.http_api, cloudfront.AllowedMethods.ALLOW_ALL, rewrite)
        certificate = settings.certificate_arn
        return cloudfront.Distribution(
            self,
            "Distribution",
            comment=f"Syncline {settings.deployment}",
            default_behavior=http,
            additional_behaviors={
                "/api/sync": socket,
                "/api/*/sync": socket,
                "/api/import/upload_part": bounded,
                # Before the files: CloudFront takes the first that matches.
                UPLOAD_PATH: bounded,
                f"{UPLOAD_PATH}/*": http,
                f"{PUBLIC_PATH}*": self._files(data),
            },
            domain_names=[settings.domain_name] if settings.domain_name else None,
            certificate=acm.Certificate.from_certificate_arn(self, "Certificate", certificate)
            if certificate
            else None,
            # CloudFront's own certificate has no such choice.
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021
            if certificate
            else None,
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            price_class=cloudfront.PriceClass.PRICE_CLASS_ALL,
        )

    def _files(self, data: DataStack) -> cloudfront.BehaviorOptions:
        """Public files, straight from the bucket: no function is asked, and none is paid."""
        bucket = s3.Bucket.from_bucket_attributes(
            self,
            "Files",
            bucket_arn=data.bucket.bucket_arn,
            bucket_regional_domain_name=data.bucket.bucket_regional_domain_name,
        )
        control = cloudfront.S3OriginAccessControl(
            self,
            "FilesAccess",
            # Without it, deployments of one account would have the same one.
            origin_access_control_name=f"{Aws.STACK_NAME}-files",
        )
        origin = origins.S3BucketOrigin.with_origin_access_control(
            bucket, origin_access_control=control
        )
        headers = cloudfront.ResponseHeadersPolicy(
            self,
            "FilesHeaders",
            response_headers_policy_name=f"{Aws.STACK_NAME}-files",
            comment="Pages of any origin may read files; what they are is not guessed",
            cors_behavior=cloudfront.ResponseHeadersCorsBehavior(
                access_control_allow_credentials=False,
                access_control_allow_headers=["*"],
                access_control_allow_methods=["GET", "HEAD"],
                access_control_allow_origins=["*"],
                access_control_expose_headers=["*"],
                origin_override=True,
            ),
            security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
                content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True)
            ),
        )
        return cloudfront.BehaviorOptions(
            origin=origin,
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
            allowed_methods=cloudfront.AllowedMethods.ALLOW_GET_HEAD,
            # A deleted file is gone at once; browsers keep what they have seen.
            cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
            response_headers_policy=cast("cloudfront.IResponseHeadersPolicy", headers),
        )

    def _behaviour(
        self,
        api: gateway.CfnApi,
        methods: cloudfront.AllowedMethods,
        viewer_request: cloudfront.Function | None = None,
    ) -> cloudfront.BehaviorOptions:
        associations = [
            cloudfront.FunctionAssociation(
                event_type=cloudfront.FunctionEventType.VIEWER_REQUEST, function=function
            )
            for function in (viewer_request,)
            if function is not None
        ]
        return cloudfront.BehaviorOptions(
            origin=origins.HttpOrigin(
                self._host(api),
                protocol_policy=cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
                origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2],
                # Above the API's 30 seconds, so that its own answer is what clients see.
                read_timeout=Duration.seconds(60),
            ),
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
            allowed_methods=methods,
            cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
            # API Gateway answers 403 to a Host that is not its own (aws-facts 1.4).
            origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
            function_associations=associations,
        )

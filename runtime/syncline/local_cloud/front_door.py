"""The one address of a deployment on this machine: CloudFront, both API Gateways, @connections.

One port serves what AWS serves under three host names: the distribution's paths, and @connections,
which on AWS lies on the WebSocket API's own host. No deployment has paths of that name.
"""

import time
from typing import Final

from aiohttp import web

from syncline.local_cloud.connections_endpoint import ConnectionsEndpoint, connection_of
from syncline.local_cloud.disorder import Disorder
from syncline.local_cloud.distribution import (
    Answer,
    Distribution,
    EdgeFunction,
    viewer_request,
)
from syncline.local_cloud.file_origin import FileOrigin
from syncline.local_cloud.gateway_limits import GatewayLimits, Throttle
from syncline.local_cloud.http_gateway import HttpGateway
from syncline.local_cloud.ports import Functions, HttpApi, SocketApi
from syncline.local_cloud.service_integration import ServiceAccess, ServiceIntegration
from syncline.local_cloud.socket_gateway import DEFAULT, SocketGateway
from syncline.local_cloud.socket_wire import CloseCode
from syncline.local_cloud.viewer_function import ViewerFunction

STOPPING_SECONDS_MAX: Final = 5.0
"""What requests under way have to end; ours."""


class FrontDoor:
    """Serves one deployment as its template describes it.

    `viewer_function`: without it, sockets' paths are CloudFront's patterns all the same.
    `files`: the bucket, where the distribution leads to one.

    Raises:
        ValueError: an integration is of a kind that is not known here.
        TemplateError: the request template has something that is not known here.
    """

    def __init__(
        self,
        *,
        socket_api: SocketApi,
        http_api: HttpApi,
        functions: Functions,
        viewer_function: EdgeFunction | None,
        services: ServiceAccess,
        limits: GatewayLimits | None = None,
        disorder: Disorder | None = None,
        files: FileOrigin | None = None,
    ) -> None:
        limits = limits or GatewayLimits()
        throttle = Throttle(limits.requests_per_second, limits.requests_burst, time.monotonic)
        self._stage = socket_api.stage
        self._lane = ServiceIntegration(socket_api.routes[DEFAULT], services)
        edge = viewer_function or EdgeFunction("")
        self._viewer_function = ViewerFunction(edge.code) if edge.code else None
        self._distribution = Distribution(edge.socket_paths, self._viewer_function, edge.http_paths)
        self._sockets = SocketGateway(
            socket_api,
            functions,
            self._lane,
            limits,
            throttle,
            disorder=disorder,
        )
        self._connections = ConnectionsEndpoint(
            self._sockets, limits, throttle, region=socket_api.region
        )
        self._http = HttpGateway(
            http_api,
            functions,
            limits,
            throttle,
            account=socket_api.account,
            region=socket_api.region,
        )
        self._files = files
        self._runner: web.ServerRunner | None = None
        self._site: web.TCPSite | None = None
        self._url = ""
        self._is_closed = False

    @property
    def url(self) -> str:
        """`http://host:port`; what clients are given, and where @connections lies."""
        return self._url

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one.

        Raises:
            ViewerFunctionError: there is no Node to run the viewer function.
            OSError: the port is taken.
        """
        if self._viewer_function is not None:
            await self._viewer_function.start()
        await self._lane.start()
        # Bodies stay as they came: the API does not unpack them either.
        server = web.Server(self._answer, auto_decompress=False, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=STOPPING_SECONDS_MAX)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, host, port)
        await self._site.start()
        taken = self._runner.addresses[0][1]
        self._url = f"http://{host}:{taken}"

    async def stop(self) -> None:
        """Close every socket with 1012, then everything else; doing it again changes nothing."""
        site, self._site = self._site, None
        if site is not None:
            await site.stop()
        await self._sockets.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._lane.stop()
        if self._viewer_function is not None:
            await self._viewer_function.stop()

    def interrupt(self, code: CloseCode) -> int:
        """Close every socket as a failing or restarting gateway does; tells how many."""
        return self._sockets.interrupt(code)

    def close_for_repairs(self) -> int:
        """Close every socket with 1012 and answer 503 to everything; tells how many there were."""
        self._is_closed = True
        return self.interrupt(CloseCode.SERVICE_RESTART)

    def open_again(self) -> None:
        """Let clients in again."""
        self._is_closed = False

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        connection_id = connection_of(path, self._stage)
        if connection_id is not None:
            return await self._connections.answer(request, connection_id)
        if self._is_closed:
            return web.Response(status=503, text="Service Unavailable")
        asked = viewer_request(request)
        if self._files is not None and self._files.is_asked(path):
            return await self._files.answer(request, asked)
        leads_to_sockets = self._distribution.leads_to_sockets(path)
        to_origin = await (
            self._distribution.to_socket_origin(asked)
            if leads_to_sockets
            else self._distribution.to_http_origin(asked)
        )
        if isinstance(to_origin, Answer):
            return to_origin.response()
        if leads_to_sockets:
            return await self._sockets.connect(request, to_origin)
        return await self._http.answer(request, to_origin)

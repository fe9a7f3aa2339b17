"""The HTTP API of a deployment (convex-protocol.md 3): which endpoint answers what.

`HttpApi.handle` takes and gives plain data, so the dev server and a Lambda serve the same API.
"""

import logging
from importlib.metadata import version
from typing import Final

import msgspec

from syncline.drivers.answers import Caller
from syncline.drivers.authentication import Authenticator
from syncline.drivers.deployment import Deployment
from syncline.drivers.exchange_files import ExchangeFiles
from syncline.drivers.file_storage import FileStorage
from syncline.drivers.http_environment import EnvironmentEndpoints
from syncline.drivers.http_exchange import ExchangeEndpoints
from syncline.drivers.http_functions import CallKind, FunctionEndpoints
from syncline.drivers.http_logs import LogEndpoints
from syncline.drivers.http_messages import (
    HttpError,
    HttpRequest,
    HttpResponse,
    cors_headers,
    error_response,
    json_response,
    text_response,
)
from syncline.drivers.http_storage import StorageEndpoints
from syncline.drivers.recent_logs import FunctionLogs
from syncline.errors import SynclineError
from syncline.limits import LOG_POLL_SECONDS_MAX
from syncline.ports import Entropy
from syncline.sync.client_kind import client_kind
from syncline.timestamps import encode_timestamp

BODY_BYTES_MAX: Final = 64 * 2**20
"""Bytes of any request's body; ours: four of the greatest arguments, or a large part of an upload.
"""

_CALLS: Final[dict[str, CallKind]] = {
    "/api/query": "query",
    "/api/mutation": "mutation",
    "/api/action": "action",
    "/api/function": "any",
}
_JAVASCRIPT_PUSH: Final = (
    "/api/get_config_hashes",
    "/api/deploy2/",
    # What the official `dev` asks first; refused here it has changed nothing yet.
    "/api/v1/get_canonical_urls",
)

logger = logging.getLogger(__name__)


class HttpApi:
    """Answers every HTTP request of a deployment except the WebSocket handshake."""

    def __init__(
        self,
        deployment: Deployment,
        *,
        authenticator: Authenticator,
        files: ExchangeFiles,
        storage: FileStorage,
        logs: FunctionLogs,
        entropy: Entropy,
        log_seconds_max: float = LOG_POLL_SECONDS_MAX,
        part_bytes_max: int | None = None,
    ) -> None:
        """`part_bytes_max`: of a part of an upload. `log_seconds_max`: a request for logs waits."""
        self.authenticator = authenticator
        self.exchange = ExchangeEndpoints(deployment, files, storage, entropy, part_bytes_max)
        self._functions = FunctionEndpoints(deployment)
        self._environment = EnvironmentEndpoints(deployment)
        self._logs = LogEndpoints(logs, seconds_max=log_seconds_max)
        self.storage = storage
        self._storage = StorageEndpoints(storage)
        self._deployment = deployment
        self._entropy = entropy

    def takes_stream(self, method: str, path: str) -> bool:
        """Whether the body of such a request is read by the endpoint, piece by piece."""
        return self._storage.takes_stream(method, path)

    async def start(self) -> None:
        """Once, after the engine has started and before the first request."""
        await self.exchange.importer.recover()

    async def settle(self) -> None:
        """Wait for imports and exports under way, where the process sleeps between requests."""
        await self.exchange.importer.settle()
        await self.exchange.exporter.settle()

    async def close(self) -> None:
        """Stop imports and exports, before the engine closes."""
        await self.exchange.importer.close()
        await self.exchange.exporter.close()

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """The answer to a request; failures are answers too."""
        request_id = request.headers.get("convex-request-id") or f"{self._entropy.bits(64):016x}"
        try:
            response = await self._answer(request)
        except SynclineError as error:
            response = error_response(error)
        except Exception:
            logger.exception("%s %s failed (request %s)", request.method, request.path, request_id)
            response = json_response(
                {
                    "code": "InternalServerError",
                    "message": "Your request couldn't be completed. Try again later.",
                },
                500,
            )
        return response.with_headers(
            *cors_headers(request), ("Convex-Request-Id", _header_text(request_id))
        )

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        if request.method == "OPTIONS":
            return HttpResponse(204)
        # A malformed Convex-Client header is refused before anything else happens.
        client_kind(None, request.headers.get("convex-client"))
        if len(request.body) > BODY_BYTES_MAX:
            raise HttpError(400, "RequestTooLarge", f"At most {BODY_BYTES_MAX} bytes fit.")
        plain = self._plain(request) or await self._storage.answer(request)
        if plain is not None:
            return plain
        caller = await self.authenticator.caller(
            request.headers.get("authorization"), request.query.get("adminKey")
        )
        response = await self._call(request, caller)
        if response is None:
            response = await self._admin(request, caller) or await self._own(request, caller)
        if response is None:
            raise HttpError(404, "NotFound", f"There is no {request.method} {request.path}.")
        return response

    def _plain(self, request: HttpRequest) -> HttpResponse | None:
        """The endpoints that need no caller."""
        match request.method, request.path:
            case "GET" | "HEAD", "/":
                return text_response(
                    "This Syncline deployment is running. Connect to it with any Convex client.\n"
                )
            case "GET" | "HEAD", "/version" | "/instance_version":
                return text_response(version("syncline"))
            case "GET" | "HEAD", "/instance_name":
                return text_response(self._deployment.name)
            case "POST", "/echo":
                return HttpResponse(200, request.body, "application/octet-stream")
            case "POST", "/api/debug_event":
                return HttpResponse(200, b"")
            case _:
                return None

    async def _call(self, request: HttpRequest, caller: Caller) -> HttpResponse | None:
        """The endpoints that everybody may call."""
        path, method = request.path, request.method
        if method == "POST" and (kind := _CALLS.get(path)) is not None:
            if kind == "any":
                _require_admin(caller)
            return await self._functions.call(request, caller, kind)
        match method, path:
            case "GET", "/api/query":
                return await self._functions.get_query(request, caller)
            case "GET" | "POST", "/api/query_ts":
                ts = self._deployment.latest_ts()
                return json_response({"ts": encode_timestamp(ts)})
            case "POST", "/api/query_at_ts":
                return await self._functions.query_at(request, caller)
            case "POST", "/api/query_batch":
                return await self._functions.query_batch(request, caller)
            case "POST", _ if path.startswith("/api/run/"):
                return await self._functions.run(request, caller, path.removeprefix("/api/run/"))
            case _:
                return None

    async def _admin(self, request: HttpRequest, caller: Caller) -> HttpResponse | None:
        """The endpoints that need an admin key."""
        path = request.path
        if path.startswith(_JAVASCRIPT_PUSH):
            raise HttpError(
                400,
                "PushWithSyncline",
                "The functions of this deployment are written in Python: push them with "
                "`syncline dev` (while developing) or `syncline push`.",
            )
        exchange = self.exchange
        match request.method, path:
            case "POST", "/api/import/start_upload":
                _require_admin(caller)
                return await exchange.start_upload()
            case "POST" | "PUT", "/api/import/upload_part":
                _require_admin(caller)
                return await exchange.upload_part(request)
            case "POST", "/api/import/finish_upload":
                _require_admin(caller)
                return await exchange.finish_upload(request)
            case "POST", "/api/perform_import":
                _require_admin(caller)
                return await exchange.perform_import(request)
            case "POST", "/api/export/request/zip":
                _require_admin(caller)
                return await exchange.request_export(request)
            case "GET", _ if path.startswith("/api/export/zip/"):
                _require_admin(caller)
                return await exchange.download_export(path.removeprefix("/api/export/zip/"))
            case "GET", "/api/stream_function_logs":
                _require_admin(caller)
                return await self._logs.stream(request)
            case "GET" | "POST", _ if path.endswith("_environment_variables"):
                _require_admin(caller)
                return await self._environment.answer(request)
            case _:
                return None

    async def _own(self, request: HttpRequest, caller: Caller) -> HttpResponse | None:
        """The endpoints of `syncline`; they need an admin key, too."""
        match request.method, request.path:
            case "POST", "/api/syncline/upload_url":
                _require_admin(caller)
                return await self.exchange.upload_url(request)
            case "POST", "/api/syncline/push":
                _require_admin(caller)
                return await self.exchange.push(request)
            case "GET", "/api/syncline/usage":
                _require_admin(caller)
                return json_response(msgspec.to_builtins(self._deployment.usage()))
            case _:
                return None


def _require_admin(caller: Caller) -> None:
    if not caller.is_admin:
        raise HttpError(
            403, "AdminKeyRequired", "This needs an admin key: `Authorization: Convex <admin key>`."
        )


def _header_text(text: str) -> str:
    """A request id as it may stand in a header: nothing of a client's that could break one."""
    return "".join(each for each in text[:64] if each.isalnum() or each in "-_.")

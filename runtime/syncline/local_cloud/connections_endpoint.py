"""@connections: how functions post to sockets, look at them and close them (aws-facts.md 1.7).

Requests must be signed for execute-api in the API's region. The signature itself is not computed
again: which role may do what is checked against the policies, from records of the calls.
"""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote

import msgspec
from aiohttp import web

from syncline.local_cloud.distribution import EDGE_ADDRESS
from syncline.local_cloud.gateway_identity import new_id
from syncline.local_cloud.gateway_limits import GatewayLimits, Throttle
from syncline.local_cloud.socket_gateway import Connection, SocketGateway
from syncline.local_cloud.socket_wire import CloseCode

_PATH: Final = re.compile(r"(?:/(?P<stage>[\w-]+))?/@connections/(?P<id>[^/]+)")
_SIGNATURE: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/,\s]+/\d{8}/(?P<region>[\w-]+)/(?P<service>[\w-]+)"
    r"/aws4_request, ?SignedHeaders=[\w;-]+, ?Signature=[0-9a-f]{64}"
)


def connection_of(path: str, stage: str) -> str | None:
    """The connection id that a raw path names, below the stage or not; None: it is another path."""
    match = _PATH.fullmatch(path)
    return unquote(match["id"]) if match and match["stage"] in (None, stage) else None


class ConnectionsEndpoint:
    """Answers in the shapes that the SDKs read."""

    def __init__(
        self, sockets: SocketGateway, limits: GatewayLimits, throttle: Throttle, *, region: str
    ) -> None:
        self._sockets = sockets
        self._limits = limits
        self._throttle = throttle
        self._region = region

    async def answer(self, request: web.BaseRequest, connection_id: str) -> web.Response:
        """Answer a POST, GET or DELETE for one connection."""
        refused = self._refuse(request, connection_id)
        if refused is not None:
            return refused
        connection = self._sockets.find(connection_id)
        if connection is None:
            return _error(410, "GoneException", "")
        match request.method:
            case "POST":
                return await self._post(request, connection)
            case "GET":
                return _described(connection)
            case "DELETE":
                connection.wire.close(CloseCode.NORMAL, "Connection closed")
                return web.Response(status=204, headers=_identified())
            case method:
                return _error(403, "ForbiddenException", f"{method} is not allowed.")

    def _refuse(self, request: web.BaseRequest, connection_id: str) -> web.Response | None:
        signature = request.headers.get("Authorization")
        if signature is None:
            return _error(
                403, "MissingAuthenticationTokenException", "Missing Authentication Token"
            )
        match = _SIGNATURE.fullmatch(signature)
        expected = (self._region, "execute-api")
        if match is None or (match["region"], match["service"]) != expected:
            return _error(
                403, "ForbiddenException", f"Sign for execute-api in {self._region} by Signature 4."
            )
        if not self._throttle.admits():
            return _error(429, "LimitExceededException", "Too many requests")
        if not _is_connection_id(connection_id):
            return _error(400, "BadRequestException", f"Invalid connectionId: {connection_id}")
        return None

    async def _post(self, request: web.BaseRequest, connection: Connection) -> web.Response:
        limit = self._limits.message_bytes
        text = bytearray()
        async for part in request.content.iter_any():
            text += part
            if len(text) > limit:
                return _error(413, "PayloadTooLargeException", f"Above {limit} bytes")
        if connection.wire.closed.done():
            return _error(410, "GoneException", "")
        if connection.wire.is_full:
            return _error(429, "LimitExceededException", "The client's buffer is full")
        self._sockets.send(connection, bytes(text))
        return web.Response(headers=_identified())


def _is_connection_id(text: str) -> bool:
    try:
        return text.endswith("=") and len(base64.urlsafe_b64decode(text)) == 11
    except (binascii.Error, ValueError):
        return False


def _identified() -> dict[str, str]:
    return {"x-amzn-RequestId": new_id()}


def _described(connection: Connection) -> web.Response:
    def written(at: float) -> str:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")

    caller = connection.caller
    body = msgspec.json.encode(
        {
            "connectedAt": written(caller.connected_at),
            "identity": {"sourceIp": EDGE_ADDRESS, "userAgent": caller.user_agent},
            "lastActiveAt": written(connection.last_active_at),
        }
    )
    return web.Response(body=body, content_type="application/json", headers=_identified())


def _error(status: int, kind: str, message: str) -> web.Response:
    headers = {**_identified(), "x-amzn-ErrorType": kind}
    body = msgspec.json.encode({"message": message})
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)

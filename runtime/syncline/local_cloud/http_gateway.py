"""The HTTP API: every request becomes one invocation of one function."""

import asyncio
import logging
import time

import msgspec
from aiohttp import web

from syncline.local_cloud.distribution import Answer, OriginRequest
from syncline.local_cloud.gateway_identity import new_id
from syncline.local_cloud.gateway_limits import GatewayLimits, Throttle
from syncline.local_cloud.http_payload import BadAnswerError, http_answer, http_event
from syncline.local_cloud.ports import FunctionFailed, Functions, HttpApi

logger = logging.getLogger(__name__)


class HttpGateway:
    """`account` and `region` are those of the deployment, as events name them."""

    def __init__(
        self,
        api: HttpApi,
        functions: Functions,
        limits: GatewayLimits,
        throttle: Throttle,
        *,
        account: str,
        region: str,
    ) -> None:
        self._api = api
        self._functions = functions
        self._limits = limits
        self._throttle = throttle
        self._account = account
        self._region = region

    async def answer(self, request: web.BaseRequest, asked: OriginRequest) -> web.StreamResponse:
        """Answer one request; `asked` is what the distribution made of it."""
        if not self._throttle.admits():
            return _refusal(429, "Too Many Requests")
        body = await self._read(request)
        if body is None:
            return _refusal(413, "Request Entity Too Large")
        event = http_event(self._api, self._account, self._region, asked, body, time.time())
        if len(msgspec.json.encode(event)) > self._limits.invocation_bytes:
            return _refusal(413, "Request Entity Too Large")
        try:
            async with asyncio.timeout(self._api.timeout_ms / 1000):
                given = await self._functions.invoke(self._api.function, event)
        except TimeoutError:
            return _refusal(503, "Service Unavailable")
        except FunctionFailed as error:
            logger.warning("The function %s failed: %s", self._api.function, error)
            return _refusal(500, "Internal Server Error")
        return self._converted(given, asked.method)

    def _converted(self, given: object, method: str) -> web.StreamResponse:
        size = len(msgspec.json.encode(given))
        if size > self._limits.answer_bytes:
            logger.warning("A function's answer has %d bytes; Lambda refuses it.", size)
            return _refusal(500, "Internal Server Error")
        try:
            answer = http_answer(given)
        except BadAnswerError as error:
            logger.warning("%s", error)
            return _refusal(500, "Internal Server Error")
        headers = [*answer.headers, ("apigw-requestid", new_id())]
        body = b"" if method == "HEAD" else answer.body
        return web.Response(status=answer.status, headers=headers, body=body)

    async def _read(self, request: web.BaseRequest) -> bytes | None:
        """The body; None: it is longer than the API takes."""
        parts: list[bytes] = []
        left = self._limits.http_body_bytes
        async for part in request.content.iter_any():
            left -= len(part)
            if left < 0:
                return None
            parts.append(part)
        return b"".join(parts)


def _refusal(status: int, message: str) -> web.Response:
    body = msgspec.json.encode({"message": message}).decode()
    headers = (("content-type", "application/json"), ("apigw-requestid", new_id()))
    return Answer(status, body, headers).response()

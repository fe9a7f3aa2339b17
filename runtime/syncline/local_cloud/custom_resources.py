"""Custom resources: their functions answer at an address, as CloudFormation's presigned one."""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from syncline.local_cloud.ports import FunctionFailed, Functions
from syncline.local_cloud.resource_model import CustomResourceFailed

ANSWER_BYTES_MAX: Final = 4096
"""Of a response object (CloudFormation user guide, "Custom resource response objects")."""


class CustomResourceAnswers:
    """Invokes functions of custom resources from any thread, and takes in what they report."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._waiting: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._loop = asyncio.get_running_loop()
        self._runner: web.ServerRunner | None = None
        self._url = ""

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        self._runner = web.ServerRunner(web.Server(self._receive, access_log=None))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/answers"

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    def answer(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """The port `CustomResources`; not for the event loop's own thread."""
        return asyncio.run_coroutine_threadsafe(self._ask(event), self._loop).result()

    async def _ask(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        key = secrets.token_hex(16)
        waiting = self._waiting[key] = self._loop.create_future()
        try:
            await self._functions.invoke(
                str(event["ServiceToken"]), {**event, "ResponseURL": f"{self._url}/{key}"}
            )
            if not waiting.done():
                raise CustomResourceFailed(f"{event['LogicalResourceId']} reported nothing.")
            answer = waiting.result()
        except FunctionFailed as failure:
            raise CustomResourceFailed(f"{event['LogicalResourceId']}: {failure}") from failure
        finally:
            del self._waiting[key]
        if answer["Status"] != "SUCCESS":
            raise CustomResourceFailed(str(answer.get("Reason", "")))
        return answer

    async def _receive(self, request: web.BaseRequest) -> web.Response:
        waiting = self._waiting.get(request.path.rpartition("/")[2])
        if request.method != "PUT" or waiting is None or waiting.done():
            return web.Response(status=403)
        content = await request.read()
        if len(content) > ANSWER_BYTES_MAX:
            waiting.set_result({"Status": "FAILED", "Reason": "the answer is larger than 4 KB"})
        else:
            waiting.set_result(msgspec.json.decode(content, type=dict[str, Any]))
        return web.Response()

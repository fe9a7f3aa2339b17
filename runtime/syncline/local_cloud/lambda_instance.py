"""One execution environment of a Lambda function: a process that answers one event at a time."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from syncline.local_cloud.ports import FunctionFailed

BOOTSTRAP: Final = Path("syncline") / "local_cloud" / "lambda_bootstrap.py"
"""Where the runtime lies in the functions' code."""

ANSWER_BYTES_MAX: Final = 64 * 2**20
"""Ours; the callers hold answers to Lambda's own bound, which is lower."""

LINE_BYTES_MAX: Final = 2**20
"""Ours: of a line that a function prints; what is longer is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionShape:
    """A function as the template makes it.

    `role`: the ARN of its role. `label`: the name of its handler's module, for people.
    """

    name: str
    arn: str
    label: str
    role: str
    handler: str
    timeout_seconds: float
    memory: int
    variables: Mapping[str, str]
    code: Path


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine's side of every function: where services are, and who hears what is printed."""

    region: str
    variables: Mapping[str, str]
    """Addresses of services and the like, for the bootstrap."""
    hear: Callable[[str, str], None]
    """Told the function's label and each line that it prints."""


class Instance:
    """Use `start`, then `call` one event after the other, then `kill`."""

    def __init__(self, shape: FunctionShape, machine: Machine) -> None:
        self.shape = shape
        self._machine = machine
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None
        self._scratch = Path(tempfile.mkdtemp(prefix="lambda-"))

    async def start(self) -> None:
        """Start the process; its handler loads while the first event waits."""
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                # Without site: what the function imports is in its code, or is not there.
                *(sys.executable, "-S", "-P", str(self.shape.code / BOOTSTRAP)),
                env=self._environment(theirs.fileno()),
                cwd=self.shape.code,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                limit=LINE_BYTES_MAX,
            )
        finally:
            theirs.close()
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        self._listener = asyncio.get_running_loop().create_task(self._listen())

    def _environment(self, frames: int) -> Mapping[str, str]:
        shape, stream = self.shape, secrets.token_hex(16)
        role = shape.role.rpartition("/")[2]
        return {
            **shape.variables,
            **self._machine.variables,
            "_HANDLER": shape.handler,
            "AWS_LAMBDA_FUNCTION_NAME": shape.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(shape.memory),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{shape.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"local/[$LATEST]{stream}",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_REGION": self._machine.region,
            "AWS_DEFAULT_REGION": self._machine.region,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_SESSION_TOKEN": role,
            "LAMBDA_TASK_ROOT": str(shape.code),
            "LAMBDA_ARN": shape.arn,
            "LAMBDA_ROLE": shape.role,
            "LAMBDA_LABEL": shape.label,
            "LAMBDA_FRAMES": str(frames),
            "LANG": "en_US.UTF-8",
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(shape.code),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(self._scratch),
            "TZ": ":UTC",
        }

    async def call(self, event: Mapping[str, Any], request_id: str) -> object:
        """The handler's answer. The process is dead afterwards if it raised anything but that.

        Raises:
            FunctionFailed: the handler raised, the process ended, or its time is over.
        """
        timeout = self.shape.timeout_seconds
        trace = f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"
        frame = json.dumps({
            "event": event,
            "request_id": request_id,
            "deadline": time.time() + timeout,
            "trace": f"{trace};Parent={secrets.token_hex(8)};Sampled=0",
        }).encode()  # fmt: skip
        try:
            async with asyncio.timeout(timeout):
                reply = await self._exchange(frame)
        except TimeoutError:
            await self.kill()
            message = f"{request_id} Task timed out after {timeout:.2f} seconds"
            raise FunctionFailed(
                {"errorType": "Sandbox.Timedout", "errorMessage": message}
            ) from None
        except (OSError, asyncio.IncompleteReadError):
            code = await self.kill()
            message = f"RequestId: {request_id} Error: Runtime exited with status {code}"
            raise FunctionFailed(
                {"errorType": "Runtime.ExitError", "errorMessage": message}
            ) from None
        if "error" in reply:
            raise FunctionFailed(reply["error"])
        return reply["answer"]

    async def _exchange(self, frame: bytes) -> Mapping[str, Any]:
        assert self._reader is not None, "not started"
        assert self._writer is not None, "not started"
        self._writer.write(struct.pack(">I", len(frame)) + frame)
        await self._writer.drain()
        (length,) = struct.unpack(">I", await self._reader.readexactly(4))
        if length > ANSWER_BYTES_MAX:
            raise OSError(f"an answer of {length} bytes")
        return json.loads(await self._reader.readexactly(length))

    async def _listen(self) -> None:
        assert self._process is not None, "not started"
        output = self._process.stdout
        assert output is not None, "piped"
        while True:
            try:
                line = await output.readline()
            except ValueError:
                self._machine.hear(self.shape.label, "(a line too long to show)")
                continue
            if not line:
                return
            self._machine.hear(self.shape.label, line.decode(errors="replace").rstrip())

    @property
    def is_alive(self) -> bool:
        """Whether its process still runs."""
        return self._process is not None and self._process.returncode is None

    async def kill(self) -> int | None:
        """End the process at once; its exit code."""
        process = self._process
        if process is None:
            return None
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        code = await process.wait()
        if self._writer is not None:
            self._writer.close()
        if self._listener is not None:
            await self._listener
        shutil.rmtree(self._scratch, ignore_errors=True)
        return code

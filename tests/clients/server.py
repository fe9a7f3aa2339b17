"""`syncline dev` as a process of its own, on a project copied into a temporary folder.

The real command is started, read until it serves, stopped by Ctrl-C's signal, or killed and started
again on the same data and port. The project is a copy because a server writes generated code
beside the functions, and because tests may edit them.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.clients.program import EVENT_SECONDS_MAX

PROJECT = Path(__file__).resolve().parents[2]
SYNCLINE = Path(sys.executable).with_name("syncline")
STOP_SECONDS_MAX = 20.0

_PUSH_FAILED = re.compile(r"Push failed")
_READY = re.compile(r"Functions ready")
_URL = re.compile(r"running at (http://\S+)")
_SITE = re.compile(r"Site: (http://\S+)")
_ADMIN_KEY = re.compile(r"Admin key: (\S+)")


class CallFailedError(Exception):
    """A function call over HTTP that did not succeed; the answer is its argument."""


class DevServer:
    """One development deployment of a folder of functions.

    Args:
        functions: the folder; copied to `project/functions`.
        project: an empty folder for the copy and, in `.syncline`, the data.
    """

    START_SECONDS_MAX = 60.0
    EVENT_SECONDS_MAX = EVENT_SECONDS_MAX

    CLEAN_CLOSE_REASON = "ServerStopping"
    """What the npm client says to have lost its connection by when the server stops."""

    MUTATIONS_MEANWHILE_MIN = 21
    """What one client gets acknowledged while another's function runs into its time limit."""

    KEEPS_ORDER = True
    """Whether the messages of one socket are taken in the order in which they were sent."""

    BURST = 300
    """Mutations around an interruption, eight at a time."""

    IN_TURN = 200
    """Mutations around two interruptions, one after the other."""

    TRANSFERS = 60
    """Mutations that each change two queries' results at once."""

    def __init__(self, functions: Path, project: Path) -> None:
        self.project = project
        self.functions = project / "functions"
        self.data = project / ".syncline"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.site = ""
        """Where HTTP actions are."""
        self.admin_key = ""
        self._process: subprocess.Popen[str] | None = None
        self._lines: list[str] = []
        self._changed = threading.Condition()
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(functions, self.functions, dirs_exist_ok=True, ignore=ignored)

    def __enter__(self) -> "DevServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process id of the server."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def log(self) -> str:
        """All that the server has printed, over restarts."""
        with self._changed:
            return "".join(self._lines)

    def options(self) -> list[str]:
        """More options of the command."""
        return []

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def send_signal(self, number: signal.Signals) -> None:
        """Send the server's process a signal."""
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def start(self) -> None:
        """Start and wait until the functions are served."""
        command = [SYNCLINE, "dev", "--functions", self.functions, "--data", self.data]
        begin = len(self._lines)
        self._process = subprocess.Popen(
            [*map(str, command), "--port", str(self.port), *self.options()],
            cwd=self.project,
            env={**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        try:
            self.wait_for_log(_READY, begin=begin, unless=_PUSH_FAILED)
        except AssertionError:
            self.close()
            raise
        said = "".join(self._lines[begin:])
        url, key = _URL.search(said), _ADMIN_KEY.search(said)
        assert url, f"no URL in the log:\n{said}"
        assert key, f"no admin key in the log:\n{said}"
        assert url.group(1) == self.url
        self.admin_key = key.group(1)
        site = _SITE.search(said)
        self.site = site.group(1) if site else f"{self.url}/http"

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for_log(
        self, pattern: re.Pattern[str], *, begin: int = 0, unless: re.Pattern[str] | None = None
    ) -> str:
        """The first line from line `begin` on that matches; the server may not end before."""
        process = self._process
        assert process is not None, "not started"
        deadline = time.monotonic() + self.START_SECONDS_MAX
        with self._changed:
            position = begin
            while True:
                for line in self._lines[position:]:
                    position += 1
                    if pattern.search(line):
                        return line
                    if unless and unless.search(line):
                        self._changed.wait(1.0)
                        raise AssertionError(f"the server failed:\n{''.join(self._lines)}")
                if process.poll() is not None or time.monotonic() > deadline:
                    self._changed.wait(1.0)
                    raise AssertionError(
                        f"no line like {pattern.pattern!r} (exit code {process.poll()}):\n"
                        f"{''.join(self._lines)}"
                    )
                self._changed.wait(0.1)

    def stop(self) -> int:
        """End it as Ctrl-C does; returns the exit code."""
        assert self._process is not None, "not started"
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(STOP_SECONDS_MAX)

    def kill(self) -> None:
        """kill -9: the server ends at once, its Postgres stays behind."""
        assert self._process is not None, "not started"
        self._process.kill()
        self._process.wait(STOP_SECONDS_MAX)

    def restart(self) -> None:
        """kill -9, then start on the same data."""
        self.kill()
        self.start()

    def kill_postgres(self, *, backends: bool = False) -> int:
        """kill -9 of the postmaster, which the server then starts again; returns its process id.

        `backends`: kill those too, which otherwise notice and end by themselves.
        """
        server = self._postgres()
        assert server is not None, "no Postgres runs"
        children = server.children(recursive=True) if backends else []
        server.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        return server.pid

    def _postgres(self) -> psutil.Process | None:
        try:
            pid = int((self.data / "postgres" / "postmaster.pid").read_text().split()[0])
            process = psutil.Process(pid)
            return process if "postgres" in process.name() else None
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
            return None

    def close(self) -> None:
        """End whatever still runs."""
        if self._process is not None and self._process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
        server = self._postgres()
        if server is not None:
            with suppress(psutil.NoSuchProcess):
                server.send_signal(signal.SIGQUIT)
                server.wait(STOP_SECONDS_MAX)

    def environment(self) -> dict[str, str]:
        """What the official and our command line read to find this deployment."""
        return {
            **os.environ,
            "NO_COLOR": "1",
            "CONVEX_SELF_HOSTED_URL": self.url,
            "CONVEX_SELF_HOSTED_ADMIN_KEY": self.admin_key,
            "SYNCLINE_URL": self.url,
            "SYNCLINE_ADMIN_KEY": self.admin_key,
        }

    def query(self, path: str, **arguments: Any) -> Any:
        """A query's value, over plain HTTP."""
        return self._call("query", path, arguments)

    def mutation(self, path: str, **arguments: Any) -> Any:
        """A mutation's value, over plain HTTP."""
        return self._call("mutation", path, arguments)

    def _call(self, kind: str, path: str, arguments: dict[str, Any]) -> Any:
        body = json.dumps({"path": path, "args": arguments, "format": "json"}).encode()
        request = urllib.request.Request(
            f"{self.url}/api/{kind}", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise CallFailedError(error.read().decode()) from error
        if answer["status"] != "success":
            raise CallFailedError(answer)
        return answer["value"]


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

"""A local cloud inside of the test's process, on an event loop in a thread."""

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from syncline.local_cloud.cloud import CloudOptions, LocalCloud
from tests.clients.server import SYNCLINE, free_port

CALL_SECONDS_MAX = 300
_T = TypeVar("_T")


class CloudThread:
    """A deployment of a copy of a folder of functions, for tests that reach behind its address."""

    EVENT_SECONDS_MAX = 150.0

    def __init__(self, functions: Path, project: Path) -> None:
        self.project = project
        self.functions = project / "functions"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(functions, self.functions, ignore=ignored)
        self.printed: list[str] = []
        self.cloud = LocalCloud(
            CloudOptions(
                folder=project,
                data=project / ".syncline",
                settings={
                    "functions": str(self.functions),
                    "code": "running",
                    "redact": False,
                    "environment": {"SET_BY_THE_STACK": "by a deploy"},
                },
                port=free_port(),
                hear=lambda label, line: self.printed.append(f"{label}: {line}"),
            )
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "CloudThread":
        self._thread.start()
        self.run(self.cloud.start())
        self.url = self.cloud.url
        self.admin_key = self.cloud.admin_key()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.cloud.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run it where the cloud runs."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS_MAX)

    def environment(self) -> dict[str, str]:
        """For the command lines, as the deployment's owner."""
        return {
            **os.environ,
            **self.cloud.operator_environment(),
            "NO_COLOR": "1",
            "SYNCLINE_URL": self.url,
            "SYNCLINE_ADMIN_KEY": self.admin_key,
            "CONVEX_SELF_HOSTED_URL": self.url,
            "CONVEX_SELF_HOSTED_ADMIN_KEY": self.admin_key,
        }

    def command(self, *arguments: str) -> str:
        """What our command line prints; it has to succeed."""
        done = subprocess.run(
            [str(SYNCLINE), *arguments],
            cwd=self.project,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

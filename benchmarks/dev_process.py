"""`syncline dev` as a process of its own for benchmarks, and what it costs in CPU and memory."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

HERE = Path(__file__).parent


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class DevProcess:
    """One server on a data folder; `start` returns once it accepts calls."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """The HTTP address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def sync_url(self) -> str:
        """The WebSocket address of an npm client."""
        return f"ws://127.0.0.1:{self.port}/api/1.48.0/sync"

    def start(self) -> float:
        """Start and wait until the functions are served; returns the seconds it took."""
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "benchmarks.serve",
                str(HERE / "functions"),
                str(self.data),
                str(self.port),
            ],
            stdout=subprocess.PIPE,
            text=True,
            cwd=HERE.parent,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("Functions ready"):
                return time.perf_counter() - began
        raise RuntimeError("the server did not start")

    def stop(self) -> None:
        """Stop cleanly."""
        if self._process is not None:
            self._process.terminate()
            self._process.communicate(timeout=20)
            self._process = None

    def tree(self) -> list[psutil.Process]:
        """The server, its executors, and its Postgres."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        found = [server, *server.children(recursive=True)]
        postmaster = int((self.data / "postgres" / "postmaster.pid").read_text().split()[0])
        if postmaster not in {process.pid for process in found}:
            postgres = psutil.Process(postmaster)
            found += [postgres, *postgres.children(recursive=True)]
        return found

    def cpu_seconds(self) -> float:
        """User and system time of the whole tree so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self.tree())

    def memory_mb(self) -> float:
        """Proportional set size of the whole tree in MB."""
        return sum(process.memory_full_info().pss for process in self.tree()) / 1e6

"""An example's page, type-checked and built as its user would, and served to a browser."""

import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from scripts.node_toolchain import install_packages, node_toolchain


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Requests are not worth a line."""


@contextmanager
def built_page(example: Path, built: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Address of the Vite app in `example`, built into `built` with these variables set."""
    install_packages(example)
    toolchain = node_toolchain()
    for command in (
        ("npx", "tsc", "--noEmit"),
        ("npx", "vite", "build", "--outDir", str(built), "--emptyOutDir"),
    ):
        answer = subprocess.run(
            toolchain.command(*command),
            cwd=example,
            env={**toolchain.environment(), **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
    handler = partial(_QuietHandler, directory=str(built))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{files.server_port}/"
        finally:
            files.shutdown()

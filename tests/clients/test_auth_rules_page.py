"""The example with row rules in Chromium: a token expires under the official React client."""

import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.chromium import ensure_chromium
from scripts.node_toolchain import install_packages, node_toolchain
from tests.clients.identity_provider import IdentityProvider
from tests.clients.program import ClientProgram
from tests.clients.server import PROJECT, DevServer
from tests.clients.test_sign_in import notes_server, provider, short_seconds

pytestmark = pytest.mark.clients

__all__ = ["notes_server", "provider", "short_seconds"]

EXAMPLE = PROJECT / "examples" / "auth-rules"


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Requests are not worth a line."""


@pytest.fixture
def page(notes_server: DevServer, provider: IdentityProvider, tmp_path: Path) -> Iterator[str]:
    """Address of the example, type-checked and built for the server and the provider."""
    install_packages(EXAMPLE)
    toolchain = node_toolchain()
    environment = {
        **toolchain.environment(),
        "VITE_CONVEX_URL": notes_server.url,
        "VITE_TOKEN_URL": f"{provider.url}/token",
    }
    built = tmp_path / "built"
    for command in (
        ("npx", "tsc", "--noEmit"),
        ("npx", "vite", "build", "--outDir", str(built), "--emptyOutDir"),
    ):
        answer = subprocess.run(
            toolchain.command(*command),
            cwd=EXAMPLE,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
    handler = partial(_QuietHandler, directory=str(built))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{files.server_port}/"
        files.shutdown()


def test_react_renews_an_expired_token_and_loses_neither_query_nor_write(
    page: str, provider: IdentityProvider, short_seconds: float, room: str
):
    chromium = ensure_chromium()
    toolchain = node_toolchain()
    # A page has to load first.
    seconds = short_seconds + 3
    provider.shorten(seconds)
    expired = time.time() + seconds + 0.2
    program = ("node", "node/notes_page.mjs", page, room, str(expired), chromium)
    with ClientProgram(toolchain.command(*program), toolchain.environment()) as running:
        assert running.event("signed_in")["at"] < expired, "the machine was too slow for this test"
        renewed = running.event("renewed")
        (error,) = renewed["authErrors"]
        assert error["error"] == "Convex token identity expired"
        assert room in renewed["user"]
        shown = renewed["shown"]
        signed_in = shown[shown.index("before") :]
        assert signed_in == ["before", "after,before"], "the page went on showing what it showed"
        assert running.only("done")["problems"] == []

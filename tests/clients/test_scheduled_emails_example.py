"""examples/scheduled-emails with the official PyPI client, and a provider on loopback."""

import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.clients.conftest import ServeExample, StartProgram
from tests.clients.server import SYNCLINE

pytestmark = pytest.mark.clients


class Provider(ThreadingHTTPServer):
    """Takes e-mails in, and keeps them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.taken: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
        self.address = f"http://127.0.0.1:{self.server_port}/emails"


class _Taking(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.put(json.loads(content))
        self.send_response(202)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Requests are not worth a line."""


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def test_one_email_goes_out_and_a_cancelled_one_does_not(
    example: ServeExample, provider: Provider, pypi: StartProgram, room: str
):
    server = example("scheduled-emails")
    subprocess.run(
        [SYNCLINE, "env", "set", "EMAIL_URL", provider.address],
        env=server.environment(),
        cwd=server.project,
        check=True,
        capture_output=True,
        timeout=60,
    )
    with pypi("emails", "plays", server, room) as running:
        seen = running.only("seen")
    assert provider.taken.get(timeout=5) == {
        "to": "ada@example.com",
        "subject": "Tea?",
        "text": "At four.",
    }
    assert provider.taken.empty()
    assert seen["sent"][-1] == "sent"
    assert seen["cancelled"][-1] == "canceled"

"""The example with row rules in Chromium: a token expires under the official React client."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.chromium import ensure_chromium
from scripts.node_toolchain import node_toolchain
from tests.clients.built_page import built_page
from tests.clients.identity_provider import IdentityProvider
from tests.clients.program import ClientProgram
from tests.clients.server import PROJECT, DevServer
from tests.clients.test_sign_in import notes_server, provider, short_seconds

pytestmark = pytest.mark.clients

__all__ = ["notes_server", "provider", "short_seconds"]

EXAMPLE = PROJECT / "examples" / "auth-rules"


@pytest.fixture
def page(notes_server: DevServer, provider: IdentityProvider, tmp_path: Path) -> Iterator[str]:
    """Address of the example, type-checked and built for the server and the provider."""
    environment = {"VITE_CONVEX_URL": notes_server.url, "VITE_TOKEN_URL": f"{provider.url}/token"}
    with built_page(EXAMPLE, tmp_path / "built", environment) as address:
        yield address


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

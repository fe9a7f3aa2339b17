"""examples/chat in Chromium, built as its user would: two tabs, an image, a live search."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.chromium import ensure_chromium
from scripts.node_toolchain import node_toolchain
from tests.clients.built_page import built_page
from tests.clients.conftest import ServeExample
from tests.clients.program import ClientProgram
from tests.clients.server import PROJECT

pytestmark = pytest.mark.clients

EXAMPLE = PROJECT / "examples" / "chat"


@pytest.fixture
def chat_page(example: ServeExample, tmp_path: Path) -> Iterator[str]:
    server = example("chat")
    with built_page(EXAMPLE, tmp_path / "built", {"VITE_CONVEX_URL": server.url}) as address:
        yield address


def test_two_tabs_share_messages_and_images_and_a_search_stays_live(chat_page: str):
    screenshots = PROJECT / "test-results"
    screenshots.mkdir(exist_ok=True)
    toolchain = node_toolchain()
    program = ("node", "node/chat_pages.mjs", chat_page, str(screenshots), ensure_chromium())
    with ClientProgram(toolchain.command(*program), toolchain.environment()) as tabs:
        both = ["The tomatoes are ripe", "Mine have a disease"]
        assert tabs.event("agree")["shown"] == [both, both]
        search = tabs.event("search")
        assert search["before"] == ["The tomatoes are ripe"]
        assert search["after"] == ["Look at this tomato", "The tomatoes are ripe"]
        image = tabs.event("image")
        assert (image["size"], image["same"]) == ([2, 2], True)
        refused = tabs.event("refused")
        assert refused["statuses"] == [415]
        assert "text/html" in refused["said"]
        removed = tabs.event("removed")
        assert removed["found"] == ["The tomatoes are ripe"]
        assert removed["status"] == 404, "the image goes with its message"
        assert tabs.only("done")["problems"] == []

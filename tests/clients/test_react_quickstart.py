"""The React quickstart in Chromium: built as its user would, fed by both command lines."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.chromium import ensure_chromium
from scripts.node_toolchain import node_toolchain
from tests.clients.built_page import built_page
from tests.clients.program import ClientProgram
from tests.clients.server import PROJECT, SYNCLINE, DevServer

pytestmark = pytest.mark.clients

EXAMPLE = PROJECT / "examples" / "quickstart-react"
SAMPLE = PROJECT / "sampleData.jsonl"
MESSAGES = 25


@pytest.fixture
def page(app_server: DevServer, tmp_path: Path) -> Iterator[str]:
    """Address of the example, type-checked and built for the server."""
    environment = {"VITE_CONVEX_URL": app_server.url}
    with built_page(EXAMPLE, tmp_path / "built", environment) as address:
        yield address


@pytest.fixture
def browser(page: str):
    """Starts a scenario of node/quickstart.mjs; screenshots are kept in test-results/."""
    chromium = ensure_chromium()
    screenshots = PROJECT / "test-results"
    screenshots.mkdir(exist_ok=True)
    toolchain = node_toolchain()

    def start(scenario: str) -> ClientProgram:
        program = ("node", "node/quickstart.mjs", scenario, page, str(screenshots), chromium)
        return ClientProgram(toolchain.command(*program), toolchain.environment())

    return start


def _official_cli(server: DevServer, *arguments: str) -> None:
    toolchain = node_toolchain()
    answer = subprocess.run(
        toolchain.command("npx", "convex", *arguments),
        cwd=EXAMPLE,
        env={**server.environment(), "PATH": toolchain.environment()["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def _syncline(server: DevServer, *arguments: str) -> str:
    answer = subprocess.run(
        [SYNCLINE, *arguments],
        cwd=server.project,
        env=server.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_tasks_show_in_two_tabs_whoever_adds_them(app_server: DevServer, browser):
    three = [json.loads(line)["text"] for line in SAMPLE.read_text().splitlines()]
    assert len(three) == 3
    with browser("tasks") as tabs:
        assert tabs.event("open")["empty"]
        _official_cli(app_server, "import", "--table", "tasks", str(SAMPLE))
        assert tabs.event("imported")["shown"] == [three, three]
        _syncline(app_server, "run", "tasks:add", '{"text": "Walk the dog"}')
        called = time.time()
        fourth = tabs.event("fourth")
        four = [*three, "Walk the dog"]
        assert fourth["shown"] == [four, four]
        print(f"added by `syncline run`: shown {fourth['at'] - called * 1000:.0f} ms after its end")
        fifth = tabs.event("fifth")
        five = [*four, "Water the plants"]
        assert fifth["shown"] == [five, five]
        print(f"added in one tab: shown in both after {fifth['milliseconds']} ms")
        changed = tabs.event("changed")
        assert changed["shown"] == [four, four]
        assert changed["checked"] == [True, True]
        assert tabs.only("done")["problems"] == []


def test_messages_load_page_by_page_without_gaps_while_another_tab_writes(
    app_server: DevServer, browser
):
    channel = app_server.mutation("channels:create", name="general")
    for number in range(MESSAGES):
        app_server.mutation("messages:send", channel=channel, author="Bot", body=f"note {number}")
    newest_first = [f"note {number}" for number in reversed(range(MESSAGES))]
    with browser("chat") as tabs:
        pages = tabs.event("pages")["pages"]
        hello = "hello from the other tab"
        assert pages == [
            newest_first[:10],
            [hello, *newest_first[:10]],
            [hello, *newest_first[:20]],
            [hello, *newest_first],
        ]
        assert tabs.only("done")["problems"] == []

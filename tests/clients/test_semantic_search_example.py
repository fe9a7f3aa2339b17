"""examples/semantic-search: its server, and its program with the official PyPI client."""

import os
import subprocess
import sys

import pytest

from tests.clients.conftest import ServeExample
from tests.clients.server import PROJECT, DevServer

pytestmark = pytest.mark.clients

EXAMPLE = PROJECT / "examples" / "semantic-search"


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(EXAMPLE / "ask.py"), *arguments]


def environment(server: DevServer) -> dict[str, str]:
    return {**os.environ, "SYNCLINE_URL": server.url}


def add(server: DevServer, *arguments: str) -> None:
    subprocess.run(command(*arguments), env=environment(server), check=True, timeout=40)


def shown(program: "subprocess.Popen[str]") -> list[str]:
    """The notes of the next result, without their scores."""
    assert program.stdout is not None
    lines = []
    for line in program.stdout:
        if not line.strip():
            return lines
        score, _, text = line.strip().partition("  ")
        assert -1 <= float(score) <= 1
        lines.append(text)
    raise AssertionError("the program has ended")


def test_questions_find_notes_by_meaning_and_go_on_doing_so(server_with_notes: DevServer):
    question = subprocess.Popen(
        command("where do I feel pain?"),
        env=environment(server_with_notes),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        first = shown(question)
        assert first[0] == "The dentist moved my appointment to Tuesday"
        assert len(first) == 3
        add(server_with_notes, "--add", "The doctor says: sleep more")
        assert "The doctor says: sleep more" in shown(question)[:2]
    finally:
        question.kill()
        question.communicate()


@pytest.mark.parametrize(
    ("question", "note"),
    [
        ("what shall we eat tonight", "Grandmother's curry: onions first, then patience"),
        ("my program crashed", "The server's database ran out of connections again"),
        ("packing for the holidays", "Buy a new suitcase before the flight to Lisbon"),
        ("songs", "Tickets for the violin concert are in the drawer"),
    ],
)
def test_other_questions(server_with_notes: DevServer, question: str, note: str):
    found = server_with_notes.query("notes:search", notebook="mine", question=question)
    assert found[0]["text"] == note
    assert server_with_notes.query("notes:search", notebook="other", question=question) == []


@pytest.fixture(scope="module")
def server_with_notes(example: ServeExample) -> DevServer:
    server = example("semantic-search")
    add(server, "--notes")
    return server

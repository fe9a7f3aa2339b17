"""Searches by the official clients against `syncline dev`."""

import pytest

from tests.clients.conftest import StartProgram
from tests.clients.program import Event
from tests.clients.server import DevServer

pytestmark = pytest.mark.clients


@pytest.fixture
def run(node: StartProgram, server: DevServer, room: str):
    """Runs a scenario of node/searching.mjs to its end; the events by name, errors by label."""

    def run_to_end(scenario: str) -> dict[str, Event]:
        with node("searching", scenario, server, room) as running:
            return {each.get("label", each["event"]): each for each in running.finish()}

    return run_to_end


def test_a_subscribed_search_follows_what_is_written(run):
    found = run("words")["list"]
    assert found["seen"] == [
        [],
        ["A query is asked once"],
        ["Live queries are asked for ever", "A query is asked once"],
        ["Live queries are asked for ever"],
    ]
    assert found["errors"] == []


def test_pages_of_a_search_hold_every_match_once_best_first(run):
    pages = run("pages")["pages"]
    assert pages["sizes"] == [10, 10, 5]
    assert len(set(pages["texts"])) == 25
    repetitions = [text.count("many") for text in pages["texts"]]
    assert repetitions == sorted(repetitions, reverse=True)


def test_a_mutation_finds_its_own_write_and_too_many_words_are_refused(run):
    events = run("own_writes")
    assert events["found"]["found"] == ["fresh ink"]
    assert "17 different terms (limit: 16)" in events["words"]["message"]


def test_searches_find_the_same_after_a_kill_of_the_server(own_server: DevServer):
    for at in range(30):
        own_server.mutation("library:add", room="r", text=f"volume {at}")
    words = {"room": "r", "words": "volume 2"}
    before = own_server.query("library:find", **words)
    assert before[0] == "volume 2"
    own_server.kill()
    own_server.start()
    assert own_server.query("library:find", **words) == before

"""Scheduled functions through the official npm client."""

import pytest

from tests.clients.conftest import StartProgram
from tests.clients.server import DevServer

pytestmark = pytest.mark.clients


def test_a_client_follows_what_it_has_scheduled(node: StartProgram, server: DevServer, room: str):
    with node("jobs", "story", server, room) as running:
        running.finish()
        shown = running.only("shown")["texts"]
        states = {e["name"]: e for e in running.events if e["event"] == "state"}
    assert shown == ["acted", "acted, then more", "soon"]
    assert states["soon"]["seen"] in (["pending", "success"], ["success"])
    assert states["acted"]["seen"][-1] == "success"
    assert states["refused"]["seen"][-1] == "failed"
    assert '{"code": 7}' in states["refused"]["error"] or "code" in states["refused"]["error"]
    assert states["late"]["seen"][-1] == "canceled"

"""The official npm client when its server or Postgres is killed, or restarted cleanly."""

import base64
from collections.abc import Callable

import pytest

from tests.clients.conftest import StartProgram
from tests.clients.server import DevServer

pytestmark = pytest.mark.clients


def _clean_restart(server: DevServer) -> None:
    assert server.stop() == 0
    server.start()


def test_mutation_whose_answer_was_lost_takes_effect_once(
    node: StartProgram, own_server: DevServer, room: str
):
    with node("reconnecting_client", "answer_lost", own_server, room) as client:
        client.event("sent")
        with node("reconnecting_client", "waits_for_one", own_server, room) as other:
            other.finish()
        own_server.restart()
        answered = client.only("answered")
    assert answered["value"] == 1
    assert answered["connections"] >= 2
    assert set(answered["requests"]) == {0}
    assert len(answered["requests"]) >= 2, "the client had no reason to ask again"
    first, *_, last = answered["responses"]
    assert first["ts"] == last["ts"], "the repetition names another commit"
    assert len(base64.b64decode(last["ts"])) == 8
    assert own_server.query("counters:read", name=room) == 1


@pytest.mark.parametrize(
    "interrupt",
    [DevServer.restart, DevServer.kill_postgres, _clean_restart],
    ids=["server killed", "Postgres killed", "server restarted"],
)
def test_mutations_under_way_take_effect_once_each(
    node: StartProgram,
    own_server: DevServer,
    room: str,
    interrupt: Callable[[DevServer], object],
):
    burst = own_server.BURST
    with node("reconnecting_client", f"burst:{burst}", own_server, room) as client:
        client.event("under way")
        interrupt(own_server)
        done = client.event("done")
        assert own_server.query("counters:read", name=room) == burst
        own_server.mutation("counters:increment", name=room, by=1000)
        followed = client.only("followed")
    assert done == {"event": "done", "answered": burst, "shown": burst, "backwards": []}
    assert followed["value"] == burst + 1000


def test_idle_client_sees_what_changed_while_it_was_away(
    node: StartProgram, own_server: DevServer, room: str
):
    with node("reconnecting_client", "idle", own_server, room) as client:
        client.event("waiting")
        assert own_server.stop() == 0
        own_server.start()
        own_server.mutation("counters:increment", name=room, by=5)
        followed = client.only("followed")
    assert followed["seen"][-1] == 5
    assert followed["reason"] == own_server.CLEAN_CLOSE_REASON

"""`syncline dev` around its clients: saving, Ctrl-C, a taken port, a folder in use, silence."""

import re
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.clients.conftest import FUNCTIONS, StartProgram
from tests.clients.server import SYNCLINE, CallFailedError, DevServer, free_port

pytestmark = pytest.mark.clients


def _save(server: DevServer, old: str, new: str) -> None:
    module = server.functions / "versions.py"
    module.write_text(module.read_text().replace(old, new))


def test_saved_function_shows_at_once_and_a_broken_save_changes_nothing(
    node: StartProgram, own_server: DevServer, room: str
):
    with node("live_client", "shows_versions", own_server, room) as client:
        client.event("first")
        _save(own_server, '"first"', '"second"')
        client.event("second")

        begin = len(own_server.log.splitlines())
        _save(own_server, 'return "second"', 'return "broken')
        failure = own_server.wait_for_log(re.compile(r"Push failed"), begin=begin)
        own_server.wait_for_log(re.compile(r"last good version keeps serving"), begin=begin)
        assert own_server.query("versions:shown") == "second"

        _save(own_server, 'return "broken', 'return "third"')
        client.event("third")
        seen = client.only("seen")
    assert "versions.py" in failure
    assert seen["values"] == ["first", "second", "third"]
    assert seen["connections"] == 1
    assert seen["updatesOfTheOther"] == 1, "a query of another module was sent again"


def test_function_that_is_saved_away_is_found_no_more(own_server: DevServer):
    assert own_server.query("versions:shown") == "first"
    begin = len(own_server.log.splitlines())
    (own_server.functions / "versions.py").unlink()
    own_server.wait_for_log(re.compile(r"Functions ready"), begin=begin)
    with pytest.raises(CallFailedError, match="Could not find public function for 'versions:sho"):
        own_server.query("versions:shown")


def test_ctrl_c_ends_every_process_and_keeps_the_data(own_server: DevServer, room: str):
    own_server.mutation("counters:increment", name=room, by=7)
    processes = psutil.Process(own_server.pid).children(recursive=True)
    assert any("postgres" in process.name() for process in processes)
    assert own_server.stop() == 0
    assert own_server.log.rstrip().endswith("Stopped.")
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []
    own_server.start()
    assert own_server.query("counters:read", name=room) == 7


def _refused(*options: object) -> str:
    answer = subprocess.run(
        [SYNCLINE, "dev", *map(str, options)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr
    return " ".join(answer.stderr.split())


def test_taken_port_and_folder_in_use_are_named(server: DevServer, tmp_path: Path):
    port, data = server.port, tmp_path / "data"
    message = _refused("--functions", FUNCTIONS, "--port", port, "--data", data)
    assert f"Port {port} on 127.0.0.1 is in use" in message
    assert "--port" in message

    message = _refused("--functions", FUNCTIONS, "--port", free_port(), "--data", server.data)
    assert "is in use by a running deployment" in message
    assert str(server.pid) in message


@pytest.mark.slow
def test_silent_client_gets_a_ping_within_its_limit(
    node: StartProgram, server: DevServer, room: str
):
    with node("live_client", "is_pinged", server, room) as client:
        assert client.only("after")["connections"] == 1

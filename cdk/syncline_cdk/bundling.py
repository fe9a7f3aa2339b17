"""Builds the one folder of code that all Lambdas run, without Docker.

    syncline/                  the first-party package, as installed here
    <distributions>            Syncline's needs and the functions' own, at the pinned versions
    requirements.lock          all of them, one `name==version` a line
    functions.lock             those that the functions' lock file names, for any machine
    syncline-<version>.dist-info   its version
    code.json                  {"python": "3.13", "architecture": "arm64", "is_running": false}

For Lambda, wheels for its platform are fetched by uv: wheels only, never a build. For the running
interpreter, the installed files are copied: offline, and on Linux they'd run on Lambda as well.
A folder is named by the digest of what it is made of and built once.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Final

import uv

from syncline.drivers.functions_lock import LOCK_FILE, pins_of
from syncline.drivers.functions_lock import lock_text as functions_lock_text
from syncline_cdk.requirements import (
    BundlingError,
    CodeTarget,
    Pins,
    functions_pins,
    lock_text,
    merged,
    runtime_pins,
)

BUILDS: Final = Path("build") / "lambda-code"
"""Where finished folders lie; git ignores it, and it may be deleted at any time."""

_LAMBDA_GLIBC: Final = {"3.11": "manylinux_2_17"}
_LAMBDA_GLIBC_NEWER: Final = "manylinux_2_34"
"""The C library of Lambda's images: Amazon Linux 2023 has glibc 2.34, Amazon Linux 2 (Python 3.11)
has 2.26, below which uv knows 2.17 (Lambda developer guide, "Lambda runtimes")."""

UNUSED_SECONDS_MAX: Final = 24 * 3600
"""How long a folder of code stays after its last use."""

UNZIPPED_BYTES_MAX: Final = 250 * 2**20
"""Bytes of a function's code, unzipped (Lambda developer guide, "Lambda quotas")."""


def build_code(target: CodeTarget, *, functions_lock: Path | None, builds: Path = BUILDS) -> Path:
    """The folder of code for a target, built if it is not there yet.

    Raises:
        BundlingError: a pin contradicts another, a wheel is missing, or the code is too large.
    """
    of_functions = functions_pins(functions_lock, target)
    pins = merged(runtime_pins(target), of_functions)
    notes = {
        "requirements.lock": lock_text(pins),
        LOCK_FILE: functions_lock_text(pins_of(functions_lock) if functions_lock else ()),
        "code.json": json.dumps(target._asdict()),
        **_own_metadata(),
    }
    finished = builds / _digest(notes)
    if finished.is_dir():
        os.utime(finished)
        return finished
    builds.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=builds) as name:
        folder = Path(name) / "code"
        folder.mkdir()
        for note, text in notes.items():
            (folder / note).parent.mkdir(exist_ok=True)
            (folder / note).write_text(text, encoding="utf-8")
        (_copy_installed if target.is_running else _fetch_wheels)(pins, target, folder)
        _drop_what_nobody_imports(folder)
        for relative, source in first_party_files():
            _copy(source, folder / relative)
        _refuse_too_large(folder)
        _publish(folder, finished)
    _forget_unused(builds)
    return finished


def first_party_files() -> Iterator[tuple[PurePosixPath, Path]]:
    """Every file of the installed package `syncline`: its place in the code, and where it is."""
    spec = importlib.util.find_spec("syncline")
    if spec is None or spec.origin is None:
        raise BundlingError("the package syncline is not installed here")
    package = Path(spec.origin).parent
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield PurePosixPath(path.relative_to(package.parent).as_posix()), path


def _own_metadata() -> dict[str, str]:
    """What tells the code its own version, as for any installed package."""
    version = metadata.version("syncline")
    text = f"Metadata-Version: 2.1\nName: syncline\nVersion: {version}\n"
    return {f"syncline-{version}.dist-info/METADATA": text}


def _digest(notes: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(notes, sort_keys=True).encode())
    for relative, path in first_party_files():
        digest.update(b"\0%s\0" % str(relative).encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    # How a folder is built counts too: another version of this module builds another one.
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()[:32]


def _fetch_wheels(pins: Pins, target: CodeTarget, folder: Path) -> None:
    machine = "aarch64" if target.architecture == "arm64" else "x86_64"
    glibc = _LAMBDA_GLIBC.get(target.python, _LAMBDA_GLIBC_NEWER)
    command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-config", "--no-deps"]
    command += ["--only-binary", ":all:", "--link-mode", "copy", "--target", str(folder)]
    command += ["--python-platform", f"{machine}-{glibc}", "--python-version", target.python]
    command += ["--requirements", str(folder / "requirements.lock")]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        wanted = f"Python {target.python} on {target.architecture}"
        remedy = 'choose another version or platform, or "code": "running" to work offline'
        raise BundlingError(f"no wheels for {wanted}: {answer.stderr.strip()}\n{remedy}")
    found = {
        path.name.partition("-")[0].replace("_", "-").lower() for path in folder.glob("*.dist-info")
    }
    if missing := {name for name in pins if name.replace(".", "-") not in found}:
        raise BundlingError(f"uv installed everything but {', '.join(sorted(missing))}")


def _copy_installed(pins: Pins, target: CodeTarget, folder: Path) -> None:
    del target  # it is this machine
    for name, version in sorted(pins.items()):
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise BundlingError(f"{name}=={version} is not installed here: install it") from None
        if distribution.version != version:
            message = f"the lock says {name}=={version}, installed is {distribution.version}"
            raise BundlingError(f"{message}: install what the lock says")
        if distribution.files is None:
            raise BundlingError(f"{name} does not say which files it installed: reinstall it")
        for file in distribution.files:
            # Commands lie outside of the library folder; Lambdas run none.
            if ".." not in file.parts and "__pycache__" not in file.parts:
                _copy(Path(str(file.locate())), folder / file)


def _copy(source: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, destination)


def _drop_what_nobody_imports(folder: Path) -> None:
    """Commands and what installers write about themselves: it differs from build to build."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    (folder / ".lock").unlink(missing_ok=True)
    for cache in [*folder.rglob("__pycache__")]:
        shutil.rmtree(cache)
    for written in ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json"):
        for path in folder.glob(f"*.dist-info/{written}"):
            path.unlink()


def _refuse_too_large(folder: Path) -> None:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > UNZIPPED_BYTES_MAX:
        message = f"the code has {size:,} bytes, Lambda takes {UNZIPPED_BYTES_MAX:,}"
        raise BundlingError(f"{message}: the functions' dependencies are too large")


def _forget_unused(builds: Path) -> None:
    """Every change of the package makes another folder, so old ones go."""
    for folder in builds.iterdir():
        if time.time() - folder.stat().st_mtime > UNUSED_SECONDS_MAX:
            shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, finished: Path) -> None:
    # Lambda unpacks the code as another user than the one who reads it.
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    try:
        folder.rename(finished)
    except OSError:
        # Another process has built the same code meanwhile.
        if not finished.is_dir():
            raise

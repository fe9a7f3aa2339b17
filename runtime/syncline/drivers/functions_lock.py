"""The distributions that functions need besides Syncline, as they travel with a bundle.

A functions folder may have a lock file: uv.lock, or requirements.txt. Its pins are one file of the
bundle, `functions.lock`, a `name==version` a line, so that whoever runs a bundle can tell whether
the code around it has them. Which of them apply on a machine is the builder's to decide
(cdk/syncline_cdk/requirements.py); here all of them count.
"""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, cast

from syncline.errors import DeveloperError

LOCK_FILE: Final = "functions.lock"
"""Of a bundle, and of the code that a deployment's Lambdas run."""

LOCK_NAMES: Final = ("uv.lock", "requirements.txt")
"""Of lock files beside functions; the first that is there counts."""

_PIN: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?\s*==\s*([^\s;]+)")
_COMMENT_OR_HASH: Final = re.compile(r"(?:^|\s)#|\s--hash")
_OWN_SOURCES: Final = frozenset({"editable", "virtual", "directory"})
"""What uv writes of a project itself, which is no distribution."""


def find_lock(functions: Path) -> Path | None:
    """The lock file in a functions folder."""
    return next((path for name in LOCK_NAMES if (path := functions / name).is_file()), None)


def pins_of(lock: Path) -> frozenset[str]:
    """What a lock file pins, as `name==version`; a line that pins nothing, as it stands.

    Raises:
        DeveloperError: BadLock: it can't be read.
    """
    try:
        text = lock.read_text(encoding="utf-8")
        return _uv_pins(text) if lock.suffix == ".lock" else frozenset(_lines(text))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise DeveloperError(
            "BadLock", f"{lock} can't be read: {error}. Write it with `uv lock`."
        ) from error


def lock_text(pins: Iterable[str]) -> str:
    """The file `functions.lock`."""
    return "".join(f"{pin}\n" for pin in sorted(pins))


def read_lock(text: str) -> frozenset[str]:
    """The pins in a file `functions.lock`."""
    return frozenset(line for line in text.splitlines() if line)


def _lines(text: str) -> Iterable[str]:
    for line in text.replace("\\\n", " ").splitlines():
        wanted = _COMMENT_OR_HASH.split(line)[0].strip()
        if wanted:
            pinned = _PIN.match(wanted)
            yield _pin(pinned[1], pinned[2]) if pinned else wanted


def _uv_pins(text: str) -> frozenset[str]:
    packages = cast("list[dict[str, Any]]", tomllib.loads(text).get("package", []))
    return frozenset(
        _pin(each["name"], each["version"])
        for each in packages
        if not _OWN_SOURCES & set(each["source"])
    )


def _pin(name: str, version: str) -> str:
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"

"""What belongs to a bundle of functions, and the hash that names it.

Wherever bundles are kept, the same functions have the same name: the hash covers every file's
relative path, length and content. A bundle is the folder's Python files, and what they need besides
(`functions_lock`).
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from syncline.drivers.functions_lock import LOCK_FILE, find_lock, lock_text, pins_of
from syncline.errors import DeveloperError

_LEFT_OUT: Final = frozenset({"__pycache__", "_generated", "node_modules"})


def read_bundle_files(source: Path) -> Mapping[str, bytes]:
    """The Python files of a functions folder by relative path, in path order, and their lock.

    Raises:
        DeveloperError: FunctionsFolderMissing; BadLock.
    """
    if not source.is_dir():
        raise DeveloperError(
            "FunctionsFolderMissing",
            f"There is no functions folder at {source}. Create it (`syncline init` makes an "
            "example), or name another one with --functions.",
        )
    files = sorted(path for path in source.rglob("*.py") if _belongs(path, source))
    found = {path.relative_to(source).as_posix(): path.read_bytes() for path in files}
    lock = find_lock(source)
    if (source / LOCK_FILE).is_file():
        found[LOCK_FILE] = (source / LOCK_FILE).read_bytes()
    elif lock is not None:
        found[LOCK_FILE] = lock_text(pins_of(lock)).encode()
    return found


def bundle_hash(files: Mapping[str, bytes]) -> str:
    """The bundle's name, 32 hex digits; `files` in the order of `read_bundle_files`."""
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:32]


def write_bundle_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files below a folder."""
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _belongs(path: Path, source: Path) -> bool:
    parts = path.relative_to(source).parts
    return not any(part in _LEFT_OUT or part.startswith(".") for part in parts)

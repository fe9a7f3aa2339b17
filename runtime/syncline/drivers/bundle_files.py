"""What belongs to a bundle of functions, and the hash that names it.

Wherever bundles are kept, the same functions have the same name: the hash covers every file's
relative path, length and content.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from syncline.errors import DeveloperError

_LEFT_OUT: Final = frozenset({"__pycache__", "_generated", "node_modules"})


def read_bundle_files(source: Path) -> Mapping[str, bytes]:
    """The Python files of a functions folder by relative path, in path order.

    Raises:
        DeveloperError: FunctionsFolderMissing.
    """
    if not source.is_dir():
        raise DeveloperError(
            "FunctionsFolderMissing",
            f"There is no functions folder at {source}. Create it (`syncline init` makes an "
            "example), or name another one with --functions.",
        )
    files = sorted(path for path in source.rglob("*.py") if _belongs(path, source))
    return {path.relative_to(source).as_posix(): path.read_bytes() for path in files}


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

"""Bundles of functions kept by content hash in the data folder.

A bundle is a copy of the functions folder at the time of a push, so that the version that serves
does not change while files are being edited, and a restart finds it again.
"""

import hashlib
import shutil
from pathlib import Path

from syncline.errors import DeveloperError

_LEFT_OUT = frozenset({"__pycache__", "_generated", "node_modules"})


class BundleStore:
    """One folder per bundle under `folder`, named by the hash of its files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, source: Path) -> tuple[str, Path]:
        """Copy a functions folder; returns (hash, folder). DeveloperError when it is missing."""
        if not source.is_dir():
            raise DeveloperError(
                "FunctionsFolderMissing",
                f"There is no functions folder at {source}. Create it (`syncline init` makes an "
                "example), or name another one with --functions.",
            )
        files = sorted(path for path in source.rglob("*.py") if _belongs(path, source))
        digest = hashlib.sha256()
        for path in files:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(source).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
        bundle = digest.hexdigest()[:32]
        folder = self._folder / bundle
        if not folder.exists():
            self._copy(files, source, folder)
        return bundle, folder

    def _copy(self, files: list[Path], source: Path, folder: Path) -> None:
        """Write beside the target and rename, so that a crash leaves no half bundle."""
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for path in files:
            target = partial / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        partial.rename(folder)

    def empty(self) -> Path:
        """A folder without functions: what serves before the first push."""
        folder = self._folder / "empty"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def folder(self, bundle: str) -> Path | None:
        """Where the bundle lies; None if it is not kept here."""
        folder = self._folder / bundle
        return folder if folder.is_dir() else None


def _belongs(path: Path, source: Path) -> bool:
    parts = path.relative_to(source).parts
    return not any(part in _LEFT_OUT or part.startswith(".") for part in parts)

"""Bundles of functions kept by content hash in the data folder.

A bundle is a copy of the functions folder at the time of a push, so that the version that serves
does not change while files are being edited, and a restart finds it again.
"""

import shutil
from pathlib import Path

from syncline.drivers.bundle_files import bundle_hash, read_bundle_files, write_bundle_files


class BundleStore:
    """One folder per bundle under `folder`, named by the hash of its files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, source: Path) -> tuple[str, Path]:
        """Copy a functions folder; returns (hash, folder). DeveloperError when it is missing."""
        files = read_bundle_files(source)
        bundle = bundle_hash(files)
        folder = self._folder / bundle
        if not folder.exists():
            # Beside the target and renamed, so that a crash leaves no half bundle.
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            write_bundle_files(files, partial)
            partial.rename(folder)
        return bundle, folder

    def empty(self) -> Path:
        """A folder without functions: what serves before the first push."""
        folder = self._folder / "empty"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def folder(self, bundle: str) -> Path | None:
        """Where the bundle lies; None if it is not kept here."""
        folder = self._folder / bundle
        return folder if folder.is_dir() else None

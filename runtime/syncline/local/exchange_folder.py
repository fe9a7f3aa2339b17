"""Imports, exports and pushed folders as files in the data folder (drivers/exchange_files.py)."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from syncline.drivers.exchange_files import plain_name


class ExchangeFolder:
    """One folder; parts of uploads lie in `<name>.parts/`."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made with its first file."""
        self._folder = folder

    def put_part(self, upload: str, number: int, data: bytes) -> None:
        """Keep one part of an upload; the same part again replaces it."""
        parts = self._place(f"{upload}.parts")
        parts.mkdir(parents=True, exist_ok=True)
        partial = parts / f"{number}.partial"
        partial.write_bytes(data)
        partial.rename(parts / str(number))

    def part_address(self, upload: str, number: int) -> None:
        """None: this folder has no address of its own."""

    def join_parts(self, upload: str, numbers: Sequence[int], name: str) -> None:
        """Make the file `name` of the parts; FileNotFoundError: one was never put."""
        parts = self._place(f"{upload}.parts")
        with self.create(name) as target:
            for number in numbers:
                with (parts / str(number)).open("rb") as part:
                    shutil.copyfileobj(part, target, 2**20)
        shutil.rmtree(parts, ignore_errors=True)

    def open(self, name: str) -> BinaryIO:
        """Open for reading; FileNotFoundError when there is none."""
        return self._place(name).open("rb")

    def create(self, name: str) -> BinaryIO:
        """Open for writing, empty."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._place(name).open("wb")

    def remove(self, name: str) -> None:
        """Forget a file; it may be gone already."""
        self._place(name).unlink(missing_ok=True)

    def path(self, name: str) -> Path | None:
        """Where the file lies; None if there is none."""
        place = self._place(name)
        return place if place.is_file() else None

    def address(self, name: str) -> None:
        """None: see `path`. FileNotFoundError when there is no such file."""
        if self.path(name) is None:
            raise FileNotFoundError(name)

    def unpack_folder(self, name: str) -> Path:
        """An empty folder of that name."""
        folder = self._place(name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        return folder

    def remove_folder(self, folder: Path) -> None:
        """Remove what `unpack_folder` gave."""
        shutil.rmtree(folder, ignore_errors=True)

    def _place(self, name: str) -> Path:
        return self._folder / plain_name(name)

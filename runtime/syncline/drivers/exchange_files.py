"""The files of imports and exports, as a port: a folder locally, a bucket in the cloud."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Protocol


class ExchangeFiles(Protocol):
    """Files by plain names (letters, digits, "_", "." and "-"). Calls block: use a thread."""

    def put_part(self, upload: str, number: int, data: bytes) -> None:
        """Keep one part of an upload; the same part again replaces it."""
        ...

    def join_parts(self, upload: str, numbers: Sequence[int], name: str) -> None:
        """Make the file `name` of the parts in that order and forget them.

        Raises:
            FileNotFoundError: a part was never put.
        """
        ...

    def open(self, name: str) -> BinaryIO:
        """Open for reading, seekable. FileNotFoundError when there is none."""
        ...

    def create(self, name: str) -> BinaryIO:
        """Open for writing, empty, seekable."""
        ...

    def remove(self, name: str) -> None:
        """Forget a file; it may be gone already."""
        ...

    def path(self, name: str) -> Path | None:
        """Where the file lies on this machine, to be served; None if there is none."""
        ...

    def unpack_folder(self, name: str) -> Path:
        """An empty folder of that name on this machine, for the files of a push."""
        ...

    def remove_folder(self, folder: Path) -> None:
        """Remove what `unpack_folder` gave, with all that is in it."""
        ...

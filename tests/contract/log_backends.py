"""What the contract of the log runs against: the model in memory and a real Postgres."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import boto3
import psycopg
from botocore.config import Config
from msgspec.structs import replace

from syncline.aws.data_api import DataApi
from syncline.aws.data_api_log import DataApiLog
from syncline.aws.data_api_migration import migrate_through_data_api
from syncline.aws.settings import CommitRoutine, DataApiDatabase
from syncline.commit.record import (
    Appended,
    CommitRequest,
    DocumentChange,
    Position,
    StoredDocument,
)
from syncline.index.key_range import KeyRange
from syncline.local.embedded_postgres import EmbeddedPostgres
from syncline.local_cloud.rds_data import RdsDataEndpoint
from syncline.ports import Log
from syncline.postgres.log import PostgresLog
from syncline.simulated.memory_log import MemoryLog

if TYPE_CHECKING:
    from mypy_boto3_rds_data import RDSDataServiceClient

SECOND_NS = 10**9


START = Position(0, 0)

AT_STANDING = -1
"""A begin ts that `commit` fills in: that of the commit which the batch stands on."""


class RealClock:
    """The clock that Postgres has too."""

    def now_ns(self) -> int:
        return time.time_ns()


class LogBackend(Protocol):
    """One empty log, and what no port can do to it."""

    def open(self, *, lag_ns_max: int | None = None, horizon_ns: int = 600 * SECOND_NS) -> Log: ...

    def lose_after(self, ts: int) -> None:
        """What a crash does to commits that were not flushed."""
        ...

    def raise_clock(self, ahead_ns: int) -> None:
        """Make the newest commit lie in the future, as after a clock was set back."""
        ...


class MemoryBackend:
    """Processes share the object."""

    def __init__(self) -> None:
        self._log: MemoryLog | None = None

    def open(self, *, lag_ns_max: int | None = None, horizon_ns: int = 600 * SECOND_NS) -> Log:
        if self._log is None:
            self._log = MemoryLog(RealClock(), lag_ns_max=lag_ns_max, horizon_ns=horizon_ns)
        return self._log

    def lose_after(self, ts: int) -> None:
        assert self._log is not None
        while self._log.head.ts > ts:
            lost = self._log._commits.pop()
            del self._log._requests[lost.session, lost.request]

    def raise_clock(self, ahead_ns: int) -> None:
        assert self._log is not None
        newest = self._log._commits[-1]
        self._log._commits[-1] = replace(newest, ts=time.time_ns() + ahead_ns)


class PostgresBackend:
    """Each `open` is another process's adapter on the same database."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.execute("DROP SCHEMA IF EXISTS syncline CASCADE")

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def open(self, *, lag_ns_max: int | None = None, horizon_ns: int = 600 * SECOND_NS) -> Log:
        return PostgresLog(self.conninfo, lag_ns_max=lag_ns_max, horizon_ns=horizon_ns)

    def lose_after(self, ts: int) -> None:
        self.execute(
            f"DELETE FROM syncline.requests WHERE ts > {ts}",
            f"DELETE FROM syncline.changes WHERE ts > {ts}",
            f"DELETE FROM syncline.commits WHERE ts > {ts}",
            "UPDATE syncline.head SET ts = 0, nonce = 0",
            "UPDATE syncline.head h SET ts = c.ts, nonce = c.nonce FROM"
            " (SELECT * FROM syncline.commits ORDER BY ts DESC LIMIT 1) c",
        )

    def raise_clock(self, ahead_ns: int) -> None:
        ts = time.time_ns() + ahead_ns
        self.execute(
            f"UPDATE syncline.changes SET ts = {ts} WHERE ts = (SELECT ts FROM syncline.head)",
            f"UPDATE syncline.commits SET ts = {ts} WHERE ts = (SELECT ts FROM syncline.head)",
            f"UPDATE syncline.head SET ts = {ts}",
        )


class DataApiBackend(PostgresBackend):
    """The same database behind the Data API, by boto3's real client and our endpoint."""

    def __init__(self, conninfo: str, url: str, routine: CommitRoutine) -> None:
        super().__init__(conninfo)
        self._client = data_api_client(url)
        self._routine: CommitRoutine = routine
        asyncio.run(migrate_through_data_api(self.api()))

    def api(self) -> DataApi:
        database = DataApiDatabase("arn:aws:rds:cluster", "arn:aws:login", "postgres")
        return DataApi(self._client, database)

    def open(self, *, lag_ns_max: int | None = None, horizon_ns: int = 600 * SECOND_NS) -> Log:
        return DataApiLog(
            self.api(), routine=self._routine, lag_ns_max=lag_ns_max, horizon_ns=horizon_ns
        )


def data_api_client(url: str) -> "RDSDataServiceClient":
    """boto3's client of the endpoint."""
    return boto3.client(
        "rds-data",
        endpoint_url=url,
        region_name="eu-central-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=32),
    )


@contextmanager
def running_data_api(conninfo: str) -> Iterator[RdsDataEndpoint]:
    """The endpoint on an event loop of its own thread."""
    endpoint = RdsDataEndpoint(conninfo)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(endpoint.start(), loop).result(10)
        yield endpoint
    finally:
        asyncio.run_coroutine_threadsafe(endpoint.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def running_postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A Postgres server on a folder, for as long as the block runs."""
    server = EmbeddedPostgres(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def with_log(log: Log, scenario: Callable[[Log], Awaitable[None]]) -> None:
    """Run a scenario on an event loop of its own and close the log after it."""

    async def run() -> None:
        try:
            await scenario(log)
        finally:
            await log.close()

    asyncio.run(run())


def keys_of(document_id: str, value: int) -> tuple[bytes, ...]:
    """Entry keys in a by-id index and an index by value."""
    return b"I" + document_id.encode(), b"V%03d" % value + document_id.encode()


def text_of(document_id: str, value: int) -> bytes:
    """A document's JSON, with spaces and an escape that must come back as they are."""
    return b'{"_id": "%s",  "value":%d, "zero":"\\u0000"}' % (document_id.encode(), value)


def put(
    document_id: str, value: int | None, before: tuple[int, int] | None = None
) -> DocumentChange:  # fmt: skip
    """A change to `value` (None: a delete) from `before` as (ts, value)."""
    return DocumentChange(
        document_id=document_id,
        table=10_001,
        before=text_of(document_id, before[1]) if before else None,
        after=None if value is None else text_of(document_id, value),
        before_ts=before[0] if before else 0,
        keys_before=keys_of(document_id, before[1]) if before else (),
        keys_after=() if value is None else keys_of(document_id, value),
    )


def ask(
    number: int,
    *changes: DocumentChange,
    begin: int = AT_STANDING,
    reads: tuple[str, ...] = (),
    session: str = "session",
    identity: str = "",
    failed: bool = False,
    ts: int = 0,
    nonce: int | None = None,
) -> CommitRequest:
    """A commit request that read the by-id entries of documents `reads` at `begin`."""
    return CommitRequest(
        begin_ts=begin,
        read_ranges=tuple(KeyRange.point(b"I" + name.encode()) for name in reads),
        changes=changes,
        session=session,
        request=number,
        identity=identity,
        call=b'{"path":"m:f","number":%d}' % number,
        outcome=b'{"value": %d,"zero":"\\u0000"}' % number,
        failed=failed,
        ts=ts,
        nonce=nonce if nonce is not None else 1_000_000 + number,
    )


async def commit(
    log: Log, *items: CommitRequest, on: Position = START, exclusive: bool = False
) -> Appended:
    """Append a batch that the log must judge item by item."""
    batch = [
        replace(item, begin_ts=on.ts) if item.begin_ts == AT_STANDING else item for item in items
    ]
    reply = await log.append(batch, standing_on=on, exclusive=exclusive)
    assert isinstance(reply, Appended)
    return reply


async def all_documents(log: Log) -> tuple[int, dict[str, StoredDocument]]:
    """The folded ts and the whole snapshot."""
    loaded = await log.load()
    found: dict[str, StoredDocument] = {}
    async for batch in loaded.documents:
        found.update((document.document_id, document) for document in batch)
    return loaded.position.ts, found

"""Adapter of the log port on PostgreSQL, by psycopg.

Two connections: one appends, one does everything else, so that a long page of the tail never holds
up a commit; a snapshot is read on a third that lives as long as the reading. The routines in
migrations/ decide everything; this module carries batches there and answers back.
"""

import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from syncline.commit.record import (
    Appended,
    AppendReply,
    CommitRequest,
    Duplicate,
    Loaded,
    Position,
    Reset,
    StoredDocument,
    TailReply,
)
from syncline.postgres.batch import (
    RoutineAnswer,
    append_reply,
    as_proposed,
    first_repeated,
    settle,
)
from syncline.postgres.connection import Connection, Conninfo, connect, losses
from syncline.postgres.exclusive_append import append_on_head, newest_of
from syncline.postgres.item_encoding import Settled, TypeIds, encode_items
from syncline.postgres.migration import migrate
from syncline.postgres.replies import tail_commits
from syncline.postgres.staging import STAGE_BYTES_MIN, STAGE_STATEMENT, calls_of, parts_of

HORIZON_NS = 600 * 10**9
"""How far behind the head a run may have begun and still be validated (protocols.md rule 8)."""

MISSING_BYTES_MAX = 64 * 1024
"""Payload of missing commits that a reply of `append` carries; more is fetched by `tail`."""

PRUNE_ROWS_MAX = 1000
"""Commits, and request records, that one step of pruning deletes at most."""

LOAD_ROWS = 4000
"""Documents in a batch of `load`."""

_STATEMENTS: Mapping[str, bytes] = {
    "function": b"SELECT * FROM syncline.append($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    "procedure": b"CALL syncline.append_then_flush($1, $2, $3, $4, $5, $6, $7, $8, $9,"
    b" NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
}


_INT8 = struct.Struct(">q").pack


def _number(column: bytes | None) -> int:
    """An integer column in binary form; NULL, in replies that have nothing to say, as 0."""
    return int.from_bytes(column or b"", "big", signed=True)


class PostgresLog:
    """The log in one database; several processes may each have one on the same database.

    Args:
        conninfo: for libpq; the user must own the schema `syncline` or be able to make it.
        routine: "function" appends in one flushed transaction: for one process that groups its
            commits. "procedure" orders in one and flushes in a second, so that the head is not
            locked while the disk is waited for: for many processes that commit little each.
        horizon_ns: nanoseconds behind the head below which a begin ts is too old.
        lag_ns_max: nanoseconds that the head may be ahead of the oldest commit which a reporting
            view lacks, before `append` answers SlowDown; None: no bound.
    """

    def __init__(
        self,
        conninfo: Conninfo,
        *,
        routine: Literal["function", "procedure"] = "function",
        horizon_ns: int = HORIZON_NS,
        lag_ns_max: int | None = None,
    ) -> None:
        self._conninfo = conninfo
        self._statement = _STATEMENTS[routine]
        self._horizon_ns = horizon_ns
        self._lag_ns_max = lag_ns_max
        self._is_alone = routine == "function" and lag_ns_max is None
        self._appending = Connection(conninfo)
        self._reading = Connection(conninfo)
        self._types: TypeIds | None = None

    async def append(
        self,
        batch: Sequence[CommitRequest],
        *,
        standing_on: Position,
        exclusive: bool,
        mark: int | None = None,
    ) -> AppendReply:
        """Commit a batch in one round trip; see `syncline.ports.Log.append`."""
        types = self._types or await self._prepare()
        repeated = first_repeated(batch) if exclusive else None
        kept_batch = batch if repeated is None else batch[:repeated]
        items = settle(kept_batch, standing_on, staged_above=STAGE_BYTES_MIN)
        has_staged = any(settled.staged_parts for _, settled in items)
        if has_staged:
            await self._stage(items)
        if self._is_alone and exclusive and repeated is None and mark is None:
            newest = newest_of(items, standing_on)
            if newest is not None and await append_on_head(
                self._appending, items, types, standing_on, newest
            ):
                return Appended(tuple(as_proposed(items)), newest, (), standing_on)
        row = await self._appending.binary_row(
            self._statement,
            (
                encode_items(items, types, with_ranges=not exclusive),
                b"\x01" if has_staged else b"\x00",
                _INT8(standing_on.ts),
                _INT8(standing_on.nonce),
                b"\x01" if exclusive else b"\x00",
                _INT8(self._horizon_ns),
                None if self._lag_ns_max is None else _INT8(self._lag_ns_max),
                _INT8(MISSING_BYTES_MAX),
                None if mark is None else _INT8(mark),
            ),
        )
        status, kept, head_ts, head_nonce, base_ts, base_nonce = map(_number, row[:6])
        answer = RoutineAnswer(
            status,
            kept,
            Position(head_ts, head_nonce),
            Position(base_ts, base_nonce),
            results=row[6],
            missing=row[7],
        )
        return append_reply(batch, items, repeated, answer)

    async def close_mark(self, mark: int) -> Position:
        """Refuse appends with a mark up to this one; returns the head (protocols.md rule 16)."""
        if self._types is None:
            await self._prepare()
        ((ts, nonce),) = await self._rows("SELECT * FROM syncline.close_mark(%s)", (mark,))
        return Position(ts, nonce)

    async def _prepare(self) -> TypeIds:
        async with self._reading.turn() as connection:
            await migrate(connection)
        ((item, change, change_array),) = await self._reading.rows(
            "SELECT 'syncline.item'::regtype::oid, 'syncline.change'::regtype::oid,"
            " 'syncline.change[]'::regtype::oid"
        )
        self._types = TypeIds(item, change, change_array)
        return self._types

    async def _stage(self, items: Sequence[tuple[CommitRequest, Settled]]) -> None:
        for request, settled in items:
            if settled.staged_parts:
                for before, parts in calls_of(parts_of(request)):
                    await self._rows(STAGE_STATEMENT, (request.nonce, before, list(parts)))

    async def tail(self, after: Position, *, bytes_max: int) -> TailReply | Reset:
        """Commits after a position; complete means durable (protocols.md rule 3)."""
        rows = await self._rows(
            "SELECT * FROM syncline.tail(%s, %s, %s)", (after.ts, after.nonce, bytes_max)
        )
        if not rows:
            return Reset()
        head = Position(rows[0][0], rows[0][1])
        if not rows[0][13]:
            await self._publish(head.ts)
        return TailReply(tail_commits(rows[1:]), head)

    async def _publish(self, ts: int) -> None:
        """After the flush, and not waiting for one itself: it only saves others theirs."""
        async with self._reading.turn() as connection, connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute("SELECT syncline.publish(%s)", (ts,))

    async def outcome(self, session: str, request: int) -> Duplicate | None:
        """What was recorded under (session, request), made durable by looking."""
        rows = await self._rows(
            "SELECT ts, identity, outcome, failed, syncline.flush_with_commit()"
            " FROM syncline.requests WHERE session = %s AND request = %s",
            (session, request),
        )
        return Duplicate(*rows[0][:3], failed=rows[0][3]) if rows else None

    async def load(self) -> Loaded:
        """The snapshot at the folded position, on a connection of its own."""
        if self._types is None:
            await self._prepare()
        with losses():
            connection = await connect(self._conninfo)
            try:
                await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                cursor = await connection.execute("SELECT ts, nonce FROM syncline.folded")
                ((ts, nonce),) = await cursor.fetchall()
            except BaseException:
                await connection.close()
                raise
        return Loaded(Position(ts, nonce), _documents(connection))

    async def fold(self, up_to: int, *, commits_max: int) -> Position:
        """Move versions up to `up_to` into the snapshot table (protocols.md rule 8)."""
        rows = await self._rows("SELECT * FROM syncline.fold(%s, %s)", (up_to, commits_max))
        return Position(*rows[0])

    async def prune(self, *, keep_after: int, records_before: int) -> int:
        """Forget one step of old commits and request records; returns how many rows went."""
        rows = await self._rows(
            "SELECT syncline.prune(%s, %s, %s)", (keep_after, records_before, PRUNE_ROWS_MAX)
        )
        return int(rows[0][0])

    async def add_index_keys(self, keys: Sequence[tuple[str, int, bytes]]) -> None:
        """Add entry keys to stored versions; again changes nothing."""
        columns = [list(column) for column in zip(*keys, strict=True)] or [[], [], []]
        await self._rows(
            "SELECT syncline.add_index_keys(%s::text[], %s::bigint[], %s::bytea[])", columns
        )

    async def report_applied(self, view: str, ts: int) -> None:
        """A view has applied everything up to `ts`: bounds pruning and the lag."""
        await self._rows("SELECT syncline.report_applied(%s, %s)", (view, ts))

    async def close(self) -> None:
        """Close the connections."""
        await self._appending.close()
        await self._reading.close()

    async def _rows(
        self, statement: LiteralString, parameters: Sequence[Any] = ()
    ) -> list[TupleRow]:
        if self._types is None:
            await self._prepare()
        return await self._reading.rows(statement, parameters)


async def _documents(
    connection: AsyncConnection[TupleRow],
) -> AsyncIterator[Sequence[StoredDocument]]:
    """The snapshot table in batches, in the connection's transaction; closes the connection."""
    try:
        with losses():
            rows = connection.cursor(name="documents", binary=True)
            await rows.execute(
                "SELECT document_id, table_number, ts, document, keys FROM syncline.documents"
            )
            while batch := await rows.fetchmany(LOAD_ROWS):
                yield [
                    StoredDocument(document_id, table, ts, document, tuple(keys))
                    for document_id, table, ts, document, keys in batch
                ]
            await rows.close()
    finally:
        await connection.close()

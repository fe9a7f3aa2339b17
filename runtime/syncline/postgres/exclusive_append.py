"""The common case of `append` as one plain statement: an exclusive batch on an unmoved head.

Then nothing has to be validated (protocols.md rule 6), and a third of the routine's time is saved.
The head row is updated only if it is the one that the caller stands on; a statement that had to
wait for its lock looks at the new row again (READ COMMITTED), so two callers can't both succeed.
Whatever else could happen (another head, a known request, a pruned session, a clock too far ahead)
moves no head and stores nothing, and `syncline.append` then says which it was.

A single commit of a single change, all that one client alone gives rise to, has a statement of its
own with plain parameters: a quarter less time than by an array of composites (0.08 ms).
"""

import struct
from collections.abc import Sequence
from typing import Final

from psycopg.errors import UniqueViolation

from syncline.commit.record import CommitRequest, Position
from syncline.postgres.connection import Connection
from syncline.postgres.item_encoding import Settled, TypeIds, bytea_array, encode_items

_INT8 = struct.Struct(">q").pack
_INT4 = struct.Struct(">i").pack

_STATEMENT: Final = b"""
WITH accepted AS MATERIALIZED (
    SELECT * FROM unnest($1::syncline.item[])
), moved AS (
    UPDATE syncline.head h SET ts = $2, nonce = $3
    WHERE h.ts = $4 AND h.nonce = $5 AND $2 <= syncline.now_ns() + 1000000000
    AND NOT EXISTS (
        SELECT FROM accepted i JOIN syncline.requests r
        ON r.session = i.session AND r.request = i.request)
    AND NOT EXISTS (
        SELECT FROM accepted i JOIN syncline.session_floors f
        ON f.session = i.session AND i.request <= f.request)
    RETURNING syncline.now_ns() AS now_ns
), new_commits AS (
    INSERT INTO syncline.commits (ts, nonce, previous_ts, session, request, size, call)
    SELECT i.ts, i.nonce, i.previous_ts, i.session, i.request, i.size, i.call
    FROM moved, accepted i WHERE NOT i.failed
), new_changes AS (
    INSERT INTO syncline.changes
    SELECT i.ts, c.ordinality, c.document_id, c.table_number, c.before_ts, c.before, c.after,
           c.keys_before, c.keys_after
    FROM moved, accepted i CROSS JOIN LATERAL unnest(i.changes) WITH ORDINALITY AS c
    WHERE NOT i.failed
), new_requests AS (
    INSERT INTO syncline.requests (session, request, ts, recorded_ns, failed, identity, outcome)
    SELECT i.session, i.request, i.ts, moved.now_ns, i.failed, i.identity, i.outcome
    FROM moved, accepted i
)
SELECT count(*) FROM moved
"""

_ONE_CHANGE: Final = b"""
WITH moved AS (
    UPDATE syncline.head h SET ts = $1, nonce = $2
    WHERE h.ts = $3 AND h.nonce = $4 AND $1 <= syncline.now_ns() + 1000000000
    AND NOT EXISTS (SELECT FROM syncline.requests r WHERE r.session = $5 AND r.request = $6)
    AND NOT EXISTS (
        SELECT FROM syncline.session_floors f WHERE f.session = $5 AND $6 <= f.request)
    RETURNING syncline.now_ns() AS now_ns
), new_commits AS (
    INSERT INTO syncline.commits (ts, nonce, previous_ts, session, request, size, call)
    SELECT $1, $2, $3, $5, $6, $7::integer, $8::json FROM moved
), new_changes AS (
    INSERT INTO syncline.changes
    SELECT $1, 1, $11::text, $12::bigint, $13::bigint, $14::json, $15::json, $16::bytea[],
           $17::bytea[]
    FROM moved
), new_requests AS (
    INSERT INTO syncline.requests (session, request, ts, recorded_ns, failed, identity, outcome)
    SELECT $5, $6, $1, moved.now_ns, false, $9::text, $10::json FROM moved
)
SELECT count(*) FROM moved
"""


def newest_of(
    items: Sequence[tuple[CommitRequest, Settled]], standing_on: Position
) -> Position | None:
    """The head after the batch; None: the routine has to look at it."""
    head = standing_on
    for request, settled in items:
        if settled.staged_parts:
            return None
        if not request.failed:
            if settled.ts <= head.ts:
                return None
            head = Position(settled.ts, request.nonce)
    return head if head != standing_on else None


async def append_on_head(
    connection: Connection,
    items: Sequence[tuple[CommitRequest, Settled]],
    types: TypeIds,
    standing_on: Position,
    newest: Position,
) -> bool:
    """Store the whole batch, durably, or nothing of it. Raises LogUnavailable."""
    request, settled = items[0]
    if len(items) == 1 and len(request.changes) == 1:
        statement, values = _ONE_CHANGE, _plain_values(request, settled, standing_on)
    else:
        statement, values = (
            _STATEMENT,
            (
                encode_items(items, types, with_ranges=False),
                *map(_INT8, (newest.ts, newest.nonce, standing_on.ts, standing_on.nonce)),
            ),
        )
    try:
        row = await connection.binary_row(statement, values)
    except UniqueViolation:
        # A failure recorded meanwhile by somebody else, which moves no head.
        return False
    return row[0] == _INT8(1)


def _plain_values(
    request: CommitRequest, settled: Settled, standing_on: Position
) -> tuple[bytes | None, ...]:
    """The parameters of `_ONE_CHANGE`."""
    change = request.changes[0]
    return (
        _INT8(settled.ts),
        _INT8(request.nonce),
        _INT8(standing_on.ts),
        _INT8(standing_on.nonce),
        request.session.encode(),
        _INT8(request.request),
        _INT4(settled.size),
        request.call,
        request.identity.encode(),
        request.outcome,
        change.document_id.encode(),
        _INT8(change.table),
        _INT8(change.before_ts),
        change.before,
        change.after,
        bytea_array(change.keys_before),
        bytea_array(change.keys_after),
    )

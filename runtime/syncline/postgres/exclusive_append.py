"""The common case of `append` as one plain statement: an exclusive batch on an unmoved head.

Then nothing has to be validated (protocols.md rule 6), and a third of the routine's time is saved.
The head row is updated only if it is the one that the caller stands on; a statement that had to
wait for its lock looks at the new row again (READ COMMITTED), so two callers can't both succeed.
Whatever else could happen (another head, a known request, a pruned session, a clock too far ahead)
moves no head and stores nothing, and `syncline.append` then says which it was.
"""

import struct
from collections.abc import Sequence
from typing import Final

from psycopg.errors import UniqueViolation

from syncline.commit.record import CommitRequest, Position
from syncline.postgres.connection import Connection
from syncline.postgres.item_encoding import Settled, TypeIds, encode_items

_INT8 = struct.Struct(">q").pack

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
    try:
        row = await connection.binary_row(
            _STATEMENT,
            (
                encode_items(items, types, with_ranges=False),
                *map(_INT8, (newest.ts, newest.nonce, standing_on.ts, standing_on.nonce)),
            ),
        )
    except UniqueViolation:
        # A failure recorded meanwhile by somebody else, which moves no head.
        return False
    return row[0] == _INT8(1)

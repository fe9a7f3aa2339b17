"""Adapter of the log port on Aurora PostgreSQL through the RDS Data API: no VPC, no connection.

An append is one call of a routine of migrations/0004_data_api.sql with the whole batch as one
parameter. What is too large for one request goes ahead in parts; what is too large for one answer
is fetched in slices (protocols.md rule 7, aws-facts.md 3.2). docs/log.md tells how.
"""

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec
from botocore.exceptions import ClientError

from syncline.aws.batch_json import encode_batch, encode_index_keys
from syncline.aws.data_api import DataApi, Row, Scalar, sql_state
from syncline.aws.settings import CommitRoutine
from syncline.commit.record import (
    AppendReply,
    Commit,
    CommitRequest,
    Duplicate,
    Loaded,
    Position,
    Reset,
    StoredDocument,
    TailReply,
    payload_bytes,
)
from syncline.errors import DeveloperError
from syncline.ports import LogUnavailable
from syncline.postgres.batch import RoutineAnswer, append_reply, first_repeated, settle
from syncline.postgres.log import HORIZON_NS, PRUNE_ROWS_MAX
from syncline.postgres.replies import bytes_of_key, missing_commits
from syncline.postgres.staging import PART_BYTES_MAX

INLINE_BYTES_MAX: Final = 2_800 * 1024
"""A parameter that goes with its statement: 3.65 MiB in Base64, of 4 MiB that a request holds."""

PARTS_PER_REQUEST: Final = 64
"""Staged parts sent in one request: 2.5 MiB of them, 3.4 MiB in Base64."""

MISSING_BYTES_MAX: Final = 16 * 1024
"""Payload of missing commits that a reply of `append` carries, so that the reply fits a row."""

PAGE_BYTES_MAX: Final = 400 * 1024
"""Payload of commits asked for in one call: as JSON they mostly fit one answer of 1 MiB."""

READS_OF_ONE_TEXT_MAX: Final = 5
"""How often a text that changes between its slices is read from its start; ours."""

_APPEND: Final[Mapping[CommitRoutine, str]] = {
    "function": "SELECT reply, reply_parts FROM syncline.data_append({})",
    "procedure": "CALL syncline.data_append_then_flush({}, NULL, NULL)",
}
_APPEND_PARAMETERS: Final = (
    "CAST(:batch AS bytea), CAST(:call_key AS bigint), CAST(:staged_parts AS integer),"
    " CAST(:standing_ts AS bigint), CAST(:standing_nonce AS bigint), CAST(:exclusive AS boolean),"
    " CAST(:horizon_ns AS bigint), CAST(:lag_ns_max AS bigint), CAST(:missing_bytes_max AS bigint),"
    " CAST(:mark AS bigint)"
)
_STAGE: Final = (
    "INSERT INTO syncline.staged (nonce, part, staged_ns, content)"
    " VALUES (:call_key, CAST(:part AS integer), syncline.now_ns(), :content)"
    " ON CONFLICT (nonce, part) DO NOTHING"
)
_REPLY: Final = "SELECT * FROM syncline.data_reply(:call_key, CAST(:after AS integer))"
_TAIL: Final = (
    "SELECT total, digest, slice, head_ts, head_nonce FROM syncline.data_tail("
    ":after_ts, :after_nonce, :bytes_max, CAST(:up_to AS bigint), CAST(:skip AS integer))"
)
_OUTCOME: Final = (
    "SELECT total, digest, slice, ts, identity, failed"
    " FROM syncline.data_outcome(:session, :request, CAST(:skip AS integer))"
)
_DOCUMENTS: Final = (
    "SELECT total, digest, slice FROM syncline.data_documents(:after, CAST(:skip AS integer))"
)
_TRANSACTION_END_REFUSED: Final = "2D000"
"""invalid_transaction_termination: a COMMIT inside of an open transaction."""

_Fetch: TypeAlias = "Callable[[int, Row | None], Awaitable[Sequence[Row]]]"
"""Rows (total, digest, slice, ...) after a number of bytes; with the first row read before."""


class _Reply(msgspec.Struct):
    status: int
    kept: int | None
    """None: nothing was stored, because a proposed ts can not be kept."""
    head_ts: int
    head_nonce: int
    base_ts: int
    base_nonce: int
    results: msgspec.Raw
    missing: msgspec.Raw


class _StoredRow(msgspec.Struct):
    document_id: str
    table_number: int
    ts: int
    document: msgspec.Raw
    keys: list[str]


_replies = msgspec.json.Decoder(_Reply)
_documents = msgspec.json.Decoder(list[_StoredRow])


class DataApiLog:
    """The log in one database behind the Data API; any number of processes may have one each.

    Not bound to an event loop, and nothing in it is open between calls. The schema must be there:
    `data_api_migration.migrate_through_data_api`, which a deploy calls and no cold start.

    Args:
        api: the database; its user must own the schema `syncline`.
        routine: "function" appends in one flushed transaction. "procedure" orders in one and
            flushes in a second, so that the head is not locked while the disk is waited for; it
            needs a Data API that lets a routine commit, which AWS does not document.
        horizon_ns: nanoseconds behind the head below which a begin ts is too old.
        lag_ns_max: nanoseconds that the head may be ahead of the oldest commit which a reporting
            view lacks, before `append` answers SlowDown; None: no bound.
    """

    def __init__(
        self,
        api: DataApi,
        *,
        routine: CommitRoutine = "function",
        horizon_ns: int = HORIZON_NS,
        lag_ns_max: int | None = None,
    ) -> None:
        self._api = api
        self._statement = _APPEND[routine].format(_APPEND_PARAMETERS)
        self._horizon_ns = horizon_ns
        self._lag_ns_max = lag_ns_max

    async def append(
        self,
        batch: Sequence[CommitRequest],
        *,
        standing_on: Position,
        exclusive: bool,
        mark: int | None = None,
    ) -> AppendReply:
        """Commit a batch in one call, or in one after those that stage it."""
        repeated = first_repeated(batch) if exclusive else None
        items = settle(batch[:repeated], standing_on, staged_above=None)
        text = encode_batch(items, with_ranges=not exclusive)
        # Negative, so that it is nobody's nonce; random, so that a call repeated meets no old part.
        call_key = -1 - secrets.randbits(63)
        staged_parts = 0
        if len(text) > INLINE_BYTES_MAX:
            staged_parts = await self._stage(call_key, text)
        parameters: dict[str, Scalar] = {
            "batch": None if staged_parts else text,
            "call_key": call_key,
            "staged_parts": staged_parts,
            "standing_ts": standing_on.ts,
            "standing_nonce": standing_on.nonce,
            "exclusive": exclusive,
            "horizon_ns": self._horizon_ns,
            "lag_ns_max": self._lag_ns_max,
            "missing_bytes_max": MISSING_BYTES_MAX,
            "mark": mark,
        }
        reply = _replies.decode(await self._reply(call_key, parameters))
        answer = RoutineAnswer(
            reply.status,
            reply.kept or 0,
            Position(reply.head_ts, reply.head_nonce),
            Position(reply.base_ts, reply.base_nonce),
            results=_unless_null(reply.results),
            missing=_unless_null(reply.missing),
        )
        return append_reply(batch, items, repeated, answer)

    async def _stage(self, call_key: int, text: bytes) -> int:
        parts = [text[at : at + PART_BYTES_MAX] for at in range(0, len(text), PART_BYTES_MAX)]
        for before in range(0, len(parts), PARTS_PER_REQUEST):
            few = parts[before : before + PARTS_PER_REQUEST]
            await self._api.for_each(
                _STAGE,
                [
                    {"call_key": call_key, "part": number, "content": part}
                    for number, part in enumerate(few, before + 1)
                ],
            )
        return len(parts)

    async def _reply(self, call_key: int, parameters: Mapping[str, Scalar]) -> bytes:
        """The routine's answer, from its row or from where it waits in parts."""
        try:
            ((reply, parts),) = await self._api.rows(self._statement, parameters)
        except ClientError as error:
            if sql_state(error) != _TRANSACTION_END_REFUSED:
                raise
            raise DeveloperError(
                "ProcedureCannotCommit",
                "This Data API runs procedures inside of a transaction, where they can't commit: "
                'set SYNCLINE_COMMIT_ROUTINE to "function".',
            ) from error
        if isinstance(reply, bytes):
            return reply
        assert isinstance(parts, int)
        found: list[bytes] = []
        while len(found) < parts:
            rows = await self._api.rows(_REPLY, {"call_key": call_key, "after": len(found)})
            if not rows:
                raise LogUnavailable(
                    "LogUnavailable", "The reply of an append was pruned before it was read."
                )
            found += [_bytes(part) for (part,) in rows]
        return b"".join(found)

    async def close_mark(self, mark: int) -> Position:
        """Refuse appends with a mark up to this one; returns the head (protocols.md rule 16)."""
        ((ts, nonce),) = await self._api.rows(
            "SELECT head_ts, head_nonce FROM syncline.close_mark(:mark)", {"mark": mark}
        )
        return Position(_int(ts), _int(nonce))

    async def tail(self, after: Position, *, bytes_max: int) -> TailReply | Reset:
        """Commits after a position; complete means durable (protocols.md rule 3)."""
        commits: list[Commit] = []
        left = bytes_max
        position = after
        head: Position | None = None
        while True:
            found = await self._page(position, min(left, PAGE_BYTES_MAX))
            if found is None:
                # Pruned behind our back: what was read before is as true as ever.
                return Reset() if head is None else TailReply(tuple(commits), head)
            head, page = found
            commits += page
            left -= sum(payload_bytes(each.call, each.changes) for each in page)
            if not page or page[-1].ts >= head.ts or left < PAGE_BYTES_MAX:
                return TailReply(tuple(commits), head)
            position = Position(page[-1].ts, page[-1].nonce)

    async def _page(
        self, after: Position, bytes_max: int
    ) -> tuple[Position, Sequence[Commit]] | None:
        """The head and what fits into one page; None: `after` is not in the log."""

        async def fetch(skip: int, first: Row | None) -> Sequence[Row]:
            parameters: dict[str, Scalar] = {
                "after_ts": after.ts,
                "after_nonce": after.nonce,
                "bytes_max": bytes_max,
                "up_to": first[3] if first else None,
                "skip": skip,
            }
            return await self._api.rows(_TAIL, parameters)

        read = await _read_slices(fetch)
        if read is None:
            return None
        (_, _, _, head_ts, head_nonce), text = read
        return Position(_int(head_ts), _int(head_nonce)), missing_commits(text)

    async def outcome(self, session: str, request: int) -> Duplicate | None:
        """What was recorded under (session, request), made durable by looking."""

        async def fetch(skip: int, _first: Row | None) -> Sequence[Row]:
            parameters = {"session": session, "request": request, "skip": skip}
            return await self._api.rows(_OUTCOME, parameters)

        read = await _read_slices(fetch)
        if read is None:
            return None
        (_, _, _, ts, identity, failed), outcome = read
        return Duplicate(_int(ts), str(identity), outcome, failed=bool(failed))

    async def load(self) -> Loaded:
        """The snapshot at the folded position, in a transaction that lasts until it is read."""
        transaction = await self._api.begin()
        try:
            await self._api.rows(
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", transaction=transaction
            )
            ((ts, nonce),) = await self._api.rows(
                "SELECT ts, nonce FROM syncline.folded", transaction=transaction
            )
        except BaseException:
            await self._api.rollback(transaction)
            raise
        return Loaded(Position(_int(ts), _int(nonce)), self._documents(transaction))

    async def _documents(self, transaction: str) -> AsyncGenerator[Sequence[StoredDocument]]:
        after = ""

        async def fetch(skip: int, _first: Row | None) -> Sequence[Row]:
            parameters: dict[str, Scalar] = {"after": after, "skip": skip}
            return await self._api.rows(_DOCUMENTS, parameters, transaction=transaction)

        try:
            while True:
                read = await _read_slices(fetch)
                assert read is not None, "a page without documents is an empty array"
                rows = _documents.decode(read[1])
                if not rows:
                    break
                after = rows[-1].document_id
                yield [_stored(row) for row in rows]
        finally:
            await self._api.rollback(transaction)

    async def fold(self, up_to: int, *, commits_max: int) -> Position:
        """Move versions up to `up_to` into the snapshot table (protocols.md rule 8)."""
        ((ts, nonce),) = await self._api.rows(
            "SELECT folded_ts, folded_nonce"
            " FROM syncline.fold(:up_to, CAST(:commits_max AS integer))",
            {"up_to": up_to, "commits_max": commits_max},
        )
        return Position(_int(ts), _int(nonce))

    async def prune(self, *, keep_after: int, records_before: int) -> int:
        """Forget one step of old commits and request records; returns how many rows went."""
        ((gone,),) = await self._api.rows(
            "SELECT syncline.prune(:keep_after, :records_before, CAST(:rows_max AS integer))",
            {
                "keep_after": keep_after,
                "records_before": records_before,
                "rows_max": PRUNE_ROWS_MAX,
            },
        )
        return _int(gone)

    async def add_index_keys(self, keys: Sequence[tuple[str, int, bytes]]) -> None:
        """Add entry keys to stored versions, a request's worth at a time; again changes nothing."""
        batch: list[bytes] = []
        size = 0
        for addition in encode_index_keys(keys):
            if size + len(addition) >= INLINE_BYTES_MAX:
                await self._add_index_keys(batch)
                batch, size = [], 0
            batch.append(addition)
            size += len(addition) + 1
        if batch:
            await self._add_index_keys(batch)

    async def _add_index_keys(self, batch: Sequence[bytes]) -> None:
        await self._api.rows(
            "SELECT syncline.data_add_index_keys(:additions)",
            {"additions": b"[" + b",".join(batch) + b"]"},
        )

    async def report_applied(self, view: str, ts: int) -> None:
        """A view has applied everything up to `ts`: bounds pruning and the lag."""
        await self._api.rows(
            "SELECT syncline.data_report_applied(:view, :ts)", {"view": view, "ts": ts}
        )

    async def close(self) -> None:
        """Close the client's connections; no other log may use the same client any more."""
        await self._api.close()


async def _read_slices(fetch: _Fetch) -> tuple[Row, bytes] | None:
    """A text with the first of its rows, in as many calls as it takes; None: there is no row.

    A text that is made anew for each call may change in between (an index is being added): then
    it is read again from its start.
    """
    for _ in range(READS_OF_ONE_TEXT_MAX):
        first: Row | None = None
        text = b""
        while True:
            rows = await fetch(len(text), first)
            if not rows and first is None:
                return None
            first = first or rows[0]
            if not rows or rows[0][:2] != first[:2]:
                break
            text += b"".join(_bytes(row[2]) for row in rows)
            if len(text) == first[0]:
                return first, text
    raise LogUnavailable(
        "LogUnavailable", "What is read from the log changes faster than it can be fetched."
    )


def _stored(row: _StoredRow) -> StoredDocument:
    return StoredDocument(
        row.document_id,
        row.table_number,
        row.ts,
        bytes(row.document),
        tuple(map(bytes_of_key, row.keys)),
    )


def _unless_null(raw: msgspec.Raw) -> bytes | None:
    text = bytes(raw)
    return None if text == b"null" else text


def _int(value: Scalar) -> int:
    assert isinstance(value, int), value
    return value


def _bytes(value: Scalar) -> bytes:
    assert isinstance(value, bytes), value
    return value

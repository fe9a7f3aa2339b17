"""What the routines of migrations/ answer, as the types of the log port."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

import msgspec
from psycopg.rows import TupleRow

from syncline.commit.record import (
    REFUSED_IDENTITY,
    REFUSED_PRUNED,
    Commit,
    CommitRequest,
    Committed,
    Conflict,
    DocumentChange,
    Duplicate,
    ItemResult,
    Recorded,
    Refused,
    TooOld,
)
from syncline.errors import CorruptionError

_REFUSALS = {"identity": REFUSED_IDENTITY, "pruned": REFUSED_PRUNED}


class _Verdict(msgspec.Struct):
    kind: str
    ts: int = 0
    key: str = ""
    floor_ts: int = 0
    reason: str = ""
    identity: str = ""
    outcome: msgspec.Raw = msgspec.Raw()
    failed: bool = False


class _MissingChange(msgspec.Struct):
    document_id: str
    table_number: int
    before_ts: int
    before: msgspec.Raw
    after: msgspec.Raw
    keys_before: list[str]
    keys_after: list[str]


class _MissingCommit(msgspec.Struct):
    ts: int
    nonce: int
    previous_ts: int
    session: str
    request: int
    call: msgspec.Raw
    changes: list[_MissingChange]


_verdicts = msgspec.json.Decoder(list[_Verdict])
_missing = msgspec.json.Decoder(list[_MissingCommit])


def verdicts(text: bytes | None, batch: Sequence[CommitRequest]) -> list[ItemResult]:
    """The routine's JSON verdicts on the items of `batch`; None: it has none."""
    if text is None:
        return []
    return [
        _item_result(verdict, request)
        for verdict, request in zip(_verdicts.decode(text), batch, strict=False)
    ]


def _item_result(verdict: _Verdict, request: CommitRequest) -> ItemResult:
    match verdict.kind:
        case "committed":
            return Committed(verdict.ts, request.nonce)
        case "recorded":
            return Recorded(verdict.ts)
        case "duplicate":
            return Duplicate(
                verdict.ts, verdict.identity, bytes(verdict.outcome), failed=verdict.failed
            )
        case "conflict":
            return Conflict(verdict.ts, bytes_of_key(verdict.key))
        case "too_old":
            return TooOld(verdict.floor_ts)
        case "refused":
            return Refused(_REFUSALS[verdict.reason])
        case unknown:
            raise CorruptionError("LogReply", f"The log answered with a verdict {unknown!r}.")


def bytes_of_key(text: str) -> bytes:
    """A key from the text form of bytea: a backslash, an x and hexadecimal digits."""
    return bytes.fromhex(text.removeprefix("\\x"))


def _document(raw: msgspec.Raw) -> bytes | None:
    text = bytes(raw)
    return None if text == b"null" else text


def missing_commits(text: bytes | None) -> tuple[Commit, ...]:
    """The JSON of `syncline.missing`."""
    if text is None:
        return ()
    return tuple(
        Commit(
            each.ts,
            each.nonce,
            each.previous_ts,
            tuple(
                DocumentChange(
                    change.document_id,
                    change.table_number,
                    _document(change.before),
                    _document(change.after),
                    change.before_ts,
                    tuple(map(bytes_of_key, change.keys_before)),
                    tuple(map(bytes_of_key, change.keys_after)),
                )
                for change in each.changes
            ),
            each.session,
            each.request,
            bytes(each.call),
        )
        for each in _missing.decode(text)
    )


def tail_commits(rows: Iterable[TupleRow]) -> tuple[Commit, ...]:
    """The rows of `syncline.tail` after its first: one a change, in order."""
    commits: list[Commit] = []
    for _, group in groupby(rows, key=itemgetter(0)):
        of_commit = list(group)
        ts, nonce, previous_ts, session, request, call, *_ = of_commit[0]
        changes = tuple(_change(row) for row in of_commit if row[6] is not None)
        commits.append(Commit(ts, nonce, previous_ts, changes, session, request, call))
    return tuple(commits)


def _change(row: TupleRow) -> DocumentChange:
    document_id, table, before_ts, before, after, keys_before, keys_after = row[6:13]
    return DocumentChange(
        document_id, table, before, after, before_ts, tuple(keys_before), tuple(keys_after)
    )

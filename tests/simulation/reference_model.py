"""The reference: one plain database to which every mutation of the log is done alone, in ts order.

Rule 1 (architecture.md): running each committed mutation again, with its recorded inputs, on the
state that all earlier commits left, must give the same changes and the same recorded outcome. By
induction the concurrent run then equals the serial one. Rule 3: each query result that a client
holds after a Transition to ts must be what that query returns on this database at ts.

The database is as plain as can be: all versions of each index entry in a dictionary. It takes
changes from the log, so that one divergence does not hide the next, and shares with the server
nothing but the running of user functions and the reading of catalog rows.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import orjson

from syncline.commit.record import Commit, DocumentChange, Duplicate
from syncline.drivers.answers import answer_of, encode_outcome
from syncline.ports import (
    FunctionCall,
    FunctionOutcome,
    FunctionRunner,
    Page,
    RangeRead,
    Row,
    SnapshotReads,
)
from syncline.schema.catalog import Catalog
from syncline.values import wire_json
from syncline.values.value import Value
from tests.simulation.model_client import Result, Snapshot

TABLES = 512
DEPLOYMENT = 514
SYSTEM = frozenset({"_system/push", "_system/restore"})
"""The functions named by commits of the server itself: they are applied, not run again."""

_T = TypeVar("_T")


class _CallRecord(msgspec.Struct, rename="camel"):
    """The call as a commit records it (drivers/mutations.py, `encode_call`)."""

    function: str
    arguments: msgspec.Raw
    identity: msgspec.Raw = msgspec.Raw(b"null")
    is_admin: bool = False
    now: int = 0
    seed: str = "0"
    bundle: str = ""
    request_id: str = ""


_call_record = msgspec.json.Decoder(_CallRecord)


@dataclass(frozen=True, slots=True)
class Divergence:
    """A place where the concurrent run differs from the serial one."""

    ts: int
    subject: str
    """The commit's function and request, or the query."""
    detail: str

    def __str__(self) -> str:
        return f"at {self.ts}, {self.subject}: {self.detail}"


@dataclass(frozen=True, slots=True)
class _Version:
    ts: int
    document: bytes | None


class _ReadsAt:
    """The port SnapshotReads on the plain database."""

    def __init__(self, database: "ReferenceModel", ts: int) -> None:
        self._database = database
        self._ts = ts

    async def read(self, reads: Sequence[RangeRead]) -> Sequence[Page]:
        return [self._database.page(read, self._ts) for read in reads]


class ReferenceModel:
    """The serial database.

    Args:
        runner: runs user functions; has every bundle loaded that the log names.
        redact: whether the deployment hides errors from clients.
    """

    def __init__(self, runner: FunctionRunner, *, redact: bool = False) -> None:
        self._runner = runner
        self._redact = redact
        self._keys: list[bytes] = []
        self._versions: dict[bytes, list[_Version]] = {}
        self._documents: dict[str, _Version] = {}
        self._tables: dict[str, int] = {}
        self._catalogs: list[tuple[int, Catalog]] = [(0, Catalog.from_rows([], 0))]
        self._bundles: list[tuple[int, str]] = [(0, "")]
        self.head = 0

    # Rule 1

    async def replay(
        self,
        commits: Sequence[Commit],
        outcome_of: Callable[[str, int], Awaitable[Duplicate | None]],
    ) -> list[Divergence]:
        """Do every commit alone, in order; `outcome_of` is the log's `outcome`."""
        found: list[Divergence] = []
        for commit in commits:
            record = _call_record.decode(commit.call)
            subject = f"{record.function} ({commit.session}, {commit.request})"
            problems = self._broken_links(commit)
            if record.function not in SYSTEM:
                outcome = await self._run_again(record)
                recorded = await outcome_of(commit.session, commit.request)
                problems += _different_changes(outcome.changes, commit.changes)
                problems += self._different_outcome(commit, record, outcome, recorded)
            found += [Divergence(commit.ts, subject, problem) for problem in problems]
            self.apply(commit)
        return found

    def _broken_links(self, commit: Commit) -> list[str]:
        """A commit follows the one before it and changes what is there."""
        problems: list[str] = []
        if commit.ts <= self.head or commit.previous_ts != self.head:
            problems.append(f"follows {commit.previous_ts} where the head is {self.head}")
        for change in commit.changes:
            now = self._documents.get(change.document_id, _Version(0, None))
            if change.before != now.document or (now.document and change.before_ts != now.ts):
                problems.append(
                    f"changes {change.document_id} as it was at {change.before_ts} "
                    f"({change.before!r}), but it is of {now.ts} ({now.document!r})"
                )
        return problems

    async def _run_again(self, record: _CallRecord) -> FunctionOutcome:
        identity = bytes(record.identity)
        call = FunctionCall(
            kind="mutation",
            path=record.function,
            arguments=bytes(record.arguments),
            identity=None if identity == b"null" else identity,
            is_admin=record.is_admin,
            begin_ts=self.head,
            now_ns=record.now,
            seed=int(record.seed, 16),
            journal=None,
            bundle=record.bundle,
            catalog=self.catalog_at(self.head),
            request_id=record.request_id,
        )
        return await self._runner.run(call, self.reads_at(self.head))

    def _different_outcome(
        self,
        commit: Commit,
        record: _CallRecord,
        outcome: FunctionOutcome,
        recorded: Duplicate | None,
    ) -> list[str]:
        if recorded is None:
            return ["its outcome was never recorded"]
        problems: list[str] = []
        if recorded.failed or recorded.ts != commit.ts:
            problems.append(f"recorded as failed={recorded.failed} at {recorded.ts}")
        answer = answer_of(outcome, 0, record.request_id, redact=self._redact)
        alone = encode_outcome(answer)
        if alone != recorded.outcome:
            problems.append(f"answered {recorded.outcome!r}, alone it answers {alone!r}")
        return problems

    # The database

    def apply(self, commit: Commit) -> None:
        """Take a commit's documents; what lies in which index follows from the tables."""
        self.head = commit.ts
        tables: dict[str, Mapping[str, Value] | None] = {}
        for change in commit.changes:
            self._put(change.document_id, change.table, _Version(commit.ts, change.after))
            if change.table == TABLES:
                tables[change.document_id] = _row(change.after)
            elif change.table == DEPLOYMENT and (row := _row(change.after)):
                self._bundles.append((commit.ts, str(row["bundle"])))
        if tables:
            catalog = self._catalogs[-1][1].with_rows(tables, commit.ts)
            self._catalogs.append((commit.ts, catalog))
            self._fill_new_indexes()

    def _put(self, document_id: str, table: int, version: _Version) -> None:
        before = self._documents.get(document_id, _Version(0, None))
        self._documents[document_id] = version
        self._tables[document_id] = table
        old = self._keys_of(document_id, before.document)
        new = self._keys_of(document_id, version.document)
        for key in {*old, *new}:
            document = version.document if key in new else None
            self._put_entry(key, _Version(version.ts, document))

    def _keys_of(self, document_id: str, document: bytes | None) -> tuple[bytes, ...]:
        row = _row(document)
        table = self._catalogs[-1][1].table_by_number(self._tables[document_id])
        if row is None or table is None:
            return ()
        return table.keys(row, document_id)

    def _put_entry(self, key: bytes, version: _Version) -> None:
        if key not in self._versions:
            insort(self._keys, key)
        self._versions.setdefault(key, []).append(version)

    def _fill_new_indexes(self) -> None:
        """A new index, or a new table's, shows every document that is there already."""
        for document_id, version in self._documents.items():
            for key in self._keys_of(document_id, version.document):
                if key not in self._versions:
                    self._put_entry(key, version)

    def page(self, read: RangeRead, ts: int) -> Page:
        """The rows of a range as they were at `ts`."""
        keys = self._keys[bisect_left(self._keys, read.lo) : bisect_left(self._keys, read.hi)]
        rows: list[Row] = []
        for key in reversed(keys) if read.reverse else keys:
            versions = self._versions[key]
            at = bisect_right(versions, ts, key=lambda version: version.ts) - 1
            if at >= 0 and (document := versions[at].document) is not None:
                rows.append(Row(key, versions[at].ts, document))
        return Page(tuple(rows[: read.limit]), done=len(rows) <= read.limit)

    def reads_at(self, ts: int) -> SnapshotReads:
        """Reads of the state at `ts`."""
        return _ReadsAt(self, ts)

    def catalog_at(self, ts: int) -> Catalog:
        """The tables at `ts`."""
        return self._at(self._catalogs, ts)

    @property
    def bundle(self) -> str:
        """The deployed bundle at the head."""
        return self._bundles[-1][1]

    def documents(self) -> dict[str, bytes]:
        """Every live document by id, at the head."""
        return {
            document_id: version.document
            for document_id, version in self._documents.items()
            if version.document is not None
        }

    # Rule 3

    async def query_at(
        self,
        ts: int,
        path: str,
        arguments: bytes,
        *,
        identity: bytes | None = None,
        journal: str | None = None,
    ) -> FunctionOutcome:
        """What a query returns on the snapshot at `ts`."""
        assert ts <= self.head, "the log must have been replayed up to there"
        call = FunctionCall(
            kind="query",
            path=path,
            arguments=arguments,
            identity=identity,
            is_admin=False,
            begin_ts=ts,
            now_ns=ts,
            seed=0,
            journal=journal,
            bundle=self._at(self._bundles, ts),
            catalog=self.catalog_at(ts),
            request_id="0" * 16,
        )
        return await self._runner.run(call, self.reads_at(ts))

    @staticmethod
    def _at(timeline: list[tuple[int, _T]], ts: int) -> _T:
        return timeline[bisect_right(timeline, ts, key=lambda entry: entry[0]) - 1][1]

    async def judge(
        self, snapshot: Snapshot, identity_of: Callable[[str], bytes] | None = None
    ) -> list[Divergence]:
        """Compare everything that a client holds after a Transition with the snapshot at its ts.

        `identity_of` gives the UserIdentityAttributes of a token. A paginated query is run with the
        journal that came with its result, which pins its page. The queries must not read clock or
        randomness: those inputs are not the client's to know.
        """
        token = snapshot.token
        identity = identity_of(token) if identity_of and token is not None else None
        found: list[Divergence] = []
        for query_id, held in snapshot.results.items():
            arguments = held.arguments.encode()
            outcome = await self.query_at(
                snapshot.ts, held.path, arguments, identity=identity, journal=held.journal
            )
            assert not outcome.read_time, f"{held.path} reads the clock"
            assert not outcome.read_random, f"{held.path} reads randomness"
            if detail := _different_result(held, outcome, redact=self._redact):
                subject = f"query {query_id}: {held.path} {held.arguments}"
                found.append(Divergence(snapshot.ts, subject, detail))
        return found


def _row(document: bytes | None) -> dict[str, Value] | None:
    if document is None:
        return None
    value = wire_json.decode(document)
    assert isinstance(value, dict)
    return value


def _different_changes(
    alone: Sequence[DocumentChange], logged: Sequence[DocumentChange]
) -> list[str]:
    """The logged change may have more keys: those of indexes that were filled in later."""
    before = {change.document_id: change for change in alone}
    after = {change.document_id: change for change in logged}
    problems: list[str] = []
    for document_id in sorted({*before, *after}):
        one, other = before.get(document_id), after.get(document_id)
        if one is None or other is None:
            who = "only the concurrent" if one is None else "only the serial"
            problems.append(f"{who} run changes {document_id}")
        elif one.after != other.after:
            problems.append(f"made {document_id} {other.after!r}, alone it makes it {one.after!r}")
        elif not set(one.keys_after) <= set(other.keys_after):
            problems.append(f"left index entries of {document_id} out")
    return problems


def _different_result(held: Result, outcome: FunctionOutcome, *, redact: bool) -> str | None:
    answer = answer_of(outcome, 0, "0" * 16, redact=redact)
    if answer.log_lines != held.log_lines:
        return f"logged {held.log_lines}, alone it logs {answer.log_lines}"
    if answer.value is not None:
        expected = orjson.loads(answer.value)
        return (
            None
            if (held.error, held.value) == (None, expected)
            else (f"holds {held.error or held.value!r}, the snapshot gives {expected!r}")
        )
    data = None if answer.error_data is None else orjson.loads(answer.error_data)
    expected_text = _without_request_id(answer.error_message)
    if (_without_request_id(held.error), held.data) == (expected_text, data):
        return None
    return f"holds {held.error or held.value!r}, the snapshot gives the error {expected_text!r}"


def _without_request_id(message: str | None) -> str | None:
    """An error's text without the number that differs from run to run."""
    return None if message is None else message.partition("] ")[2]

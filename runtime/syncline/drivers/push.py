"""Deploying a bundle: one versioned switch of functions, schema and indexes (protocols.md rule 21).

(a) A first commit notes new indexes and changed validators as pending: from here on every commit
also emits keys for pending indexes. (b) Existing documents are validated and index entries
backfilled, page by page, each at the newest snapshot, while the old version serves; whatever is
written meanwhile is validated too. (c) The switch is committed with the read set of all tables
concerned, so that it takes effect only if it is still right. A push that fails takes its pending
marks back.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from syncline.bundle_spec import BundleSpec
from syncline.commit.record import Duplicate
from syncline.commit.tail import Tail
from syncline.drivers.committer import Committer, Done, Draft, Rerun, Settled
from syncline.drivers.replica import DEPLOYMENT, MODULES, TABLES, Replica
from syncline.drivers.system_writes import SystemWrites, fields_of
from syncline.drivers.table_rows import (
    NOTHING_WANTED,
    Marked,
    WantedTable,
    integer,
    marked,
    new_table,
    overtaken,
    switched,
    taken_back,
    wanted_tables,
)
from syncline.errors import DeveloperError, UnavailableError
from syncline.index.index_definition import BY_ID, index_id
from syncline.index.key_encoding import prefix_successor
from syncline.index.key_range import KeyRange
from syncline.limits import TABLES_MAX
from syncline.ports import Clock, Entropy, FunctionRunner, Log, RangeRead, Row, StoredRow
from syncline.registration.cron_schedule import cron_fields, is_frequent, next_run
from syncline.registration.loader import HTTP_MODULE
from syncline.schema.catalog import CRON_JOBS as CRON_TABLE
from syncline.schema.catalog import Catalog, TableInfo, too_many_tables
from syncline.schema.conformance import document_failure
from syncline.schema.definition import schema_from_json
from syncline.values import wire_json
from syncline.values.value import Value

CRON_JOBS = CRON_TABLE.number
BACKFILL_PAGE_ROWS = 256
"""Documents validated or indexed between two turns of the event loop; ours: about 5 ms."""


@dataclass(frozen=True, slots=True)
class PushReport:
    """What a push changed."""

    bundle: str
    changed_modules: tuple[str, ...] = ()
    removed_modules: tuple[str, ...] = ()
    added_indexes: tuple[str, ...] = ()
    removed_indexes: tuple[str, ...] = ()
    validated_tables: tuple[str, ...] = ()
    frequent_crons: tuple[str, ...] = ()
    """Names of crons that keep a database on AWS from pausing."""


@dataclass(slots=True)
class _Push:
    """One push under way: what it wants, what it has marked, how far it has looked."""

    spec: BundleSpec
    bundle: str
    url: str
    wanted: dict[str, WantedTable]
    marks: dict[str, Marked] = field(default_factory=dict[str, Marked])
    """By table, of the tables that have something pending."""
    created: frozenset[str] = frozenset()
    """Tables whose first row is this push's."""
    tail: Tail = field(default_factory=Tail)
    """Where the changes since the marks are found."""
    seen: int = 0
    """Every durable change up to this ts has been examined."""


class Pusher:
    """Pushes one bundle at a time."""

    def __init__(
        self,
        *,
        log: Log,
        replica: Replica,
        committer: Committer,
        runner: FunctionRunner,
        clock: Clock,
        entropy: Entropy,
        session: str,
    ) -> None:
        self._log = log
        self._replica = replica
        self._committer = committer
        self._runner = runner
        self._clock = clock
        self._entropy = entropy
        self._session = session
        self._requests = 0
        self._turn = asyncio.Lock()

    async def push(self, bundle: str, folder: Path, url: str) -> PushReport:
        """Load, validate, backfill, switch. Raises DeveloperError; then nothing has changed."""
        async with self._turn:
            spec = await self._runner.load(bundle, folder)
            schema = schema_from_json(spec.schema) if spec.schema is not None else None
            push = _Push(spec, bundle, url, wanted_tables(schema))
            try:
                await self._commit(lambda writes: self._mark_pending(writes, push))
                push.tail, push.seen = self._replica.tail, self._replica.durable.ts
                for name in push.marks:
                    await self._examine(name, push)
                return await self._switch(push)
            except BaseException:
                await self._commit(lambda writes: self._take_back(writes, push))
                raise

    # Step a: pending marks.

    async def _mark_pending(self, writes: SystemWrites, push: _Push) -> None:
        rows = {str(row.document["name"]): row for row in await writes.rows(TABLES)}
        number = max([10_000, *(integer(row.document["number"]) for row in rows.values())])
        push.marks.clear()
        push.created = frozenset(push.wanted.keys() - rows.keys())
        if push.created and len(rows) + len(push.created) > TABLES_MAX:
            raise too_many_tables(len(rows) + len(push.created))
        for name, row in rows.items():
            marks = marked(fields_of(row.document), push.wanted.get(name, NOTHING_WANTED))
            writes.replace(row, TABLES, marks.fields)
            self._note(push, name, marks)
        for name, wanted in push.wanted.items():
            if name in push.created:
                number += 1
                marks = marked(new_table(name, number), wanted)
                writes.insert(TABLES, marks.fields)
                self._note(push, name, marks)

    @staticmethod
    def _note(push: _Push, name: str, marks: Marked) -> None:
        if marks.ordinals or marks.is_validated:
            push.marks[name] = marks

    # Step b: validation and backfill.

    async def _examine(self, name: str, push: _Push) -> None:
        """Validate every document of a table and write the entries of its new indexes.

        Each page is read at the newest durable ts, so that no old snapshot has to be kept for as
        long as this takes: what was written behind the cursor is examined as a change.
        """
        lo, hi = _whole(integer(push.marks[name].fields["number"]))
        done = False
        while not done:
            now = self._replica.durable.ts
            self._check_changes(push, now)
            push.seen = now
            (page,) = await self._replica.reads(now).read([RangeRead(lo, hi, BACKFILL_PAGE_ROWS)])
            await self._examine_rows(push, name, page.rows, self._replica.catalog_at(now))
            done = page.done
            if not done:
                lo = page.rows[-1].key + b"\x00"
            await asyncio.sleep(0)

    async def _examine_rows(
        self, push: _Push, name: str, page: tuple[Row, ...], catalog: Catalog
    ) -> None:
        table = catalog.table(name)
        if table is None:
            raise overtaken(name)
        rows: list[StoredRow] = []
        keys: list[tuple[str, int, bytes]] = []
        for row in page:
            document = _require_valid(row.document, name, push, catalog)
            document_id = str(document["_id"])
            for key in _new_keys(table, document, document_id, push.marks[name].ordinals):
                rows.append(StoredRow(key, row.ts, row.document))
                keys.append((document_id, row.ts, key))
        if rows:
            await self._replica.documents.add_index_rows(rows)
            await self._log.add_index_keys(keys)

    def _check_changes(self, push: _Push, now: int) -> None:
        """Validate what was written after `push.seen`, up to `now`."""
        if not push.marks:
            return
        if self._replica.tail is not push.tail or push.seen < push.tail.floor:
            raise UnavailableError(
                "PushInterrupted",
                "The log was loaded again, or shortened, while the push was under way, so that "
                "it can't tell what has changed; nothing of it is deployed. Push again.",
            )
        catalog = self._replica.catalog_at(now)
        names = {
            integer(marks.fields["number"]): name
            for name, marks in push.marks.items()
            if marks.is_validated
        }
        for commit in push.tail.changes_since(push.seen) if names else ():
            for change in commit.changes if commit.ts <= now else ():
                name = names.get(change.table)
                if name is not None and change.after is not None:
                    _require_valid(change.after, name, push, catalog)

    # Step c: the switch.

    async def _switch(self, push: _Push) -> PushReport:
        changed: list[str] = []
        removed: list[str] = []
        removed_indexes: list[str] = []

        async def build(writes: SystemWrites) -> None:
            changed.clear()
            removed.clear()
            removed_indexes.clear()
            await self._switch_tables(writes, push, removed_indexes)
            await self._switch_modules(writes, push.spec, changed, removed)
            await self._switch_crons(writes, push.spec)
            deployment = await writes.rows(DEPLOYMENT)
            fields: dict[str, Value] = {
                "bundle": push.bundle,
                "url": push.url,
                "auth": wire_json.decode(msgspec.json.encode(push.spec.auth)),
            }
            if deployment:
                writes.replace(deployment[0], DEPLOYMENT, fields)
            else:
                writes.insert(DEPLOYMENT, fields)
            # No wait between this check and the submission: nothing can slip in between, and what
            # other processes commit meanwhile conflicts with the read ranges. `seen` stays where
            # it is: what lies above may be layers that are dropped and replaced by others.
            self._check_changes(push, writes.begin_ts)
            for marks in push.marks.values():
                writes.read_ranges.append(KeyRange(*_whole(integer(marks.fields["number"]))))

        await self._commit(build)
        return PushReport(
            push.bundle,
            tuple(changed),
            tuple(removed),
            tuple(f"{name}.{each}" for name, marks in push.marks.items() for each in marks.added),
            tuple(removed_indexes),
            tuple(name for name, marks in push.marks.items() if marks.is_validated),
            tuple(cron.name for cron in push.spec.crons if is_frequent(cron)),
        )

    async def _switch_tables(
        self, writes: SystemWrites, push: _Push, removed_indexes: list[str]
    ) -> None:
        missing = set(push.wanted)
        for row in await writes.rows(TABLES):
            name = str(row.document["name"])
            missing.discard(name)
            wanted = push.wanted.get(name, NOTHING_WANTED)
            fields, removed = switched(fields_of(row.document), wanted, push.marks.get(name))
            removed_indexes.extend(f"{name}.{each}" for each in removed)
            writes.replace(row, TABLES, fields)
        if missing:
            raise overtaken(min(missing))

    async def _switch_modules(
        self, writes: SystemWrites, spec: BundleSpec, changed: list[str], removed: list[str]
    ) -> None:
        rows = {str(row.document["path"]): row for row in await writes.rows(MODULES)}
        for path, module_hash in spec.modules.items():
            row = rows.pop(path, None)
            if row is not None and row.document["hash"] == module_hash:
                continue
            changed.append(path)
            functions: list[Value] = [
                {
                    "path": function.path,
                    "kind": function.kind,
                    "visibility": function.visibility,
                    "args": wire_json.from_json(function.args),
                    "returns": wire_json.from_json(function.returns),
                }
                for function in spec.functions
                if function.path.rpartition(":")[0] == path
            ]
            fields: dict[str, Value] = {"path": path, "hash": module_hash, "functions": functions}
            if path == HTTP_MODULE and spec.http:
                fields["routes"] = [dict(route) for route in spec.http]
            if row is None:
                writes.insert(MODULES, fields)
            else:
                writes.replace(row, MODULES, fields)
        for path, row in rows.items():
            removed.append(path)
            writes.delete(row, MODULES)

    async def _switch_crons(self, writes: SystemWrites, spec: BundleSpec) -> None:
        """Those that are as they were keep their next run."""
        rows = {str(row.document["name"]): row for row in await writes.rows(CRON_JOBS)}
        for cron in spec.crons:
            row = rows.pop(cron.name, None)
            fields = cron_fields(cron)
            if row is None:
                now = self._clock.now_ns() / 1e6
                writes.insert(CRON_JOBS, {**fields, "next": next_run(cron, now), "last": None})
            elif fields.items() <= row.document.items():
                continue
            else:
                now = self._clock.now_ns() / 1e6
                last = row.document["last"]
                writes.replace(
                    row, CRON_JOBS, {**fields, "next": next_run(cron, now), "last": last}
                )
        for row in rows.values():
            writes.delete(row, CRON_JOBS)

    async def _take_back(self, writes: SystemWrites, push: _Push) -> None:
        """Undo (a): this push's marks go, and tables that it has made while they are empty."""
        for row in await writes.rows(TABLES):
            name = str(row.document["name"])
            marks = push.marks.get(name)
            fields = fields_of(row.document)
            fields = taken_back(fields, marks) if marks is not None else fields
            if name in push.created and await self._is_unused(writes, fields):
                writes.delete(row, TABLES)
            else:
                writes.replace(row, TABLES, fields)

    async def _is_unused(self, writes: SystemWrites, fields: dict[str, Value]) -> bool:
        """Whether nobody has put a document into a table or deployed a schema for it."""
        if fields["indexes"] or fields["validator"] or fields["pendingValidator"]:
            return False
        lo, hi = _whole(integer(fields["number"]))
        writes.read_ranges.append(KeyRange(lo, hi))
        (page,) = await self._replica.reads(writes.begin_ts).read([RangeRead(lo, hi, 1)])
        return not page.rows

    async def _commit(self, build: Callable[[SystemWrites], Awaitable[None]]) -> None:
        """Commit what `build` asks for, again on conflict."""
        self._requests += 1
        while True:
            await self._committer.ready()
            epoch = self._committer.epoch
            writes = SystemWrites(
                self._replica,
                self._committer.begin_ts,
                self._clock.now_ns(),
                lambda: self._entropy.bits(128).to_bytes(16, "big"),
            )
            await build(writes)
            if not writes.changes:
                return
            settled: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()

            def done(result: Settled, settled: asyncio.Future[Settled] = settled) -> None:
                # A push that was cancelled does not wait any more.
                if not settled.done():
                    settled.set_result(result)

            draft = Draft(
                epoch=epoch,
                begin_ts=writes.begin_ts,
                read_ranges=tuple(writes.read_ranges),
                changes=tuple(writes.changes),
                session=self._session,
                request=self._requests,
                identity="",
                call=b'{"function":"_system/push","arguments":{}}',
                outcome=b'{"value":null}',
                failed=False,
            )
            if self._committer.submit(draft, done) is not None:
                await asyncio.sleep(0.01)
                continue
            match await settled:
                case Done() | Duplicate():  # a duplicate: it was in doubt, and is committed
                    return
                case Rerun():
                    continue
                case refused:
                    raise UnavailableError("PushRefused", refused.reason)


def _whole(table_number: int) -> tuple[bytes, bytes]:
    lo = index_id(table_number, BY_ID)
    hi = prefix_successor(lo)
    assert hi is not None
    return lo, hi


def _new_keys(
    table: TableInfo, document: dict[str, Value], document_id: str, ordinals: frozenset[int]
) -> list[bytes]:
    if not ordinals:
        return []
    keys = table.keys(document, document_id)
    return [
        key for key, index in zip(keys, table.all_indexes, strict=True) if index.ordinal in ordinals
    ]


def _require_valid(encoded: bytes, name: str, push: _Push, catalog: Catalog) -> dict[str, Value]:
    document = wire_json.decode(encoded)
    assert isinstance(document, dict)
    if push.marks[name].is_validated:
        failure = document_failure(document, push.wanted[name].validator, catalog.name_of)
        if failure is not None:
            raise DeveloperError(
                "SchemaValidationFailed",
                f'Document {document["_id"]} in table "{name}" does not match the schema: '
                f"{failure}\nChange the document or the schema, then push again. "
                "The version that was deployed before keeps serving.",
            )
    return document

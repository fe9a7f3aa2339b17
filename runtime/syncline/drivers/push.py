"""Deploying a bundle: one versioned switch of functions, schema and indexes (protocols.md rule 21).

(a) A first commit notes new indexes and changed validators as pending: from here on every commit
also emits keys for pending indexes. (b) Existing documents are validated and index entries
backfilled at a snapshot at or after (a), while the old version serves. (c) What changed since is
validated in memory and the switch is committed with the read set of all tables concerned, so that
it takes effect only if it is still right. A push that fails takes its pending marks back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from syncline.drivers.committer import Committer, Done, Draft, Settled
from syncline.drivers.replica import DEPLOYMENT, MODULES, TABLES, Replica
from syncline.drivers.system_writes import SystemWrites, fields_of
from syncline.errors import DeveloperError
from syncline.index.index_definition import BY_ID, index_id
from syncline.index.key_encoding import prefix_successor
from syncline.index.key_range import KeyRange
from syncline.ports import (
    BundleSpec,
    Clock,
    Entropy,
    FunctionRunner,
    Log,
    RangeRead,
    StoredRow,
)
from syncline.schema.catalog import Catalog, TableInfo
from syncline.schema.conformance import document_failure
from syncline.schema.definition import Schema, schema_from_json
from syncline.values import wire_json
from syncline.values.value import Value

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


@dataclass(slots=True)
class _Plan:
    """What the schema asks for, per table name."""

    pending: list[str] = field(default_factory=list[str])
    validate: list[str] = field(default_factory=list[str])
    added: list[str] = field(default_factory=list[str])
    removed: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])


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
            plan = _Plan()
            await self._commit(lambda writes: self._mark_pending(writes, schema, plan))
            try:
                seen = self._replica.durable.ts
                for name in plan.pending:
                    await self._examine(name, seen, schema)
                return await self._switch(spec, bundle, url, schema, plan, seen)
            except BaseException:
                await self._commit(self._take_back)
                raise

    # Step a: pending marks.

    async def _mark_pending(self, writes: SystemWrites, schema: Schema | None, plan: _Plan) -> None:
        plan.__init__()
        rows = {str(row.document["name"]): row for row in await writes.rows(TABLES)}
        number = max([10_000, *(_int(row.document["number"]) for row in rows.values())])
        for name, wanted in _wanted(schema).items():
            row = rows.get(name)
            if row is None:
                number += 1
                current = _new_table(name, number)
            else:
                current = fields_of(row.document)
            pending = _with_pending(current, wanted, plan)
            if row is None:
                writes.insert(TABLES, pending)
                plan.pending.append(name)
            elif pending != current:
                writes.replace(row, TABLES, pending)
                plan.pending.append(name)

    # Step b: validation and backfill.

    async def _examine(self, name: str, ts: int, schema: Schema | None) -> None:
        """Validate every document of a table at `ts` and write the entries of pending indexes."""
        catalog = self._replica.catalog_at(ts)
        table = catalog.table(name)
        assert table is not None
        reads = self._replica.reads(ts)
        lo, hi = _whole(table)
        done = False
        while not done:
            (page,) = await reads.read([RangeRead(lo, hi, BACKFILL_PAGE_ROWS)])
            rows: list[StoredRow] = []
            keys: list[tuple[str, int, bytes]] = []
            for row in page.rows:
                document = wire_json.decode(row.document)
                assert isinstance(document, dict)
                document_id = str(document["_id"])
                _require_valid(document, table, catalog)
                for key in _pending_keys(table, document, document_id):
                    rows.append(StoredRow(key, row.ts, row.document))
                    keys.append((document_id, row.ts, key))
            if rows:
                await self._replica.documents.add_index_rows(rows)
                await self._log.add_index_keys(keys)
            done = page.done
            if not done:
                lo = page.rows[-1].key + b"\x00"
            await asyncio.sleep(0)

    # Step c: the switch.

    async def _switch(
        self,
        spec: BundleSpec,
        bundle: str,
        url: str,
        schema: Schema | None,
        plan: _Plan,
        seen: int,
    ) -> PushReport:
        changed: list[str] = []
        removed: list[str] = []

        async def build(writes: SystemWrites) -> None:
            nonlocal seen
            changed.clear()
            removed.clear()
            plan.removed.clear()
            await self._switch_tables(writes, schema, plan)
            await self._switch_modules(writes, spec, changed, removed)
            deployment = await writes.rows(DEPLOYMENT)
            fields: dict[str, Value] = {"bundle": bundle, "url": url}
            if deployment:
                writes.replace(deployment[0], DEPLOYMENT, fields)
            else:
                writes.insert(DEPLOYMENT, fields)
            # No wait between this check and the submission: nothing can slip in between, and what
            # other processes commit meanwhile conflicts with the read ranges.
            seen = self._check_changed_since(seen, writes.begin_ts, plan.pending)
            catalog = self._replica.catalog_at(writes.begin_ts)
            for name in plan.pending:
                table = catalog.table(name)
                assert table is not None
                writes.read_ranges.append(KeyRange(*_whole(table)))

        await self._commit(build)
        for _, dropped in plan.removed:
            await self._replica.documents.drop_index(dropped)
        return PushReport(
            bundle,
            tuple(changed),
            tuple(removed),
            tuple(plan.added),
            tuple(name for name, _ in plan.removed),
            tuple(plan.validate),
        )

    def _check_changed_since(self, seen: int, now: int, names: Sequence[str]) -> int:
        catalog = self._replica.catalog_at(now)
        tables = {
            table.number: table for name in names if (table := catalog.table(name)) is not None
        }
        for commit in self._replica.tail.changes_since(seen) if tables else ():
            for change in commit.changes:
                table = tables.get(change.table)
                if table is not None and change.after is not None and commit.ts <= now:
                    document = wire_json.decode(change.after)
                    assert isinstance(document, dict)
                    _require_valid(document, table, catalog)
        return now

    async def _switch_tables(
        self, writes: SystemWrites, schema: Schema | None, plan: _Plan
    ) -> None:
        wanted = _wanted(schema)
        for row in await writes.rows(TABLES):
            name = str(row.document["name"])
            number = _int(row.document["number"])
            target = wanted.get(name, _Wanted(None, {}))
            indexes: list[Value] = []
            for index in _indexes(row.document):
                if target.indexes.get(str(index["name"])) == index["fields"]:
                    indexes.append({**index, "state": "ready"})
                else:
                    dropped = index_id(number, _int(index["ordinal"]))
                    plan.removed.append((f"{name}.{index['name']}", dropped))
            fields: dict[str, Value] = {
                **fields_of(row.document),
                "indexes": indexes,
                "validator": target.validator,
                "pendingValidator": None,
            }
            writes.replace(row, TABLES, fields)

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
            if row is None:
                writes.insert(MODULES, fields)
            else:
                writes.replace(row, MODULES, fields)
        for path, row in rows.items():
            removed.append(path)
            writes.delete(row, MODULES)

    async def _take_back(self, writes: SystemWrites) -> None:
        """Undo (a): pending marks go, and tables that the push had made while they are empty."""
        for row in await writes.rows(TABLES):
            document = row.document
            indexes: list[Value] = [
                {**index} for index in _indexes(document) if index["state"] != "pending"
            ]
            writes.replace(
                row, TABLES, {**fields_of(document), "indexes": indexes, "pendingValidator": None}
            )

    async def _commit(self, build: Callable[[SystemWrites], Awaitable[None]]) -> int:
        """Commit what `build` asks for, again on conflict; returns the commit's ts."""
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
                return self._replica.durable.ts
            settled: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
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
            if self._committer.submit(draft, settled.set_result) is not None:
                await asyncio.sleep(0.01)
                continue
            result = await settled
            if isinstance(result, Done):
                return result.ts


@dataclass(frozen=True, slots=True)
class _Wanted:
    validator: Value
    indexes: dict[str, list[Value]]


def _wanted(schema: Schema | None) -> dict[str, _Wanted]:
    if schema is None:
        return {}
    return {
        name: _Wanted(
            wire_json.from_json(table.validator.to_json()) if schema.schema_validation else None,
            {index.name: list(index.fields) for index in table.indexes},
        )
        for name, table in schema.tables.items()
    }


def _new_table(name: str, number: int) -> dict[str, Value]:
    return {
        "name": name,
        "number": number,
        "nextOrdinal": 2,
        "indexes": [],
        "validator": None,
        "pendingValidator": None,
    }


def _with_pending(current: dict[str, Value], wanted: _Wanted, plan: _Plan) -> dict[str, Value]:
    name = str(current["name"])
    indexes: list[Value] = list(_indexes(current))
    ordinal = _int(current["nextOrdinal"])
    existing = {(str(index["name"]), _key(index["fields"])) for index in _indexes(current)}
    for index_name, fields in wanted.indexes.items():
        if (index_name, _key(fields)) not in existing:
            indexes.append(
                {"name": index_name, "ordinal": ordinal, "fields": fields, "state": "pending"}
            )
            plan.added.append(f"{name}.{index_name}")
            ordinal += 1
    pending: Value = None
    if wanted.validator is not None and wanted.validator != current["validator"]:
        pending = wanted.validator
        plan.validate.append(name)
    return {**current, "indexes": indexes, "nextOrdinal": ordinal, "pendingValidator": pending}


def _indexes(document: dict[str, Value]) -> list[dict[str, Value]]:
    indexes = document["indexes"]
    assert isinstance(indexes, list)
    return [index for index in indexes if isinstance(index, dict)]


def _key(fields: Value) -> tuple[str, ...]:
    assert isinstance(fields, list)
    return tuple(str(name) for name in fields)


def _int(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _whole(table: TableInfo) -> tuple[bytes, bytes]:
    lo = index_id(table.number, BY_ID)
    hi = prefix_successor(lo)
    assert hi is not None
    return lo, hi


def _pending_keys(table: TableInfo, document: dict[str, Value], document_id: str) -> list[bytes]:
    keys = table.keys(document, document_id)
    return [
        key for key, index in zip(keys, table.all_indexes, strict=True) if index.state == "pending"
    ]


def _require_valid(document: dict[str, Value], table: TableInfo, catalog: Catalog) -> None:
    if table.pending_validator is None:
        return
    failure = document_failure(document, table.pending_validator, catalog.name_of)
    if failure is not None:
        raise DeveloperError(
            "SchemaValidationFailed",
            f'Document {document["_id"]} in table "{table.name}" does not match the schema: '
            f"{failure}\nChange the document or the schema, then push again. "
            "The version that was deployed before keeps serving.",
        )

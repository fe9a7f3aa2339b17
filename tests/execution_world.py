"""Runs of single functions over documents in a dict: the whole engine's view of one deployment,
without log, processes or time.
"""

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from syncline.commit.record import DocumentChange
from syncline.environment_ports import EnvironmentRead
from syncline.execution.determinism.rerun_check import CheckedRun
from syncline.execution.function_call import Execution, NeedReads
from syncline.ports import FunctionCall, FunctionOutcome, Page, RangeRead, Row
from syncline.registration.loader import load_bundle
from syncline.registration.registry import LoadedBundle
from syncline.schema.catalog import ENVIRONMENT_VARIABLES, TABLES, Catalog, TableInfo
from syncline.schema.validator_types import Validator
from syncline.values import wire_json
from syncline.values.document_id import encode_id
from syncline.values.value import Value, normalize

NOW_NS = 1_700_000_000_000_000_000
USER_IMPORTS = """\
from typing import Annotated, Any
from syncline import (
    UNSET, ApplicationError, Id, Int64, MutationCtx, PaginationOptions, QueryCtx,
    internal_mutation, internal_query, mutation, query, relationships, v,
)
"""


def bundle_of(folder: Path, **sources: str) -> LoadedBundle:
    """Load modules given by name; each starts with the imports that functions want."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(USER_IMPORTS + source)
    return load_bundle(folder, "0123abcd")


def user_line(text: str, source: str) -> int:
    """The line that holds `text`, in a module made by `bundle_of`."""
    whole = USER_IMPORTS + source
    return whole[: whole.index(text)].count("\n") + 1


class CallFailed(Exception):  # noqa: N818 - as in syncline.testing
    """A run failed; the outcome says how."""

    def __init__(self, outcome: FunctionOutcome) -> None:
        assert outcome.error is not None
        super().__init__(outcome.error.message)
        self.outcome = outcome


@dataclass
class World:
    """Documents by entry key, a catalog, and the runs that change them."""

    bundle: LoadedBundle
    entries: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    catalog: Catalog = field(default_factory=lambda: Catalog.from_rows([], 0))
    ts: int = 1
    is_checked: bool = False
    """Make each run twice and fail it if the two differ."""
    variables: dict[str, str] = field(default_factory=dict)
    """Values of environment variables."""
    batches: list[tuple[RangeRead | EnvironmentRead, ...]] = field(default_factory=list)
    """The reads of the newest run, one batch a step."""

    # Reading

    def read(self, reads: Iterable[RangeRead | EnvironmentRead]) -> list[Page]:
        """What SnapshotReads.read gives for the documents as they are."""
        keys = sorted(self.entries)
        return [
            self._page(read, keys)
            if isinstance(read, RangeRead)
            else Page((Row(read.lo, self.ts, json.dumps(self.variables).encode()),), done=True)
            for read in reads
        ]

    def _page(self, read: RangeRead, keys: Sequence[bytes]) -> Page:
        found = list(keys[bisect_left(keys, read.lo) : bisect_left(keys, read.hi)])
        if read.reverse:
            found.reverse()
        rows = [Row(key, *self.entries[key]) for key in found[: read.limit]]
        return Page(tuple(rows), done=len(found) <= read.limit)

    # Running

    def run(
        self,
        path: str,
        /,
        arguments: Mapping[str, object] | bytes,
        *,
        kind: Literal["query", "mutation"] = "query",
        identity: Mapping[str, object] | None = None,
        is_admin: bool = False,
        journal: str | None = None,
        seed: int | None = None,
    ) -> FunctionOutcome:
        """One run, nothing committed."""
        encoded = arguments if isinstance(arguments, bytes) else _encode(arguments)
        call = FunctionCall(
            kind=kind,
            path=path,
            arguments=encoded,
            identity=None if identity is None else _encode(identity),
            is_admin=is_admin,
            begin_ts=self.ts,
            now_ns=NOW_NS + self.ts * 1_000_000,
            seed=self.ts if seed is None else seed,
            journal=journal,
            bundle=self.bundle.hash,
            catalog=self.catalog,
            request_id="0" * 16,
        )
        self.batches = []
        start = partial(Execution, call, self.bundle)
        execution = CheckedRun[NeedReads](start) if self.is_checked else start()
        step = execution.step(None)
        while isinstance(step, NeedReads):
            self.batches.append(step.reads)
            step = execution.step(self.read(step.reads))
        execution.close()
        return step

    def query(self, path: str, /, **arguments: object) -> Any:
        """A query's result; CallFailed if it fails."""
        return _value(self.run(path, arguments))

    def mutate(self, path: str, /, **arguments: object) -> Any:
        """A mutation's result, its changes applied; CallFailed if it fails."""
        outcome = self.run(path, arguments, kind="mutation")
        value = _value(outcome)
        self.apply(outcome.changes)
        return value

    # Changing

    def apply(self, changes: Iterable[DocumentChange]) -> None:
        """Commit changes; each must fit what is stored."""
        self.ts += 1
        rows: dict[str, Mapping[str, Value] | None] = {}
        for change in changes:
            stored = {key for key, (_, text) in self.entries.items() if text == change.before}
            assert stored.issuperset(change.keys_before)
            for key in change.keys_before:
                assert self.entries.pop(key) == (change.before_ts, change.before)
            for key in change.keys_after:
                assert key not in self.entries
                assert change.after is not None
                self.entries[key] = (self.ts, change.after)
            if change.table == TABLES.number:
                row = None if change.after is None else wire_json.decode(change.after)
                assert row is None or isinstance(row, dict)
                rows[change.document_id] = row
        if rows:
            self.catalog = self.catalog.with_rows(rows, self.ts)

    def put(self, table: TableInfo, document: Mapping[str, object]) -> str:
        """Store a document from outside; returns its id."""
        self.ts += 1
        document_id = encode_id(table.number, self.ts.to_bytes(16, "big"))
        whole = {**document, "_id": document_id, "_creationTime": float(self.ts)}
        self.apply([change_of(table, None, _value_of(whole))])
        return document_id

    def add_table(
        self,
        name: str,
        *,
        validator: Validator | None = None,
        pending: Validator | None = None,
        states: Mapping[str, str] | None = None,
        **indexes: list[str],
    ) -> TableInfo:
        """Make a table with indexes over the given fields."""
        rows = [
            {"name": index, "ordinal": 2 + at, "fields": fields,
             "state": (states or {}).get(index, "ready")}
            for at, (index, fields) in enumerate(indexes.items())
        ]  # fmt: skip
        number = 10_001 + len(self.catalog.user_tables())
        self.put(
            TABLES,
            {
                "name": name,
                "number": number,
                "nextOrdinal": 2 + len(rows),
                "indexes": rows,
                "validator": validator.to_json() if validator else None,
                "pendingValidator": pending.to_json() if pending else None,
            },
        )
        table = self.catalog.table(name)
        assert table is not None
        return table

    def set_variable(self, name: str, value: str) -> None:
        """Set an environment variable."""
        self.put(ENVIRONMENT_VARIABLES, {"name": name, "version": str(self.ts)})
        self.variables[name] = value

    def documents(self, name: str) -> list[dict[str, Any]]:
        """Everything in a table, by creation time."""
        table = self.catalog.table(name)
        if table is None:
            return []
        prefix = table.indexes["by_creation_time"].index_id
        keys = sorted(key for key in self.entries if key.startswith(prefix))
        return [_value_of_json(self.entries[key][1]) for key in keys]


def change_of(
    table: TableInfo, before: dict[str, Value] | None, after: dict[str, Value] | None, ts: int = 0
) -> DocumentChange:
    """The change from one version of a document to another."""
    document_id = str((before or after or {})["_id"])
    return DocumentChange(
        document_id,
        table.number,
        None if before is None else wire_json.encode(before),
        None if after is None else wire_json.encode(after),
        ts,
        () if before is None else table.keys(before, document_id),
        () if after is None else table.keys(after, document_id),
    )


def _encode(value: Mapping[str, object]) -> bytes:
    return wire_json.encode(normalize(value))


def _value(outcome: FunctionOutcome) -> Any:
    if outcome.error is not None:
        raise CallFailed(outcome)
    assert outcome.value is not None
    return wire_json.decode(outcome.value)


def _value_of(document: Mapping[str, object]) -> dict[str, Value]:
    value = normalize(document)
    assert isinstance(value, dict)
    return value


def _value_of_json(text: bytes) -> dict[str, Any]:
    value = wire_json.decode(text)
    assert isinstance(value, dict)
    return value

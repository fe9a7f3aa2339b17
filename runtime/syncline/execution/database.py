"""`ctx.db` (api.md, convex-protocol 6.3): documents by id, queries, and in mutations writes."""

from collections.abc import Callable, Mapping
from typing import Any

from syncline.errors import DeveloperError
from syncline.execution.calls import ContextCall, ContextCalls
from syncline.execution.query_builder import Document, Query
from syncline.execution.row_rules import RowGuard, RowRules
from syncline.index.key_encoding import MISSING
from syncline.schema.catalog import TableInfo
from syncline.transaction.transaction import Transaction, decode_document
from syncline.values.document_id import decode_id
from syncline.values.value import Value, normalize

_PUBLIC_SYSTEM_TABLES = frozenset({"_storage", "_scheduled_functions", "_cron_jobs"})


class DatabaseReader:
    """Reads of one run's snapshot, its own writes included."""

    def __init__(
        self,
        transaction: Transaction,
        calls: ContextCalls,
        *,
        is_system: bool = False,
        rules: RowRules | None = None,
    ) -> None:
        self._transaction = transaction
        self._calls = calls
        self._is_system = is_system
        self._rules = rules

    def get(self, document_id: str, /) -> ContextCall[Document | None]:
        """The document, or None. DeveloperError("InvalidId") for what is no document id."""
        return self._calls.made("ctx.db.get", self._get(document_id))

    async def _get(self, document_id: str) -> Document | None:
        table = self._table_of(document_id, "ctx.db.get")
        if table is None:
            return None
        encoded = await self._transaction.get(table, document_id)
        if encoded is None:
            return None
        document = decode_document(encoded)
        guard = self._guard(table.name)
        return document if guard is None or await guard.shows(document) else None

    def _guard(self, table: str) -> RowGuard | None:
        return None if self._rules is None else self._rules.of(table)

    def _table_of(self, document_id: object, call: str) -> TableInfo | None:
        if not isinstance(document_id, str) or decode_id(document_id) is None:
            raise DeveloperError(
                "InvalidId",
                f"Invalid argument `id` for `{call}`: {document_id!r} is not a document id.",
            )
        table = self._transaction.table_of(document_id)
        if table is not None and table.name.startswith("_"):
            self._require_system_access(table.name)
        return table

    def query(self, table: str, /) -> Query:
        """Begin a query over a table; one that does not exist has no documents."""
        if not isinstance(table, str):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
            raise DeveloperError(
                "InvalidTableName", f"ctx.db.query takes a table's name, not {table!r}."
            )
        if table.startswith("_"):
            self._require_system_access(table)
        return Query(self._calls, self._transaction, table, self._guard(table))

    def _require_system_access(self, table: str) -> None:
        if not self._is_system:
            raise DeveloperError(
                "SystemTable",
                f"{table} is a system table: read it through `ctx.db.system`, as far as it is "
                f"public ({', '.join(sorted(_PUBLIC_SYSTEM_TABLES))}).",
            )

    def normalize_id(self, table: str, text: str, /) -> str | None:
        """The id, if `text` is one of a document of `table`; else None."""
        decoded = decode_id(text) if isinstance(text, str) else None  # pyright: ignore[reportUnnecessaryIsInstance] # user input
        if decoded is None:
            return None
        info = self._transaction.table(table)
        return text if info is not None and info.number == decoded[0] else None

    @property
    def without_rules(self) -> "DatabaseReader":
        """The same database above the row rules: what it returns is yours to judge."""
        return DatabaseReader(self._transaction, self._calls, is_system=self._is_system)

    @property
    def system(self) -> "SystemReader":
        """Read-only access to the public system tables."""
        return SystemReader(self._transaction, self._calls, is_system=self._is_system)


class SystemReader:
    """`ctx.db.system`: `get`, `query`, `normalize_id` on the system tables of yours."""

    def __init__(self, transaction: Transaction, calls: ContextCalls, *, is_system: bool) -> None:
        self._reader = DatabaseReader(transaction, calls, is_system=True)
        self._transaction = transaction
        self._is_system = is_system

    def get(self, document_id: str, /) -> ContextCall[Document | None]:
        """A system document, or None."""
        is_text = isinstance(document_id, str)  # pyright: ignore[reportUnnecessaryIsInstance] # user input
        table = self._transaction.table_of(document_id) if is_text else None
        if table is not None:
            self._require(table.name)
        return self._reader.get(document_id)

    def query(self, table: str, /) -> Query:
        """Begin a query over a system table."""
        self._require(table)
        return self._reader.query(table)

    def normalize_id(self, table: str, text: str, /) -> str | None:
        """The id, if `text` is one of a document of that system table; else None."""
        self._require(table)
        return self._reader.normalize_id(table, text)

    def _require(self, table: str) -> None:
        if not self._is_system and table not in _PUBLIC_SYSTEM_TABLES:
            raise DeveloperError(
                "SystemTable",
                f"{table!r} can't be read through ctx.db.system; "
                f"available are {', '.join(sorted(_PUBLIC_SYSTEM_TABLES))}.",
            )


class DatabaseWriter(DatabaseReader):
    """Reads and writes of a mutation; all of them are committed together or not at all."""

    @property
    def without_rules(self) -> "DatabaseWriter":
        """The same database above the row rules: what it returns and changes is yours to judge."""
        return DatabaseWriter(self._transaction, self._calls, is_system=self._is_system)

    def insert(self, table: str, document: Mapping[str, Any], /) -> ContextCall[str]:
        """Add a document without _id and _creationTime; returns its id."""
        return self._calls.made("ctx.db.insert", self._insert(table, document))

    async def _insert(self, table: str, document: Mapping[str, Any]) -> str:
        self._require_writable(table)
        fields = _fields(document, "ctx.db.insert")
        for name in ("_id", "_creationTime"):
            if name in fields:
                raise DeveloperError(
                    "SystemFieldGiven",
                    f"ctx.db.insert: the document has {name!r}, which is made by the database; "
                    "leave it out.",
                )
        guard = self._guard(table)
        if guard is not None:
            await guard.require_insert(fields)
        return await self._transaction.insert(table, fields)

    def patch(self, document_id: str, fields: Mapping[str, Any], /) -> ContextCall[None]:
        """Set some fields; UNSET removes one."""
        return self._calls.made("ctx.db.patch", self._patch(document_id, fields))

    async def _patch(self, document_id: str, fields: Mapping[str, Any]) -> None:
        if not isinstance(fields, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
            raise _not_a_dict("ctx.db.patch", fields)
        removed = [name for name, value in fields.items() if value is MISSING]
        changed = {name: value for name, value in fields.items() if value is not MISSING}

        def patched(found: Document) -> Document:
            given = _fields(changed, "ctx.db.patch")
            self._require_same_system_fields(found, given, removed, "ctx.db.patch")
            return {
                name: value for name, value in {**found, **given}.items() if name not in removed
            }

        await self._change(document_id, "patch", "Update", patched)

    def replace(self, document_id: str, document: Mapping[str, Any], /) -> ContextCall[None]:
        """Give the document other fields; _id and _creationTime stay."""
        return self._calls.made("ctx.db.replace", self._replace(document_id, document))

    async def _replace(self, document_id: str, document: Mapping[str, Any]) -> None:
        fields = _fields(document, "ctx.db.replace")

        def replaced(found: Document) -> Document:
            self._require_same_system_fields(found, fields, (), "ctx.db.replace")
            return {**fields, "_id": found["_id"], "_creationTime": found["_creationTime"]}

        await self._change(document_id, "replace", "Replace", replaced)

    def delete(self, document_id: str, /) -> ContextCall[None]:
        """Remove the document."""
        return self._calls.made("ctx.db.delete", self._delete(document_id))

    async def _delete(self, document_id: str) -> None:
        await self._change(document_id, "delete", "Delete", lambda _: None)

    def restore(self, table: str, document: Mapping[str, Any], /) -> ContextCall[str]:
        """Add or replace a document that brings its own _id and _creationTime (imports only)."""
        return self._calls.made("ctx.db.restore", self._restore(table, document))

    async def _restore(self, table: str, document: Mapping[str, Any]) -> str:
        if not self._is_system:
            raise DeveloperError("SystemOnly", "ctx.db.restore is for imports; use insert.")
        return await self._transaction.restore(table, _fields(document, "ctx.db.restore"))

    async def _change(
        self,
        document_id: str,
        call: str,
        verb: str,
        change: Callable[[Document], Document | None],
    ) -> None:
        """Store what `change` makes of a document; None deletes it."""
        table = self._table_of_writable(document_id, f"ctx.db.{call}")
        guard = self._guard(table.name) if table is not None else None
        is_decided = False
        while not is_decided:
            found = await self._transaction.change(table, document_id) if table else None
            if table is None or found is None:
                raise _not_found(verb, document_id)
            document, version = found
            changed = change(document)
            is_decided = guard is None
            if guard is not None:
                pending = self._transaction.pending(document_id)
                if not await guard.shows(document):
                    raise _not_found(verb, document_id)
                await guard.require_modify(document, changed)
                # While rules read, another branch of a `gather` may have written the document.
                is_decided = self._transaction.pending(document_id) is pending
            if is_decided:
                self._transaction.write(table, version, document_id, changed)

    def _table_of_writable(self, document_id: str, call: str) -> TableInfo | None:
        if isinstance(document_id, str) and decode_id(document_id):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
            table = self._transaction.table_of(document_id)
            if table is not None:
                self._require_writable(table.name)
        return self._table_of(document_id, call)

    def _require_writable(self, table: str) -> None:
        if table.startswith("_") and not self._is_system:
            raise DeveloperError(
                "SystemTableReadOnly", "System tables (prefixed with `_`) are read-only."
            )

    def _require_same_system_fields(
        self, found: Document, given: Document, removed: Any, call: str
    ) -> None:
        for name in ("_id", "_creationTime"):
            if name in removed or (name in given and given[name] != found[name]):
                raise DeveloperError(
                    "SystemFieldChanged",
                    f"{call}: {name!r} of a document never changes; leave it out.",
                )


def _not_found(verb: str, document_id: str) -> DeveloperError:
    return DeveloperError("DocumentNotFound", f"{verb} on nonexistent document ID {document_id}")


def _fields(document: Mapping[str, Any], call: str) -> dict[str, Value]:
    if not isinstance(document, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
        raise _not_a_dict(call, document)
    fields = normalize(document)
    assert isinstance(fields, dict)
    return fields


def _not_a_dict(call: str, given: object) -> DeveloperError:
    return DeveloperError("InvalidDocument", f"{call} needs a dict, not {type(given).__name__}.")

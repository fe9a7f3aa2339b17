"""A transaction: reads at one snapshot with the run's own writes visible, and the writes to commit.

Methods are coroutines that wait for ReadRequest only. Table metadata is data: the row of each
touched table is in the read set, and the first insert into an unknown table writes its row.
"""

import math
from hashlib import blake2b

from syncline.commit.record import DocumentChange
from syncline.errors import DeveloperError
from syncline.index.index_definition import is_identifier
from syncline.index.key_range import KeyRange, merge
from syncline.limits import IDENTIFIER_CHARACTERS_MAX
from syncline.ports import RangeRead
from syncline.schema.catalog import FIRST_USER_TABLE, TABLES, Catalog, TableInfo, name_range
from syncline.schema.conformance import document_failure, structure_failure
from syncline.transaction.range_scan import RangeScan, TrackedRange
from syncline.transaction.read_request import ReadRequest
from syncline.transaction.usage import Usage
from syncline.transaction.write_set import PendingWrite, Savepoint, WriteSet
from syncline.values import wire_json
from syncline.values.document_id import decode_id, encode_id
from syncline.values.value import Value


class Transaction:
    """One run's reads and writes."""

    def __init__(self, catalog: Catalog, *, now_ns: int, seed: int) -> None:
        self.catalog = catalog
        self.usage = Usage()
        self._writes = WriteSet()
        self._points: set[bytes] = set()
        self._ranges: list[KeyRange] = []
        self._tracked: list[TrackedRange] = []
        self._names: set[str] = set()
        self._now_ns = now_ns
        self._seed = seed.to_bytes(32, "big")
        self._ids = 0
        self._creation_time = now_ns / 1e6

    # The read set

    def add_range(self, key_range: KeyRange) -> None:
        """Something outside of documents was read: a module's row, an environment variable's."""
        self._ranges.append(key_range)

    def read_ranges(self) -> tuple[KeyRange, ...]:
        """Everything that the run's outcome depends on, merged."""
        return merge(
            [
                *self._ranges,
                *[name_range(name) for name in self._names],
                *[KeyRange(key, key + b"\x00") for key in self._points],
                *[KeyRange(tracked.lo, tracked.hi) for tracked in self._tracked],
            ]
        )

    # Tables

    def table(self, name: str) -> TableInfo | None:
        """A table by name; its row is in the read set from now on, also if there is none."""
        if not name.startswith("_"):
            self._names.add(name)
        return self.catalog.table(name)

    def table_of(self, document_id: str) -> TableInfo | None:
        """The table that an id belongs to; None if the id is malformed or the table unknown."""
        decoded = decode_id(document_id)
        if decoded is None:
            return None
        table = self.catalog.table_by_number(decoded[0])
        if table is not None and not table.name.startswith("_"):
            self._names.add(table.name)
        return table

    async def _table_for_insert(self, name: str) -> TableInfo:
        table = self.table(name)
        if table is not None:
            return table
        if not is_identifier(name) or name.startswith("_"):
            raise DeveloperError(
                "InvalidTableName",
                f"{name!r} can't name a table: use letters, digits and underscores (at most "
                f"{IDENTIFIER_CHARACTERS_MAX}), not starting with an underscore.",
            )
        row: dict[str, Value] = {
            "name": name,
            "number": await self._next_table_number(),
            "nextOrdinal": 2,
            "indexes": [],
            "validator": None,
            "pendingValidator": None,
        }
        document_id = await self._insert(TABLES, row)
        row = {"_id": document_id, **row}
        self.catalog = self.catalog.with_rows({document_id: row}, self.catalog.version)
        table = self.catalog.table(name)
        assert table is not None
        return table

    async def _next_table_number(self) -> int:
        prefix = TABLES.indexes["by_number"].index_id
        scan = self.scan(KeyRange(prefix, prefix + b"\xff"), reverse=True, wanted=1)
        row = await scan.next_row()
        if row is None:
            return FIRST_USER_TABLE
        newest = wire_json.decode(row[1])
        assert isinstance(newest, dict)
        number = newest["number"]
        assert isinstance(number, int)
        return number + 1

    # Reading

    async def get(self, table: TableInfo, document_id: str) -> bytes | None:
        """A document's JSON as this run sees it."""
        self.usage.read_range()
        pending = self._writes.get(document_id)
        if pending is not None:
            document = pending.after
        else:
            version = await self._stored(table, document_id)
            document = version[0] if version else None
        if document is not None:
            self.usage.read_document(len(document))
        return document

    async def _stored(self, table: TableInfo, document_id: str) -> tuple[bytes, int] | None:
        key = by_id_key(table, document_id)
        self._points.add(key)
        (page,) = await ReadRequest((RangeRead(key, key + b"\x00", 1),))
        if not page.rows:
            return None
        row = page.rows[0]
        return row.document, row.ts

    def scan(self, key_range: KeyRange, *, reverse: bool, wanted: int | None) -> RangeScan:
        """Begin to read a range; `wanted`: about how many rows, None if unknown."""
        scan = RangeScan(key_range, self._writes, reverse=reverse, wanted=wanted)
        self._tracked.append(scan.tracked)
        return scan

    # Writing

    async def insert(self, table_name: str, fields: dict[str, Value]) -> str:
        """Add a document; returns its id. DeveloperError when it doesn't conform."""
        table = await self._table_for_insert(table_name)
        return await self._insert(table, fields)

    async def _insert(self, table: TableInfo, fields: dict[str, Value]) -> str:
        document_id = encode_id(table.number, self._new_internal_id())
        document: dict[str, Value] = {
            **fields,
            "_id": document_id,
            "_creationTime": self._creation_time,
        }
        # Each insert of a run is strictly newer than the one before (convex-protocol 2.4).
        self._creation_time = math.nextafter(self._creation_time, math.inf)
        self._put(table, document_id, PendingWrite(table.number, None, 0, (), None, ()), document)
        return document_id

    async def restore(self, table_name: str, document: dict[str, Value]) -> str:
        """Add a document that brings its own _id and _creationTime (an import)."""
        table = await self._table_for_insert(table_name)
        document_id = str(document["_id"])
        existing = await self._version(table, document_id)
        empty = PendingWrite(table.number, None, 0, (), None, ())
        self._put(table, document_id, existing or empty, document)
        return document_id

    async def change(
        self, table: TableInfo, document_id: str
    ) -> tuple[dict[str, Value], PendingWrite] | None:
        """The document to change, decoded anew, for `write`; None if it does not exist."""
        version = await self._version(table, document_id)
        if version is None or version.after is None:
            return None
        self.usage.read_document(len(version.after))
        return decode_document(version.after), version

    async def _version(self, table: TableInfo, document_id: str) -> PendingWrite | None:
        """What is known of a document: its pending write, or one that leaves it as it is."""
        self.usage.read_range()
        pending = self._writes.get(document_id)
        if pending is not None:
            return pending
        stored = await self._stored(table, document_id)
        if stored is None:
            return None
        encoded, ts = stored
        keys = table.keys(decode_document(encoded), document_id)
        return PendingWrite(table.number, encoded, ts, keys, encoded, keys)

    def write(
        self,
        table: TableInfo,
        version: PendingWrite,
        document_id: str,
        document: dict[str, Value] | None,
    ) -> None:
        """Store what `change` returned in its new form; None deletes."""
        self._put(table, document_id, version, document)

    def _put(
        self,
        table: TableInfo,
        document_id: str,
        version: PendingWrite,
        document: dict[str, Value] | None,
    ) -> None:
        encoded: bytes | None = None
        keys: tuple[bytes, ...] = ()
        if document is not None:
            encoded = wire_json.encode(document)
            self._require_conformance(table, document)
            keys = table.keys(document, document_id)
        self.usage.write_document(len(encoded or b""))
        self._writes.put(
            document_id,
            PendingWrite(
                table.number, version.before, version.before_ts, version.keys_before, encoded, keys
            ),
        )

    def _require_conformance(self, table: TableInfo, document: dict[str, Value]) -> None:
        failure = structure_failure(document)
        if failure is not None:
            raise DeveloperError(
                "InvalidDocument", f'Can\'t store this in table "{table.name}": {failure}'
            )
        failure = document_failure(document, table.validator, self._name_of)
        if failure is not None:
            raise DeveloperError(
                "SchemaValidationFailed",
                f'Failed to insert or update a document in table "{table.name}" because it does '
                f"not match the schema: {failure}",
            )

    def _name_of(self, number: int) -> str | None:
        return self.catalog.name_of(number)

    def _new_internal_id(self) -> bytes:
        """16 bytes: coarse time for locality, then 10 that no other run can make."""
        self._ids += 1
        unique = blake2b(self._ids.to_bytes(8, "big"), key=self._seed, digest_size=10).digest()
        return (self._now_ns // 1_000_000).to_bytes(6, "big") + unique

    # Sub-transactions

    def savepoint(self) -> tuple[Savepoint, Catalog]:
        """Where a nested mutation begins."""
        return self._writes.savepoint(), self.catalog

    def roll_back(self, savepoint: tuple[Savepoint, Catalog]) -> None:
        """Take the nested mutation's writes back; what it read stays in the read set."""
        writes, self.catalog = savepoint
        self._writes.roll_back(writes)

    def changes(self) -> tuple[DocumentChange, ...]:
        """What to commit."""
        return self._writes.changes()


def by_id_key(table: TableInfo, document_id: str) -> bytes:
    """The document's key in the table's by_id index: ids have no NUL, so no escapes."""
    return table.all_indexes[0].index_id + b"\x10" + document_id.encode() + b"\x00"


def decode_document(encoded: bytes) -> dict[str, Value]:
    """A document as functions see it: _creationTime is always a float."""
    document = wire_json.decode(encoded)
    assert isinstance(document, dict)
    document["_creationTime"] = float(document["_creationTime"])  # type: ignore[arg-type] # always a number
    return document

"""A transaction: reads at one snapshot with the run's own writes visible, and the writes to commit.

Methods are coroutines that wait for ReadRequest only. Table metadata is data: the row of each
touched table is in the read set, and the first insert into an unknown table writes its row.
"""

import math
from hashlib import blake2b

from syncline.commit.record import DocumentChange
from syncline.errors import DeveloperError
from syncline.index.index_definition import FIRST_USER_ORDINAL, is_identifier
from syncline.index.key_encoding import values_range
from syncline.index.key_range import KeyRange
from syncline.limits import IDENTIFIER_CHARACTERS_MAX, TABLES_MAX
from syncline.ports import RangeRead
from syncline.schema.catalog import (
    FIRST_USER_TABLE,
    TABLES,
    Catalog,
    TableInfo,
    too_many_tables,
)
from syncline.schema.conformance import document_failure, structure_failure
from syncline.transaction.range_scan import RangeScan
from syncline.transaction.read_request import ReadRequest
from syncline.transaction.read_set import ReadSet
from syncline.transaction.usage import Usage
from syncline.transaction.write_set import PendingWrite, WriteSet
from syncline.values import wire_json
from syncline.values.document_id import decode_id, encode_id
from syncline.values.value import Value


class Transaction:
    """One run's reads and writes."""

    def __init__(self, catalog: Catalog, *, now_ns: int, seed: int) -> None:
        """`now_ns`: the run's frozen clock; `seed`: 0 to 2^256 - 1, another one for every run."""
        self.catalog = catalog
        self.usage = Usage()
        self.reads = ReadSet()
        self.open_savepoints = 0
        """How many sub-transactions are going on, each inside the one before."""
        self._writes = WriteSet()
        self._now_ns = now_ns
        self._seed = seed.to_bytes(32, "big")
        self._ids = 0
        self._creation_time = now_ns / 1e6

    # Tables

    def table(self, name: str) -> TableInfo | None:
        """A table by name; its row is in the read set from now on, also if there is none."""
        self.reads.add_table(name)
        return self.catalog.table(name)

    def table_of(self, document_id: str) -> TableInfo | None:
        """The table that an id belongs to; None if the id is malformed or the table unknown."""
        decoded = decode_id(document_id)
        if decoded is None or self.name_of(decoded[0]) is None:
            return None
        return self.catalog.table_by_number(decoded[0])

    def name_of(self, number: int) -> str | None:
        """The name of a table by its number; its row is in the read set from now on."""
        name = self.catalog.name_of(number)
        if name is None:
            self.reads.add_unknown_number(number)
        else:
            self.reads.add_table(name)
        return name

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
        number = await self._next_table_number()
        # Another insert of one `gather` may have made it meanwhile.
        if self.catalog.table(name) is None:
            if len(self.catalog.user_tables()) >= TABLES_MAX:
                raise too_many_tables(TABLES_MAX + 1)
            self._insert(
                TABLES,
                {
                    "name": name,
                    "number": number,
                    "nextOrdinal": FIRST_USER_ORDINAL,
                    "indexes": [],
                    "validator": None,
                    "pendingValidator": None,
                },
            )
        table = self.catalog.table(name)
        assert table is not None, "_put keeps the catalog in step with the rows of _tables"
        return table

    async def _next_table_number(self) -> int:
        by_number = values_range(TABLES.indexes["by_number"].index_id)
        row = await self.scan(by_number, reverse=True, wanted=1).next_row()
        if row is None:
            return FIRST_USER_TABLE
        number = decode_document(row[1])["number"]
        assert isinstance(number, int)
        return max(FIRST_USER_TABLE, number + 1)

    # Reading

    async def get(self, table: TableInfo, document_id: str) -> bytes | None:
        """A document's JSON as this run sees it."""
        self.usage.read_range()
        version = await self._version(table, document_id)
        document = version.after if isinstance(version, PendingWrite) else version and version[0]
        if document is not None:
            self.usage.read_document(len(document))
        return document

    async def _version(
        self, table: TableInfo, document_id: str
    ) -> PendingWrite | tuple[bytes, int] | None:
        """This run's write of a document, or what is stored of it: JSON and ts; None: neither."""
        pending = self._writes.get(document_id)
        if pending is not None:
            return pending
        key = by_id_key(table, document_id)
        self.reads.add_key(key)
        (page,) = await ReadRequest((RangeRead(key, key + b"\x00", 1),))
        # While this waited, another branch of one `gather` may have written the document.
        pending = self._writes.get(document_id)
        if pending is not None or not page.rows:
            return pending
        row = page.rows[0]
        return row.document, row.ts

    def scan(self, key_range: KeyRange, *, reverse: bool, wanted: int | None) -> RangeScan:
        """Begin to read a range; `wanted`: about how many rows, None if unknown."""
        scan = RangeScan(key_range, self._writes, reverse=reverse, wanted=wanted)
        self.reads.track(scan.tracked)
        return scan

    def written(self, table: TableInfo) -> list[tuple[str, bytes | None]]:
        """This run's documents of a table by id, as it leaves them so far; None: deleted."""
        return [(each, write.after) for each, write in self._writes.of_table(table.number)]

    # Writing

    async def insert(self, table_name: str, fields: dict[str, Value]) -> str:
        """Add a document; returns its id. DeveloperError when it doesn't conform."""
        return self._insert(await self._table_for_insert(table_name), fields)

    def _insert(self, table: TableInfo, fields: dict[str, Value]) -> str:
        document_id = encode_id(table.number, self._new_internal_id())
        document = {**fields, "_id": document_id, "_creationTime": self._creation_time}
        # Each insert of a run is strictly newer than the one before (convex-protocol 2.4).
        self._creation_time = math.nextafter(self._creation_time, math.inf)
        self._put(table, document_id, _absent(table), document)
        return document_id

    async def restore(self, table_name: str, document: dict[str, Value]) -> str:
        """Add or replace a document that brings its own _id and _creationTime (an import).

        DeveloperError: the id belongs to another table, or the time is no number.
        """
        table = await self._table_for_insert(table_name)
        document_id, created = document.get("_id"), document.get("_creationTime")
        decoded = decode_id(document_id) if isinstance(document_id, str) else None
        if decoded is None or decoded[0] != table.number:
            raise DeveloperError(
                "InvalidId", f"{document_id!r} is not the id of a document of {table_name!r}."
            )
        assert isinstance(document_id, str)
        if isinstance(created, bool) or not isinstance(created, int | float):
            raise DeveloperError(
                "InvalidCreationTime", f"_creationTime must be a number, not {created!r}."
            )
        version = await self._changeable(table, document_id)
        self._put(table, document_id, version or _absent(table), document)
        return document_id

    async def change(
        self, table: TableInfo, document_id: str
    ) -> tuple[dict[str, Value], PendingWrite] | None:
        """The document to change, decoded anew, for `write`; None if it does not exist.

        Nothing may be awaited between the two: another branch of one `gather` could write.
        """
        version = await self._changeable(table, document_id)
        if version is None or version.after is None:
            return None
        self.usage.read_document(len(version.after))
        return decode_document(version.after), version

    def pending(self, document_id: str) -> PendingWrite | None:
        """This run's write of a document so far."""
        return self._writes.get(document_id)

    async def _changeable(self, table: TableInfo, document_id: str) -> PendingWrite | None:
        """The pending write of a document, or one that leaves it as it is."""
        self.usage.read_range()
        version = await self._version(table, document_id)
        if version is None or isinstance(version, PendingWrite):
            return version
        encoded, ts = version
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
        if table.number == TABLES.number:
            self.catalog = self.catalog.with_rows({document_id: document}, self.catalog.version)

    def _require_conformance(self, table: TableInfo, document: dict[str, Value]) -> None:
        failure = structure_failure(document)
        if failure is not None:
            raise DeveloperError(
                "InvalidDocument", f'Can\'t store this in table "{table.name}": {failure}'
            )
        failure = document_failure(document, table.validator, self.name_of)
        if failure is not None:
            raise DeveloperError(
                "SchemaValidationFailed",
                f'Failed to insert or update a document in table "{table.name}" because it does '
                f"not match the schema: {failure}",
            )

    def _new_internal_id(self) -> bytes:
        """16 bytes: coarse time for locality, then 10 that no other run can make."""
        self._ids += 1
        unique = blake2b(self._ids.to_bytes(8, "big"), key=self._seed, digest_size=10).digest()
        return (self._now_ns // 1_000_000).to_bytes(6, "big") + unique

    # Sub-transactions

    def open_savepoint(self) -> tuple[int, Catalog]:
        """Begin a sub-transaction; it ends by `release` or `roll_back`, innermost first."""
        self.open_savepoints += 1
        return self._writes.savepoint(), self.catalog

    def release(self) -> None:
        """End a sub-transaction; its writes are now the surrounding one's."""
        self.open_savepoints -= 1

    def roll_back(self, savepoint: tuple[int, Catalog]) -> None:
        """End a sub-transaction without its writes; what it read stays in the read set."""
        self.open_savepoints -= 1
        writes, self.catalog = savepoint
        self._writes.roll_back(writes)

    def changes(self) -> tuple[DocumentChange, ...]:
        """What to commit."""
        return self._writes.changes()


def _absent(table: TableInfo) -> PendingWrite:
    return PendingWrite(table.number, None, 0, (), None, ())


def by_id_key(table: TableInfo, document_id: str) -> bytes:
    """The document's key in the table's by_id index: ids have no NUL, so no escapes."""
    return table.all_indexes[0].index_id + b"\x10" + document_id.encode() + b"\x00"


def decode_document(encoded: bytes) -> dict[str, Value]:
    """A document as functions see it: _creationTime is always a float."""
    document = wire_json.decode(encoded)
    assert isinstance(document, dict)
    document["_creationTime"] = float(document["_creationTime"])  # type: ignore[arg-type] # always a number
    return document

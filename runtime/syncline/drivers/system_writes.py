"""Changes of system documents made by the server itself: reads and writes as one optimistic draft.

A push is a commit like any other (protocols.md rule 21), so it goes through the committer with a
read set and write keys; this is the small transaction it uses, without any user code.
"""

from collections.abc import Callable
from dataclasses import dataclass

from syncline.commit.record import DocumentChange
from syncline.drivers.replica import Replica
from syncline.index.index_definition import BY_ID, index_id
from syncline.index.key_encoding import prefix_successor
from syncline.index.key_range import KeyRange
from syncline.ports import RangeRead
from syncline.schema.catalog import SYSTEM_TABLES, TableInfo
from syncline.values import wire_json
from syncline.values.document_id import encode_id
from syncline.values.value import Value

_BY_NUMBER = {table.number: table for table in SYSTEM_TABLES}


@dataclass(frozen=True, slots=True)
class SystemRow:
    """A system document as it was read."""

    document: dict[str, Value]
    encoded: bytes
    ts: int

    @property
    def document_id(self) -> str:
        """The document's id."""
        return str(self.document["_id"])


class SystemWrites:
    """Reads of whole system tables at `begin_ts` and the changes to commit on top of them."""

    def __init__(
        self, replica: Replica, begin_ts: int, now_ns: int, new_id: Callable[[], bytes]
    ) -> None:
        self._reads = replica.reads(begin_ts)
        self._creation_time = now_ns / 1e6
        self._new_id = new_id
        self.begin_ts = begin_ts
        self.read_ranges: list[KeyRange] = []
        self.changes: list[DocumentChange] = []

    async def rows(self, table: int) -> list[SystemRow]:
        """Every document of a system table; all of it is in the read set."""
        lo = index_id(table, BY_ID)
        hi = prefix_successor(lo)
        assert hi is not None
        self.read_ranges.append(KeyRange(lo, hi))
        rows: list[SystemRow] = []
        done = False
        while not done:
            (page,) = await self._reads.read([RangeRead(lo, hi, 1000)])
            for row in page.rows:
                document = wire_json.decode(row.document)
                assert isinstance(document, dict)
                rows.append(SystemRow(document, row.document, row.ts))
            done = page.done
            if not done:
                lo = page.rows[-1].key + b"\x00"
        return rows

    def insert(self, table: int, fields: dict[str, Value]) -> None:
        """Add a document."""
        document_id = encode_id(table, self._new_id())
        document: dict[str, Value] = {
            "_id": document_id,
            "_creationTime": self._creation_time,
            **fields,
        }
        self._change(_BY_NUMBER[table], document_id, None, document)

    def replace(self, row: SystemRow, table: int, fields: dict[str, Value]) -> None:
        """Give a document other fields; an equal one is left alone."""
        document: dict[str, Value] = {
            "_id": row.document["_id"],
            "_creationTime": row.document["_creationTime"],
            **fields,
        }
        if wire_json.encode(document) != row.encoded:
            self._change(_BY_NUMBER[table], row.document_id, row, document)

    def delete(self, row: SystemRow, table: int) -> None:
        """Remove a document."""
        self._change(_BY_NUMBER[table], row.document_id, row, None)

    def _change(
        self,
        table: TableInfo,
        document_id: str,
        before: SystemRow | None,
        after: dict[str, Value] | None,
    ) -> None:
        self.changes.append(
            DocumentChange(
                document_id=document_id,
                table=table.number,
                before=before.encoded if before else None,
                after=wire_json.encode(after) if after is not None else None,
                before_ts=before.ts if before else 0,
                keys_before=table.keys(before.document, document_id) if before else (),
                keys_after=table.keys(after, document_id) if after is not None else (),
            )
        )


def fields_of(document: dict[str, Value]) -> dict[str, Value]:
    """A document without its system fields."""
    return {name: value for name, value in document.items() if not name.startswith("_")}

"""What the contract of the document store runs against, and entries and commits to put into it."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from syncline.aws.control import Control
from syncline.aws.dynamo_documents import DynamoDocuments
from syncline.commit.record import Commit, DocumentChange
from syncline.index.index_definition import index_id
from syncline.index.key_encoding import encode_value, prefix_successor
from syncline.local.memory_documents import MemoryDocuments
from syncline.ports import Documents, RangeRead, StoredPage, StoredRow
from syncline.values.value import Value
from tests.contract.moto_tables import create_table, moto_table

TABLE = 10_001

OpenDocuments = Callable[[], AbstractAsyncContextManager[Documents]]
"""Opens an empty store; it is gone when the block ends."""


@asynccontextmanager
async def memory_documents() -> AsyncIterator[Documents]:
    yield MemoryDocuments()


DOCUMENTS_KEYS = {"p": "B", "k": "B"}
"""Key attributes of the documents table and their types."""


@asynccontextmanager
async def dynamo_documents() -> AsyncIterator[Documents]:
    """On moto; tombstones may go at once."""
    with moto_table("documents", DOCUMENTS_KEYS):
        create_table("control", {"name": "S"})
        yield DynamoDocuments("documents", Control("control"), tombstone_seconds=0)


DOCUMENTS: dict[str, OpenDocuments] = {"memory": memory_documents, "dynamodb": dynamo_documents}
"""Every adapter by name: a new one is added here."""


def key(value: Value, document_id: str = "", *, ordinal: int = 2, table: int = TABLE) -> bytes:
    """The entry key of a value (and the document's id) in an index."""
    ending = encode_value(document_id) if document_id else b""
    return index_id(table, ordinal) + encode_value(value) + ending


def whole(ordinal: int = 2, table: int = TABLE) -> tuple[bytes, bytes]:
    """The bounds of an index."""
    lo = index_id(table, ordinal)
    hi = prefix_successor(lo)
    assert hi is not None
    return lo, hi


def change(
    document_id: str,
    after: bytes | None,
    keys_after: Iterable[bytes] = (),
    before: tuple[int, bytes, Iterable[bytes]] | None = None,
) -> DocumentChange:
    """A change from `before` as (ts, document, keys) to `after`; None: absent."""
    before_ts, document, keys_before = before or (0, None, ())
    return DocumentChange(
        document_id, TABLE, document, after, before_ts, tuple(keys_before), tuple(keys_after)
    )


def commit(ts: int, *changes: DocumentChange, previous_ts: int = 0) -> Commit:
    """A commit as it is read from the tail."""
    return Commit(ts, ts + 1, previous_ts, changes, "session", ts, b"{}")


async def page_of(
    store: Documents, lo: bytes, hi: bytes, limit: int = 1000, *, reverse: bool = False
) -> StoredPage:
    """One page."""
    (page,) = await store.read([RangeRead(lo, hi, limit, reverse)])
    assert len(page.rows) <= limit
    assert page.done or page.rows, "a page that is not the last one leads on"
    return page


async def rows_of(
    store: Documents, lo: bytes, hi: bytes, limit: int = 1000, *, reverse: bool = False
) -> Sequence[StoredRow]:
    """All of a range, page after page, as a reader goes through it."""
    rows: list[StoredRow] = []
    while True:
        page = await page_of(store, lo, hi, limit, reverse=reverse)
        rows += page.rows
        if page.done:
            return rows
        if reverse:
            hi = page.rows[-1].key
        else:
            lo = page.rows[-1].key + b"\x00"

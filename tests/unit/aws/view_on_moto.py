"""A view of documents on moto, the requests that reach it, and a log for it to follow."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import boto3
from botocore import handlers
from botocore.awsrequest import AWSResponse

from syncline.aws.control import Control
from syncline.aws.dynamo_documents import DynamoDocuments
from syncline.aws.view_rebuild import Tables
from syncline.commit.record import Appended, Commit, CommitRequest, DocumentChange, Position
from syncline.drivers.follower import View
from syncline.ports import Documents, StoredRow
from syncline.simulated.memory_log import MemoryLog
from tests.contract.documents_backends import DOCUMENTS_KEYS, change, key, rows_of, whole
from tests.contract.moto_tables import create_table, make_clients_anew

START = Position(0, 0)
MINUTE_NS = 60 * 10**9

Request = Mapping[str, Any]
"""Parameters of a call as the SDK has them on the wire."""


class SteppedClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.ns = 1_800_000_000 * 10**9

    def now_ns(self) -> int:
        return self.ns


class Wire:
    """Sees every DynamoDB request before it is signed; may answer one itself, by `intercept`."""

    def __init__(self) -> None:
        self.operations: list[str] = []
        self.intercept: Callable[[str, Request], str | None] = lambda *_: None
        """Takes operation and body (JSON); returns an error's code, or None: let it pass."""

    def count(self, operation: str) -> int:
        return self.operations.count(operation)

    def on_call(self, model: Any, params: Request, **_: object) -> object:
        self.operations.append(model.name)
        code = self.intercept(model.name, params)
        if code is None:
            return None
        answer = AWSResponse("https://dynamodb.test", 400, {}, None)
        return answer, {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {}}


@contextmanager
def tapped() -> Iterator[Wire]:
    """A wire that clients made while the block runs go through."""
    wire = Wire()
    handler = ("before-call.dynamodb", wire.on_call)
    handlers.BUILTIN_HANDLERS.append(handler)
    make_clients_anew()
    try:
        yield wire
    finally:
        handlers.BUILTIN_HANDLERS.remove(handler)
        make_clients_anew()


class Deployment:
    """Tables, control item, clock and a log of one deployment."""

    def __init__(self) -> None:
        create_table("documents", DOCUMENTS_KEYS)
        create_table("control", {"name": "S"})
        self.clock = SteppedClock()
        self.control = Control("control")
        self.tables = Tables("documents", "control", clock_ns=self.clock.now_ns)
        self.log = MemoryLog(self.clock)
        self.documents: dict[str, tuple[int, bytes, tuple[bytes, ...]]] = {}
        self.commits: list[Commit] = []

    def view(self) -> DynamoDocuments:
        """Another process's view."""
        return self.tables.view(self.control)

    async def commit(self, **documents: object) -> Commit:
        """Give each named document a value that it is indexed by, or delete it (None)."""
        changes = [self._change(name, value) for name, value in documents.items()]
        number = len(self.commits) + 1
        request = CommitRequest(
            0, (), tuple(changes), "s", number, "", b"{}", b"{}", False, 10 * number, number
        )
        head = self.position
        reply = await self.log.append([request], standing_on=head, exclusive=True)
        assert isinstance(reply, Appended)
        made = Commit(10 * number, number, head.ts, tuple(changes), "s", number, b"{}")
        self.commits.append(made)
        for each in changes:
            if each.after is not None:
                self.documents[each.document_id] = made.ts, each.after, each.keys_after
        return made

    def _change(self, name: str, value: object) -> DocumentChange:
        before = self.documents.pop(name, None)
        if value is None:
            return change(name, None, (), before)
        document = value if isinstance(value, bytes) else b'{"v":"%s"}' % str(value).encode()
        text = str(value)[:2_000]
        keys = key(name, ordinal=0), key(text, name), key(text * 5, name, ordinal=3)
        return change(name, document, keys, before)

    @property
    def position(self) -> Position:
        """The head of the log."""
        return position_of(self.commits[-1]) if self.commits else START

    def expected(self) -> dict[bytes, StoredRow]:
        """The entries that the newest documents have."""
        return {
            each: StoredRow(each, ts, document)
            for ts, document, keys in self.documents.values()
            for each in keys
        }


def position_of(commit: Commit) -> Position:
    return Position(commit.ts, commit.nonce)


async def entries_of(view: Documents) -> dict[bytes, StoredRow]:
    """Every live entry of the table's indexes, as readers find them."""
    return {
        row.key: row
        for ordinal in (0, 2, 3)
        for row in await rows_of(view, *whole(ordinal))
        if row.document is not None
    }


async def apply_all(view: View, commits: Sequence[Commit]) -> None:
    """What a follower does whose pages are one commit long."""
    for each in commits:
        await view.apply([each])


def stored_items() -> list[dict[str, dict[str, Any]]]:
    """Everything in the documents table."""
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName="documents")
    return [item for page in pages for item in page["Items"]]

"""Conditional writes of index entries, side by side, while their batch is young (rule 13).

Every write is one request that may be made twice: a put on the condition that what is stored is
older, a delete on the condition that it removes exactly what was meant. A condition that fails
says that the write, or a newer one, has been done.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final, TypeVar

from pynamodb.exceptions import DeleteError, PutError, UpdateError
from pynamodb.expressions.condition import Condition

from syncline.aws.document_items import PartName, entry_item, part_items
from syncline.aws.document_table import DocumentItem
from syncline.aws.dynamo_batches import PARALLEL_CALLS
from syncline.aws.dynamo_retries import patiently
from syncline.errors import UnavailableError
from syncline.limits import BATCH_AGE_SECONDS_MAX
from syncline.ports import StoredRow

_CONDITION_FAILED: Final = "ConditionalCheckFailedException"

_T = TypeVar("_T")


class BatchAge:
    """Since when a batch has been under way; asked directly before each request is signed."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._begin = clock_ns()
        self._is_over = False

    def end(self) -> None:
        """Nothing more is to be signed."""
        self._is_over = True

    def check(self) -> None:
        """Raises UnavailableError("BatchTooOld"): read again what is to be written."""
        # A clock that was set back tells nothing about the age.
        if self._is_over or not 0 <= self._clock_ns() - self._begin < BATCH_AGE_SECONDS_MAX * 10**9:
            raise UnavailableError(
                "BatchTooOld",
                f"This batch was not written within {BATCH_AGE_SECONDS_MAX} seconds: what is left "
                "of it may be out of date and is not written. Begin again at the view's position.",
            )


class EntryWriter:
    """Writes into one table. Calls raise BatchTooOld and what `patiently` raises.

    No thread outlives a call: one that fails or is cancelled waits for the requests in flight.
    """

    def __init__(
        self, model: type[DocumentItem], *, clock_ns: Callable[[], int], tombstone_seconds: int
    ) -> None:
        self._model = model
        self._clock_ns = clock_ns
        self._tombstone_seconds = tombstone_seconds

    async def write(
        self,
        generation: int,
        rows: Sequence[StoredRow],
        superseded: Collection[PartName],
        age: BatchAge,
    ) -> Sequence[DocumentItem]:
        """Put rows and tombstones, each unless a newer one is stored; returns tombstones put.

        A key occurs once in `rows`. Parts go before the entries that name them (rule 11), and
        `superseded` parts get an expiry.
        """
        expires = self._clock_ns() // 10**9 + self._tombstone_seconds
        parts = part_items(self._model, generation, rows, expires=expires)
        await to_the_end(
            [partial(_put, part, DocumentItem.k.does_not_exist(), age) for part in parts], age
        )
        items = [entry_item(self._model, generation, row, expires=expires) for row in rows]
        put = await to_the_end(
            [
                partial(_put, item, _is_due(item, is_tombstone=row.document is None), age)
                for item, row in zip(items, rows, strict=True)
            ],
            age,
        )
        await to_the_end([partial(self._expire, name, expires, age) for name in superseded], age)
        return [
            item
            for item, row, done in zip(items, rows, put, strict=True)
            if done and row.document is None
        ]

    async def delete(self, items: Sequence[DocumentItem], age: BatchAge) -> None:
        """Remove items whatever they hold."""
        await to_the_end([partial(_delete, item, None, age) for item in items], age)

    async def delete_tombstones(self, items: Sequence[DocumentItem], age: BatchAge) -> None:
        """Remove tombstones that are still the very ones that were put."""
        fields = DocumentItem
        await to_the_end(
            [
                partial(_delete, item, (fields.t == item.t) & (fields.x == item.x), age)
                for item in items
            ],
            age,
        )

    def _expire(self, name: PartName, expires: int, age: BatchAge) -> None:
        age.check()
        fields = DocumentItem
        try:
            self._model(*name).update(
                [fields.x.set(expires)], fields.k.exists() & fields.x.does_not_exist()
            )
        except UpdateError as error:
            if error.cause_response_code != _CONDITION_FAILED:
                raise


def _is_due(item: DocumentItem, *, is_tombstone: bool) -> Condition:
    fields = DocumentItem
    is_newer = fields.k.does_not_exist() | (fields.t < item.t)
    if not is_tombstone:
        return is_newer
    # Whoever moves the watermark relies on this tombstone for as long as others' puts may still
    # arrive, so one that lies there already has to last as long as a new one.
    return is_newer | ((fields.t == item.t) & (fields.x < item.x))


def _put(item: DocumentItem, condition: Condition, age: BatchAge) -> bool:
    age.check()
    try:
        item.save(condition)
    except PutError as error:
        if error.cause_response_code != _CONDITION_FAILED:
            raise
        return False
    return True


def _delete(item: DocumentItem, condition: Condition | None, age: BatchAge) -> None:
    age.check()
    try:
        item.delete(condition)
    except DeleteError as error:
        if error.cause_response_code != _CONDITION_FAILED:
            raise


async def to_the_end(calls: Sequence[Callable[[], _T]], age: BatchAge) -> list[_T]:
    """The results of all calls, in threads, some at once; returns and raises when all have ended.

    The first failure, or being cancelled, ends `age`: nothing is begun after it.
    """
    results: dict[int, _T] = {}
    failures: list[Exception] = []
    todo = iter(enumerate(calls))

    async def work() -> None:
        try:
            for at, call in todo:
                results[at] = await patiently(call)
        except Exception as error:
            failures.append(error)
            age.end()

    workers = [asyncio.create_task(work()) for _ in range(min(PARALLEL_CALLS, len(calls)))]
    cancelled: asyncio.CancelledError | None = None
    while pending := [worker for worker in workers if not worker.done()]:
        try:
            # Unlike gather, it cancels nobody: a thread can't be, and would go on unseen.
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
            age.end()
    for error in (cancelled, *failures):
        if error is not None:
            raise error
    return [results[at] for at in range(len(calls))]

"""Many calls of DynamoDB side by side, and many writes in batches, until all are done.

A batch's reply names the writes for which there was no room (aws-facts.md 4.1): those go into
another request after a pause, as a whole request that was throttled does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

from botocore.exceptions import ClientError
from pynamodb.exceptions import PutError
from pynamodb.models import Model

from syncline.aws.dynamo_retries import patiently

BATCH_ITEMS_MAX: Final = 25
"""Writes in one BatchWriteItem (aws-facts.md 4.1)."""

PARALLEL_CALLS: Final = 8
"""Calls in flight at once; ours, below the ten connections of a client's pool."""

_M = TypeVar("_M", bound=Model)


async def side_by_side(calls: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Make all calls, a few at a time; nothing runs any more when this ends.

    Raises the first failure, after which calls that had not begun may have been left out.
    """
    waiting = iter(calls)

    async def work() -> None:
        for call in waiting:
            await call()

    workers = (work() for _ in range(PARALLEL_CALLS))
    for failure in await asyncio.gather(*workers, return_exceptions=True):
        if failure is not None:
            raise failure


def batches(
    model: type[_M], *, puts: Sequence[_M] = (), deletes: Sequence[_M] = ()
) -> Iterator[Callable[[], Awaitable[None]]]:
    """Calls that make all of these writes, of no key twice; they raise what `patiently` raises."""
    for start in range(0, len(puts), BATCH_ITEMS_MAX):
        yield partial(patiently, _Batch(model, puts[start : start + BATCH_ITEMS_MAX], ()))
    for start in range(0, len(deletes), BATCH_ITEMS_MAX):
        yield partial(patiently, _Batch(model, (), deletes[start : start + BATCH_ITEMS_MAX]))


class _Batch(Generic[_M]):
    """The writes of one request that are not done yet; calling it makes them."""

    def __init__(self, model: type[_M], puts: Sequence[_M], deletes: Sequence[_M]) -> None:
        self._model = model
        self._puts = puts
        self._deletes = deletes

    def __call__(self) -> None:
        batch = self._model.batch_write(auto_commit=False)
        for item in self._puts:
            batch.save(item)
        for item in self._deletes:
            batch.delete(item)
        try:
            batch.commit()
        except PutError as error:
            if not batch.failed_operations:
                raise
            self._keep(batch.failed_operations)
            raise PutError("A batch had no room for some writes", _NO_ROOM) from error

    def _keep(self, left: Iterable[Mapping[str, Mapping[str, Any]]]) -> None:
        read = self._model.from_raw_data
        self._puts = [read(each["PutRequest"]["Item"]) for each in left if "PutRequest" in each]
        self._deletes = [
            read(each["DeleteRequest"]["Key"]) for each in left if "DeleteRequest" in each
        ]


_NO_ROOM: Final = ClientError(
    {"Error": {"Code": "ProvisionedThroughputExceededException"}}, "BatchWriteItem"
)
"""Why writes are left over, as a request of one item would say it."""

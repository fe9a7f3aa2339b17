"""Adapter of the port InterestStore on DynamoDB, for queries that are pairs (connection, number).

Each range of a query is an item, or a few (aws/interest_table.py); what items a query has is
listed in others, so that they can be removed. `register` returns when all of them are stored, and
`match` reads strongly: so a commit that is durable after a registration finds it (protocols.md
rule 17). What nobody removes expires some minutes after its connection must have ended.

A query is best registered once, under a number of its own: registered again, it keeps what it had
before until it is unregistered.
"""

import secrets
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Sequence
from functools import partial
from typing import Final, TypeAlias, cast

from pynamodb.pagination import ResultIterator

from syncline.aws.dynamo_batches import batches, side_by_side
from syncline.aws.dynamo_tables import CONNECTION_SECONDS, ITEM_BYTES_MAX, for_table, pages
from syncline.aws.interest_table import (
    InterestItem,
    Partition,
    bounds_of,
    keys_of_range,
    list_partition,
    list_parts,
    listed_keys,
    places_of_key,
    query_name,
)
from syncline.index.key_range import KeyRange

Query: TypeAlias = "tuple[str, int]"
"""A connection and the number of its read set, 0 to 2^64 - 1."""

QUERIES_MAX: Final = 1000
"""Where a match would ask more partitions, as for the keys of an import, it reads the whole table
instead; ours: about a second's work, and what ten thousand connections have in the table."""


class DynamoInterest:
    """The interests of one table. Calls raise what `patiently` raises."""

    def __init__(self, table: str, *, host: str | None = None, region: str | None = None) -> None:
        self._model = for_table(InterestItem, table, host, region)
        self._leaving: dict[Query, None] = {}
        self._has_client = False

    async def register(self, query: Hashable, ranges: Sequence[KeyRange]) -> None:
        """The query's interest from now on."""
        pair = cast("Query", query)
        if pair in self._leaving:
            await self._remove(pair)
            self._leaving.pop(pair, None)
        items = self._items(pair, ranges)
        # Of a registration that fails, what is stored and not listed stays until it expires.
        puts = [*self._lists(pair, items), *items]
        await self._all(batches(self._model, puts=puts))

    async def match(self, write_keys: Collection[bytes]) -> Collection[Query]:
        """Every query that has one of the keys in its ranges, read strongly."""
        found: set[Query] = set()
        keys = sorted(write_keys)
        inside: dict[Partition, list[bytes]] = {}
        last: dict[Partition, bytes] = {}
        for key in keys:
            for partition, greatest in places_of_key(key):
                inside.setdefault(partition, []).append(key)
                # Keys come in order, so the last one's place in a partition is the greatest.
                last[partition] = greatest
            if len(inside) > QUERIES_MAX:
                table = self._model.scan(InterestItem.lo.exists(), consistent_read=True)
                await self._collect(table, keys, found)
                return found
        await self._all(
            partial(self._collect, self._ranges_at(partition, last[partition]), wanted, found)
            for partition, wanted in inside.items()
        )
        return found

    def unregister(self, query: Hashable) -> None:
        """The query is no longer interested: `settle` removes it."""
        self._leaving[cast("Query", query)] = None

    async def settle(self) -> None:
        """Remove what has been unregistered; nothing of it runs any more when this ends.

        A handler awaits it before it ends. What could not be removed is tried again the next time.
        """
        leaving, self._leaving = self._leaving, {}
        try:
            await side_by_side(partial(self._remove, query) for query in leaving)
        except BaseException:
            self._leaving |= leaving
            raise

    # Writing

    def _items(self, query: Query, ranges: Iterable[KeyRange]) -> list[InterestItem]:
        """One item per key."""
        name = query_name(*query)
        items: dict[tuple[Partition, bytes], InterestItem] = {}
        expires = _expiry()
        for key_range in ranges:
            if key_range.lo >= key_range.hi:
                continue
            lo, hi = bounds_of(key_range)
            for key in keys_of_range(key_range, name):
                items[key] = self._model(
                    *key, lo=lo, hi=hi, connection=query[0], number=query[1], expires=expires
                )
        return list(items.values())

    def _lists(self, query: Query, items: Sequence[InterestItem]) -> list[InterestItem]:
        """Items that list others."""
        # A random name: a list never replaces the one of an earlier registration.
        name, partition = secrets.token_bytes(8), list_partition(query_name(*query))
        parts = list_parts(((item.partition, item.sort_key) for item in items), ITEM_BYTES_MAX)
        return [
            self._model(partition, name + number.to_bytes(4), listed=part, expires=_expiry())
            for number, part in enumerate(parts)
        ]

    async def _remove(self, query: Query) -> None:
        lists = self._model.query(list_partition(query_name(*query)), consistent_read=True)
        async for page in pages(self._model, lists):
            for part in page:
                listed = [self._model(*key) for key in listed_keys(part.listed)]
                await self._all(batches(self._model, deletes=listed))
            # Last, so that what is left can be removed when this fails in between.
            await self._all(batches(self._model, deletes=page))

    # Reading

    def _ranges_at(self, partition: Partition, last: bytes) -> ResultIterator[InterestItem]:
        return self._model.query(partition, InterestItem.sort_key <= last, consistent_read=True)

    async def _collect(
        self, ranges: ResultIterator[InterestItem], keys: Sequence[bytes], found: set[Query]
    ) -> None:
        """Add the queries of those ranges that hold one of `keys`, which are sorted."""
        now = time.time()
        async for page in pages(self._model, ranges):
            for item in page:
                # Expired items stay readable for days (aws-facts.md 4.5).
                if _holds(item, keys) and item.expires > now:
                    found.add((item.connection, int(item.number)))

    async def _all(self, calls: Iterable[Callable[[], Awaitable[None]]]) -> None:
        """Make all calls side by side; the very first one alone, as it makes the client."""
        waiting = iter(calls)
        if not self._has_client and (first := next(waiting, None)) is not None:
            await first()
            self._has_client = True
        await side_by_side(waiting)


def _holds(item: InterestItem, keys: Sequence[bytes]) -> bool:
    """Whether one of the sorted keys lies in a range."""
    at = bisect_left(keys, item.lo)
    hi = cast("bytes | None", item.hi)
    return at < len(keys) and (hi is None or keys[at] < hi)


def _expiry() -> int:
    return int(time.time()) + CONNECTION_SECONDS

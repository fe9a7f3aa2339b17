"""Adapter of the port Documents, and of the follower's View, on DynamoDB (protocols.md rules 9-15).

One table holds generations of the view side by side; the control item says which one is read and
how far it is complete (rule 14). Entries hold copies of their documents: see document_items. Where
they lie, and how much one index can take: see document_keys.

Why a paused, doubled or resurrected follower changes nothing: `apply` reads the watermark W first,
and whatever it signs, it signs within ten minutes of that, only for commits after W, each put on
the condition that what is stored is older. Had a later commit of some key been applied before, then
its row or tombstone is still there: W passes a commit only by the hand of who has written all of it
within the ten minutes before, and a tombstone lasts thirty.
"""

import asyncio
import heapq
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final, Protocol
from weakref import WeakKeyDictionary

from syncline.aws.control import ControlState
from syncline.aws.document_items import PartName, superseded_parts
from syncline.aws.document_reads import EntryReader
from syncline.aws.document_table import DocumentItem
from syncline.aws.document_writes import BatchAge, EntryWriter
from syncline.aws.dynamo_tables import for_table
from syncline.commit.record import Commit, Position
from syncline.errors import UnavailableError
from syncline.limits import TOMBSTONE_SECONDS
from syncline.ports import RangeRead, StoredPage, StoredRow

TOMBSTONES_REMEMBERED_MAX = 100_000
"""Tombstones that a process deletes itself when their time has come; ours: about 50 MB. All others
are left to DynamoDB's TTL, which takes up to some days."""

_DROPPED_AT_ONCE: Final = 1_000
"""Entries of an index read and deleted in one go."""


class Watermark(Protocol):
    """Which generation is spoken of, and how far it is complete."""

    async def read(self) -> ControlState:
        """The newest state, read strongly."""
        ...

    async def advance_applied(self, generation: int, begin: Position, to: Position) -> bool:
        """Move W from `begin`; False: it, or the generation, is another one by now."""
        ...


class DynamoDocuments:
    """The view in one table. Calls raise what `dynamo_retries.patiently` raises."""

    def __init__(
        self,
        table: str,
        control: Watermark,
        *,
        host: str | None = None,
        region: str | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        tombstone_seconds: int = TOMBSTONE_SECONDS,
    ) -> None:
        """`clock_ns`: nanoseconds since the epoch, a clock that goes on while a process sleeps."""
        model = for_table(DocumentItem, table, host, region)
        self._control = control
        self._clock_ns = clock_ns
        self._reader = EntryReader(model)
        self._writer = EntryWriter(model, clock_ns=clock_ns, tombstone_seconds=tombstone_seconds)
        self._tombstones: list[tuple[int, int, int, DocumentItem]] = []
        self._tombstones_seen = 0
        self._generations: WeakKeyDictionary[asyncio.Task[object], int] = WeakKeyDictionary()

    # Reading

    async def watermark(self) -> int:
        """The ts up to which every commit has been applied, read strongly.

        The calling task reads the generation that this was said of, until it asks again: the next
        one may be complete up to less (rule 14).
        """
        return (await self.position()).ts

    async def position(self) -> Position:
        """The watermark with its commit's nonce, read strongly."""
        state = await self._control.read()
        task = asyncio.current_task()
        assert task is not None
        self._generations[task] = state.generation
        return state.applied

    async def read(self, reads: Sequence[RangeRead]) -> Sequence[StoredPage]:
        """One page a read, strongly consistent, all side by side; tombstones count as rows.

        A page is shorter than its limit if it is large: 1 MB of entries, 9 MB of documents in
        parts.
        """
        if not reads:
            return []
        generation = await self._generation()
        pages = (self._reader.page(generation, each) for each in reads)
        return await asyncio.gather(*pages)

    async def entries(self) -> AsyncGenerator[Sequence[StoredRow], None]:
        """Every row and tombstone, in no order: a scan of the table, for `verify`."""
        generation = await self._generation()
        async for rows in self._reader.scan(generation):
            yield rows

    async def _generation(self) -> int:
        task = asyncio.current_task()
        assert task is not None
        known = self._generations.get(task)
        return (await self._control.read()).generation if known is None else known

    # Writing

    async def apply(self, commits: Sequence[Commit]) -> None:
        """Apply durable commits in ts order and move W; those at or below W are done already.

        Raises:
            UnavailableError: "BatchTooOld", "ViewMoved": begin again at the view's position.
        """
        age = BatchAge(self._clock_ns)
        state = await self._control.read()
        due = [commit for commit in commits if commit.ts > state.applied.ts]
        if not due:
            return
        if due[0].previous_ts != state.applied.ts:
            raise _moved(state.applied, due[0])
        rows, superseded = _coalesced(state.generation, due)
        written = await self._writer.write(state.generation, rows, superseded, age)
        self._remember(written)
        await self._advance(state, due, age)

    async def _advance(self, state: ControlState, done: Sequence[Commit], age: BatchAge) -> None:
        """Move W over what was applied, also if others have moved it over a part of that."""
        to = Position(done[-1].ts, done[-1].nonce)
        places = {Position(commit.ts, commit.nonce) for commit in done}
        begin = state.applied
        while True:
            age.check()
            if await self._control.advance_applied(state.generation, begin, to):
                return
            now = await self._control.read()
            if now.generation != state.generation or now.applied.ts >= to.ts:
                return
            if now.applied == begin or now.applied not in places:
                raise _moved(now.applied, done[0])
            begin = now.applied

    async def add_index_rows(self, rows: Sequence[StoredRow]) -> None:
        """Backfill entries of an index, each unless a newer one is stored.

        Raises:
            UnavailableError: "BatchTooOld": read the rows again.
        """
        age = BatchAge(self._clock_ns)
        generation = (await self._control.read()).generation
        newest = {row.key: row for row in sorted(rows, key=lambda row: row.ts)}
        self._remember(await self._writer.write(generation, list(newest.values()), (), age))

    async def drop_index(self, index_id: bytes) -> None:
        """Remove every entry of one index (its id is never used again)."""
        while await self.drop_entries(index_id, _DROPPED_AT_ONCE):
            pass

    async def drop_entries(self, index_id: bytes, at_most: int) -> int:
        """Remove entries of one index, at most so many; returns how many, 0 when none is left."""
        generation = (await self._control.read()).generation
        items = await self._reader.items_of_index(generation, index_id, limit=at_most)
        await self._writer.delete(items, BatchAge(self._clock_ns))
        return len(items)

    async def collect_tombstones(self, before: int) -> None:
        """Remove tombstones older than `before` whose time of half an hour is over.

        Only those that this object wrote: to find others takes a scan of the table, and DynamoDB's
        TTL removes them. Each is deleted on the condition that it is the very one (rule 13).
        """
        now = self._clock_ns() // 10**9
        due: list[DocumentItem] = []
        while self._tombstones and self._tombstones[0][0] < before:
            if self._tombstones[0][1] > now:
                break
            due.append(heapq.heappop(self._tombstones)[3])
        await self._writer.delete_tombstones(due, BatchAge(self._clock_ns))

    async def remove_all_but(self, generation: int) -> AsyncGenerator[int, None]:
        """Delete every item of other generations; yields how many, a page of the scan at a time."""
        async for items in self._reader.items_of_others(generation):
            await self._writer.delete(items, BatchAge(self._clock_ns))
            yield len(items)

    def _remember(self, tombstones: Sequence[DocumentItem]) -> None:
        for item in tombstones:
            if len(self._tombstones) < TOMBSTONES_REMEMBERED_MAX:
                self._tombstones_seen += 1
                ts, expires = int(item.t or 0), int(item.x or 0)
                heapq.heappush(self._tombstones, (ts, expires, self._tombstones_seen, item))


def _coalesced(
    generation: int, commits: Sequence[Commit]
) -> tuple[list[StoredRow], list[PartName]]:
    """What a batch leaves at each key that it writes, and the parts that it makes superfluous."""
    rows: dict[bytes, StoredRow] = {}
    superseded: list[PartName] = []
    for commit in commits:
        for change in commit.changes:
            for key in change.keys_before:
                rows[key] = StoredRow(key, commit.ts, None)
            for key in change.keys_after:
                rows[key] = StoredRow(key, commit.ts, change.after)
            superseded += superseded_parts(generation, change)
    return list(rows.values()), superseded


def _moved(applied: Position, commit: Commit) -> UnavailableError:
    return UnavailableError(
        "ViewMoved",
        f"The view is complete up to {applied.ts}, and the commits to apply begin after "
        f"{commit.previous_ts}: it was rebuilt, or others apply to it. Begin again at its "
        "position.",
    )

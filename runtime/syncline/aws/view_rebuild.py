"""Builds a new generation of the view beside the old one, and switches to it (protocols.md 14).

A rebuild copies the log's snapshot, then applies the commits after it, and then switches by one
conditional write. It can be stopped at any moment and goes on where it was: documents that are
there are not copied again, and the commits to apply begin after the first snapshot that was opened,
so whatever an older snapshot brought and a newer one lacks is removed by them.

A view as of an older commit is built in the same way and never switched to.
Don't rebuild while a push backfills an index: entries of the new index that the log got between
the copying of their document and the switch are missing then; `verify` tells, and a rebuild mends.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, cast

from syncline.aws.control import NEW, Control, ControlState
from syncline.aws.dynamo_documents import DynamoDocuments, Watermark
from syncline.aws.log_history import StoredBatches, commits_between, documents_at
from syncline.aws.rebuild_progress import Building, Phase, RebuildProgress
from syncline.commit.record import Position, StoredDocument
from syncline.drivers.replica import TABLES
from syncline.drivers.table_rows import dropped_indexes
from syncline.errors import UnavailableError
from syncline.index.index_definition import BY_ID, index_id
from syncline.index.key_encoding import prefix_successor
from syncline.ports import Log, RangeRead, StoredRow

COPIED_AT_ONCE: Final = 256
"""Documents copied between two notes of the progress; ours: a few seconds of writes."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the view lies; `clock_ns` as of DynamoDocuments."""

    documents: str
    control: str
    host: str | None = None
    region: str | None = None
    clock_ns: Callable[[], int] = time.time_ns

    def view(self, watermark: Watermark) -> DynamoDocuments:
        """The generation that a watermark speaks of."""
        return DynamoDocuments(
            self.documents,
            watermark,
            host=self.host,
            region=self.region,
            clock_ns=self.clock_ns,
        )


@dataclass(frozen=True, slots=True)
class RebuildStep:
    """Told after every step; how many documents there will be is not known before."""

    phase: Phase
    generation: int
    documents: int
    """Copied so far, over all attempts."""
    applied: Position | None
    """Up to where commits have been applied, once all documents are there."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A generation that is done."""

    generation: int
    position: Position
    """It is complete up to this commit."""
    view: DynamoDocuments
    """Reads this generation only, as of `position`, whichever is live."""


class StandingStill:
    """The Watermark of a generation that nobody applies anything to."""

    def __init__(self, generation: int, position: Position) -> None:
        self._state = ControlState(generation, position, NEW.matched, 0, is_dirty=False)

    async def read(self) -> ControlState:
        """Always the same."""
        return self._state

    async def advance_applied(self, generation: int, begin: Position, to: Position) -> bool:
        """Never."""
        return False


async def rebuild(
    log: Log,
    control: Control,
    tables: Tables,
    *,
    at: Position | None = None,
    on_step: Callable[[RebuildStep], None] = lambda _: None,
) -> Rebuilt:
    """Build a new generation from the log and make it the view; resumes what was interrupted.

    `at`: build the view as of that commit instead, from the beginning, and switch to nothing.

    Raises:
        UnavailableError: "RebuildTakenOver", "ViewMoved": run it again. "OutOfRetention": the log
            no longer has the commits that are needed; the next run begins anew.
    """
    progress = RebuildProgress(tables.control, control, host=tables.host, region=tables.region)
    live = (await control.read()).generation
    building = await progress.begin(resume=at is None)
    work = _Rebuild(log, progress, tables.view(progress), building, on_step)
    try:
        if at is not None:
            await work.copy(documents_at(log, at))
            position = at
        else:
            if building.phase == "filling":
                await work.fill()
            position = await work.follow()
            await work.drop_stale_indexes()
    except UnavailableError as error:
        if error.code == "OutOfRetention":
            await progress.end()
        raise
    if at is None and not await control.switch(live, building.generation, position):
        raise UnavailableError(
            "ViewMoved",
            f"Generation {live} of the view was replaced while this one was built; run again.",
        )
    if at is not None:
        await progress.end()
    view = tables.view(StandingStill(building.generation, position))
    return Rebuilt(building.generation, position, view)


class _Rebuild:
    """One attempt at one generation."""

    def __init__(
        self,
        log: Log,
        progress: RebuildProgress,
        view: DynamoDocuments,
        building: Building,
        on_step: Callable[[RebuildStep], None],
    ) -> None:
        self._log = log
        self._progress = progress
        self._view = view
        self._building = building
        self._copied = building.documents
        self._on_step = on_step

    async def fill(self) -> None:
        """Copy the log's snapshot."""
        loaded = await self._log.load()
        batches = cast("StoredBatches", loaded.documents)
        start = self._building.start
        if start is None:
            start = loaded.position
            await self._progress.opened(start)
        await self.copy(batches)
        await self._progress.filled(start)
        self._tell("following", start)

    async def copy(self, batches: StoredBatches) -> None:
        """Write documents, those that an earlier attempt has written excepted."""
        async with aclosing(batches):
            async for batch in batches:
                for begin in range(0, len(batch), COPIED_AT_ONCE):
                    piece = batch[begin : begin + COPIED_AT_ONCE]
                    lacking = await self._lacking(piece) if self._building.documents else piece
                    # The entry in by_id goes last: where it is, all are.
                    await self._view.add_index_rows(_rows(lacking, by_id=False))
                    await self._view.add_index_rows(_rows(lacking, by_id=True))
                    self._copied += len(lacking)
                    await self._progress.copied(self._copied)
                    self._tell("filling", None)

    async def _lacking(self, piece: Sequence[StoredDocument]) -> Sequence[StoredDocument]:
        asked = [(each, key) for each in piece for key in each.keys if _is_by_id(key)]
        # The watermark is of no interest, but whose generation is read (DynamoDocuments.read).
        await self._view.watermark()
        pages = await self._view.read([RangeRead(key, key + b"\x00", 1) for _, key in asked])
        there = {
            each.document_id
            for (each, _), page in zip(asked, pages, strict=True)
            if page.rows and page.rows[0].ts >= each.ts
        }
        return [each for each in piece if each.document_id not in there]

    async def follow(self) -> Position:
        """Apply what follows, up to the durable head."""
        position = await self._view.position()
        async for commits in commits_between(self._log, position, None):
            await self._view.apply(commits)
            position = Position(commits[-1].ts, commits[-1].nonce)
            self._tell("following", position)
        return position

    async def drop_stale_indexes(self) -> None:
        """Remove the entries of indexes that are gone: the log keeps their keys."""
        lo = index_id(TABLES, BY_ID)
        hi = prefix_successor(lo)
        assert hi is not None
        is_done = False
        while not is_done:
            await self._view.watermark()
            (page,) = await self._view.read([RangeRead(lo, hi, 100)])
            for row in page.rows:
                if row.document is not None:
                    for dropped in dropped_indexes(row.document):
                        await self._view.drop_index(dropped)
                lo = row.key + b"\x00"
            is_done = page.done

    def _tell(self, phase: Phase, applied: Position | None) -> None:
        self._on_step(RebuildStep(phase, self._building.generation, self._copied, applied))


def _rows(documents: Sequence[StoredDocument], *, by_id: bool) -> list[StoredRow]:
    return [
        StoredRow(key, each.ts, each.document)
        for each in documents
        for key in each.keys
        if _is_by_id(key) == by_id
    ]


def _is_by_id(key: bytes) -> bool:
    return int.from_bytes(key[4:6], "big") == BY_ID


async def remove_other_generations(control: Control, tables: Tables) -> int:
    """Delete what earlier rebuilds left, and views of older commits; returns how many items.

    A scan of the table. To be called when no rebuild is under way, and not within a quarter of an
    hour of a switch: calls that began before it still read the old generation.
    """
    state = await control.read()
    view = tables.view(control)
    removed = 0
    async for count in view.remove_all_but(state.generation):
        removed += count
    return removed

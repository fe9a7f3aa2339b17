"""Search segments in a store: made once, taken up by others, never believed against the log."""

import asyncio
import random
from array import array
from pathlib import Path

import pytest

from syncline.commit.record import Position
from syncline.drivers import searches as searches_module
from syncline.drivers.follower import Follower
from syncline.drivers.replica import Replica
from syncline.drivers.searches import Searches
from syncline.drivers.segment_keeper import SegmentKeeper
from syncline.local.memory_documents import MemoryDocuments
from syncline.ports import Page, TextRead, VectorRead
from syncline.search.scoring import ranked_id
from syncline.search.vectors import VectorEntry, nearness, unit_vector
from syncline.segments.store import StoredSegment
from syncline.segments.vector_segment import VectorSegment
from syncline.testing import Deployment

SCHEMA = """
from syncline import define_schema, define_table, v

schema = define_schema({
    "notes": define_table({"text": v.string(), "at": v.array(v.number())})
        .search_index("by_text", search_field="text")
        .vector_index("by_place", vector_field="at", dimensions=2),
})
"""

FUNCTIONS = """
from syncline import mutation

@mutation
async def add(ctx, text: str):
    await ctx.db.insert("notes", {"text": text, "at": [1, len(text)]})

@mutation
async def change(ctx, text: str):
    for note in await ctx.db.query("notes").take(2):
        await ctx.db.patch(note["_id"], {"text": text, "at": [-1, 1]})
"""


class MemorySegments:
    def __init__(self) -> None:
        self.stored: dict[str, StoredSegment] = {}
        self.loads = 0
        self.saves = 0

    async def load(self, name: str) -> StoredSegment | None:
        self.loads += 1
        return self.stored.get(name)

    async def save(self, name: str, segment: StoredSegment) -> None:
        self.saves += 1
        self.stored[name] = segment


class Followed(MemoryDocuments):
    """A view that outlives processes."""


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    folder = tmp_path / "functions"
    folder.mkdir()
    (folder / "schema.py").write_text(SCHEMA)
    (folder / "notes.py").write_text(FUNCTIONS)
    return folder


async def found(searches: Searches, replica: Replica) -> tuple[list[str], list[str]]:
    snapshot = replica.reads(replica.durable.ts)
    table = replica.catalog_at(snapshot.ts).table("notes")
    text = TextRead(table.indexes["by_text"].index_id, ("no",), (), b"", 1000)
    vector = unit_vector([1, 0], 2).tobytes()
    near = VectorRead(table.indexes["by_place"].index_id, vector, (), 1000, with_documents=False)
    texts: Page = await searches.read(text, snapshot)
    vectors: Page = await searches.read(near, snapshot)
    return [ranked_id(row.key) for row in texts.rows], [
        nearness(row.key)[1] for row in vectors.rows
    ]


def run(functions: Path, test) -> None:
    async def main() -> None:
        async with Deployment(functions) as app:
            log, view, store = app.engine._log, Followed(), MemorySegments()
            keeper = SegmentKeeper(log, view, store)

            async def keep() -> None:
                await Follower(log, view).catch_up()
                await keeper.keep()

            await test(app, store, keep)

    asyncio.run(main())


def test_what_is_stored_is_taken_up_with_what_has_changed_since(functions, monkeypatch):
    async def test(app: Deployment, store: MemorySegments, keep) -> None:
        for at in range(20):
            await app.mutation("notes:add", text=f"note {'x' * at}")
        await keep()
        assert store.saves == 2
        await app.mutation("notes:add", text="another note")
        await app.mutation("notes:change", text="nothing")
        replica = app.engine.replica
        expected = await found(Searches(replica), replica)
        resumed = Searches(replica, store, app.engine._log)
        read = []
        monkeypatch.setattr(replica, "reads", lambda ts: read.append(ts) or replica.reader.at(ts))
        assert await found(resumed, replica) == expected
        # The snapshot that the test asks for, and no other: nothing was built from documents.
        assert len(read) == 1
        assert len(expected[0]) == len(expected[1]) == 21

    run(functions, test)


def test_segments_are_stored_anew_after_many_changes_only(functions, monkeypatch):
    monkeypatch.setattr(searches_module, "STORED_AFTER_CHANGES", 5)

    async def test(app: Deployment, store: MemorySegments, keep) -> None:
        await app.mutation("notes:add", text="note")
        await keep()
        await keep()
        await app.mutation("notes:add", text="note")
        await keep()
        assert store.saves == 2
        for _ in range(5):
            await app.mutation("notes:add", text="note")
        await keep()
        assert store.saves == 4
        assert {each.position for each in store.stored.values()} == {app.engine.replica.durable}

    run(functions, test)


def test_a_segment_at_a_commit_that_the_log_does_not_have_is_not_used(functions):
    async def test(app: Deployment, store: MemorySegments, keep) -> None:
        await app.mutation("notes:add", text="note")
        await keep()
        await app.mutation("notes:add", text="not lost")
        for name, each in store.stored.items():
            other = Position(each.position.ts, each.position.nonce ^ 1)
            store.stored[name] = StoredSegment(other, each.content)
        replica = app.engine.replica
        resumed = Searches(replica, store, app.engine._log)
        assert await found(resumed, replica) == await found(Searches(replica), replica)
        assert store.loads >= 2

    run(functions, test)


def test_a_dumped_vector_segment_finds_the_same():
    chance = random.Random(3)
    segment = VectorSegment(4)
    for at in range(50):
        vector = unit_vector([chance.gauss(0, 1) for _ in range(4)], 4)
        segment.put(str(at), VectorEntry(float(at), vector, (bytes([at % 3]),)))
    for at in range(0, 50, 7):
        segment.remove(str(at))
    other = VectorSegment(4)
    other.load(segment.dump())
    wanted = array("f", [1, 0, 0, 0])
    for filters in ((), ((0, b"\x01"),)):
        assert other.nearest(wanted, filters, limit=50, hidden=()) == segment.nearest(
            wanted, filters, limit=50, hidden=()
        )

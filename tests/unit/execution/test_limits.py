"""What one run may read and write (convex-protocol 6.8)."""

import pytest

from syncline.limits import DOCUMENTS_READ_MAX, DOCUMENTS_WRITTEN_MAX, READ_RANGES_MAX
from tests.execution_world import CallFailed

SOURCE = """
@mutation
async def add(ctx: MutationCtx, count: int, size: int = 0) -> None:
    for _ in range(count):
        await ctx.db.insert("t", {"text": "x" * size})

@mutation
async def add_and_swallow(ctx: MutationCtx, count: int) -> None:
    for _ in range(count):
        try:
            await ctx.db.insert("t", {"text": "x" * 1_000_000})
        except Exception:
            pass

@query
async def collect(ctx: QueryCtx, times: int) -> int:
    for _ in range(times):
        found = await ctx.db.query("t").collect()
    return len(found)

@query
async def get(ctx: QueryCtx, id: str, times: int) -> None:
    for _ in range(times):
        await ctx.db.get(id)
"""


@pytest.fixture
def world(make_world):
    return make_world(m=SOURCE)


def failure(run, *arguments, **keywords):
    with pytest.raises(CallFailed) as failed:
        run(*arguments, **keywords)
    error = failed.value.outcome.error
    assert error.is_server_made
    return error.message


def test_documents_read_are_limited(world):
    world.mutate("m:add", count=1000)
    assert world.query("m:collect", times=DOCUMENTS_READ_MAX // 1000) == 1000
    message = failure(world.query, "m:collect", times=DOCUMENTS_READ_MAX // 1000 + 1)
    assert message.startswith(
        "Too many documents read in a single function execution (limit: 32000)."
    )


def test_bytes_read_are_limited(world):
    world.mutate("m:add", count=1, size=1_000_000)
    assert world.query("m:collect", times=16) == 1
    message = failure(world.query, "m:collect", times=17)
    assert message.startswith("Too many bytes read in a single function execution (limit: 16777216")


def test_ranges_read_are_limited(world):
    world.mutate("m:add", count=1)
    (document,) = world.documents("t")
    world.query("m:get", id=document["_id"], times=READ_RANGES_MAX)
    message = failure(world.query, "m:get", id=document["_id"], times=READ_RANGES_MAX + 1)
    assert message.startswith("Too many reads in a single function execution (limit: 4096).")


def test_documents_written_are_limited(world):
    world.add_table("t")
    outcome = world.run("m:add", {"count": DOCUMENTS_WRITTEN_MAX}, kind="mutation")
    assert len(outcome.changes) == DOCUMENTS_WRITTEN_MAX
    message = failure(world.mutate, "m:add", count=DOCUMENTS_WRITTEN_MAX + 1)
    assert message.startswith(
        "Too many documents written in a single function execution (limit: 16000)."
    )


def test_bytes_written_are_limited_also_when_the_failure_is_swallowed(world):
    world.add_table("t")
    message = failure(world.mutate, "m:add", count=17, size=1_000_000)
    assert message.startswith(
        "Too many bytes written in a single function execution (limit: 16777216 bytes)."
    )
    outcome = world.run("m:add_and_swallow", {"count": 20}, kind="mutation")
    assert outcome.error is None
    assert len(outcome.changes) == 16


def test_a_document_is_limited_to_a_mebibyte(world):
    with pytest.raises(CallFailed, match="The document is too large"):
        world.mutate("m:add", count=1, size=2**20)


def test_pages_of_large_documents_are_short_ones(world):
    for _ in range(150):
        world.mutate("m:add", count=1, size=100_000)
    world.query("m:collect", times=1)
    assert [read.limit for (read,) in world.batches] == [128, 10, 10, 10]

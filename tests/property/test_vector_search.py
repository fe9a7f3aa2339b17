"""Vector search equals a plain reference, whatever is written meanwhile; and the graph is near."""

import asyncio
import math
import random
import tempfile
from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.drivers.searches import Searches
from syncline.index.index_definition import BY_ID, index_id
from syncline.index.key_encoding import encode_value
from syncline.ports import RangeRead, VectorRead
from syncline.search.vectors import (
    VectorEntry,
    nearness,
    nearness_key,
    similarity,
    unit_vector,
)
from syncline.segments.vector_segment import VectorSegment
from syncline.testing import Deployment
from syncline.values import wire_json

SCHEMA = """
from syncline import define_schema, define_table, v

schema = define_schema({
    "points": define_table({"at": v.any(), "a": v.number(), "b": v.number()})
        .vector_index("by_place", vector_field="at", dimensions=3, filter_fields=["a", "b"]),
})
"""

FUNCTIONS = """
from syncline import mutation, query

@mutation
async def write(ctx, place: int, at: list[float] | None, a: int, b: int):
    documents = await ctx.db.query("points").collect()
    if place >= len(documents):
        await ctx.db.insert("points", {"at": at, "a": a, "b": b})
    elif at is None:
        await ctx.db.delete(documents[place]["_id"])
    else:
        await ctx.db.patch(documents[place]["_id"], {"at": at, "a": a, "b": b})

@query
async def near(ctx, at: list[float], a: int | None, limit: int):
    condition = None if a is None else lambda q: q.or_(q.eq("a", a), q.eq("b", a))
    return await ctx.vector_search("points", "by_place", vector=at, limit=limit, filter=condition)

@mutation
async def write_and_find(ctx, write: dict, at: list[float], limit: int):
    await ctx.run_mutation("points:write", **write)
    found = await ctx.run_query("points:near", at=at, a=None, limit=limit)
    return [found, await ctx.db.query("points").collect()]
"""

VECTORS = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 3.0]), min_size=3, max_size=3)
WRITES = st.fixed_dictionaries(
    {
        "place": st.integers(0, 6),
        "at": st.none() | VECTORS,
        "a": st.integers(0, 1),
        "b": st.integers(0, 1),
    }
)
SEARCHES = st.tuples(VECTORS, st.none() | st.integers(0, 1), st.integers(1, 5))
STEPS = st.lists(
    st.tuples(st.lists(WRITES, max_size=4), SEARCHES, st.booleans()), min_size=1, max_size=8
)


def single(number: float) -> float:
    return array("f", [number])[0]


def direction(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(each * each for each in vector))
    return [single(each / length) for each in vector] if length else vector


def reference(documents: list[dict], at: list[float], a: int | None) -> list[tuple[str, float]]:
    ranked = []
    for document in documents:
        if document["at"] is None or (a is not None and a not in (document["a"], document["b"])):
            continue
        one, other = direction(document["at"]), direction(at)
        score = math.fsum(x * y for x, y in zip(one, other, strict=True))
        score = max(-1.0, min(1.0, score))
        ranked.append((-score, -document["_creationTime"], document["_id"]))
    return [(each, -score) for score, _, each in sorted(ranked)]


def same(found: list[tuple[str, float]], wanted: list[tuple[str, float]]) -> bool:
    """Equal, but that the reference's plain arithmetic may differ in the last digit of 32 bits."""
    if [each for each, _ in found] == [each for each, _ in wanted]:
        return all(abs(x[1] - y[1]) < 1e-6 for x, y in zip(found, wanted, strict=True))
    return all(abs(x[1] - y[1]) < 1e-6 for x, y in zip(found, wanted, strict=True)) and any(
        abs(x[1] - y[1]) > 0 for x, y in zip(found, wanted, strict=True)
    )


async def all_documents(app: Deployment, ts: int) -> list[dict]:
    replica = app.engine.replica
    lo = index_id(replica.catalog_at(ts).table("points").number, BY_ID)
    (page,) = await replica.reads(ts).read([RangeRead(lo, lo + b"\xff", 1000)])
    return [wire_json.decode(row.document) for row in page.rows]


async def found_by(searches: Searches, app: Deployment, ts: int, search: tuple):
    at, a, limit = search
    replica = app.engine.replica
    index = replica.catalog_at(ts).table("points").indexes["by_place"].index_id
    filters = () if a is None else ((0, encode_value(a)), (1, encode_value(a)))
    vector = unit_vector(at, 3).tobytes()
    read = VectorRead(index, vector, filters, limit, with_documents=True)
    page = await searches.read(read, replica.reads(ts))
    found = [nearness(row.key) for row in page.rows]
    assert [wire_json.decode(row.document)["_id"] for row in page.rows] == [i for _, i in found]
    return [(document_id, score) for score, document_id in found]


async def check(app: Deployment, steps: list) -> None:
    engine = app.engine
    seen: list[tuple[int, tuple]] = []
    for writes, search, is_taken_up in steps:
        at, a, limit = search
        await asyncio.gather(
            *[app.mutation("points:write", **write) for write in writes],
            app.query("points:near", at=at, a=a, limit=limit),
        )
        ts = engine.latest_ts()
        answer = await app.query("points:near", at=at, a=a, limit=limit)
        wanted = reference(await all_documents(app, ts), at, a)[:limit]
        assert same([(each["_id"], each["_score"]) for each in answer], wanted)
        if is_taken_up:
            await engine._searches.advance()
        seen.append((ts, search))
        for then, earlier in seen:
            wanted = reference(await all_documents(app, then), *earlier[:2])[: earlier[2]]
            assert same(await found_by(engine._searches, app, then, earlier), wanted)
    rebuilt = Searches(engine.replica)
    for then, earlier in seen:
        assert await found_by(rebuilt, app, then, earlier) == await found_by(
            engine._searches, app, then, earlier
        )


async def check_own_writes(app: Deployment, steps: list) -> None:
    for writes, (at, _, limit), is_taken_up in steps:
        for write in writes:
            found, documents = await app.mutation(
                "points:write_and_find", write=write, at=at, limit=limit
            )
            wanted = reference(documents, at, None)[:limit]
            assert same([(each["_id"], each["_score"]) for each in found], wanted)
        if is_taken_up:
            await app.engine._searches.advance()


def run(work, steps: list) -> None:
    async def main(folder: str) -> None:
        async with Deployment(folder) as app:
            await work(app, steps)

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "schema.py").write_text(SCHEMA)
        Path(folder, "points.py").write_text(FUNCTIONS)
        asyncio.run(main(folder))


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_results_equal_the_reference_at_every_snapshot_and_after_a_rebuild(steps):
    run(check, steps)


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_a_mutation_finds_its_own_writes_where_they_rank(steps):
    run(check_own_writes, steps)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(NUMBERS, min_size=2, max_size=6))
def test_every_finite_vector_has_a_direction_of_length_one(numbers):
    vector = unit_vector(numbers, len(numbers))
    length = math.sqrt(math.fsum(each * each for each in vector))
    assert length == (pytest.approx(1, abs=1e-6) if any(numbers) else 0)
    assert similarity(vector, vector) == pytest.approx(1 if any(numbers) else 0, abs=1e-6)


@given(st.tuples(NUMBERS, NUMBERS, st.text("ab")), st.tuples(NUMBERS, NUMBERS, st.text("ab")))
def test_keys_sort_as_results_do_and_give_the_score_back(one, other):
    keys = [nearness_key(*each) for each in (one, other)]
    assert [nearness(key) for key in keys] == [(each[0], each[2]) for each in (one, other)]
    first, second = [(-score, -created, name) for score, created, name in (one, other)]
    assert (keys[0] < keys[1]) == (first < second)


def clustered(count: int, dimensions: int) -> list[list[float]]:
    """Vectors around some centres, as embeddings are."""
    chance = random.Random(7)
    centres = [[chance.gauss(0, 1) for _ in range(dimensions)] for _ in range(20)]
    return [[each + chance.gauss(0, 0.6) for each in chance.choice(centres)] for _ in range(count)]


@pytest.mark.parametrize("filtered", [False, True])
def test_the_graph_finds_nearly_all_of_the_nearest_and_never_what_is_gone(filtered):
    segment, exact = VectorSegment(16, exact_max=16 * 200), VectorSegment(16)
    vectors = clustered(2100, 16)
    values = [encode_value(at % 3) for at in range(len(vectors))]
    for at, vector in enumerate(vectors[:2000]):
        entry = VectorEntry(float(at), unit_vector(vector, 16), (values[at],))
        for each in (segment, exact):
            each.put(str(at), entry)
    while segment.grow():
        pass
    # Some are gone from the graph, some are put in their rows, some the graph does not hold yet.
    for at in range(0, 2000, 5):
        segment.remove(str(at))
        exact.remove(str(at))
    for at in range(0, 300, 5):
        entry = VectorEntry(float(at), unit_vector(vectors[2000 + at // 5], 16), (values[at],))
        segment.put(f"new {at}", entry)
        exact.put(f"new {at}", entry)
    assert not segment._outside.isdisjoint(segment._rows.values())
    filters = ((0, values[1]), (0, values[2])) if filtered else ()
    hits = wanted = 0
    for vector in vectors[:100]:
        query = unit_vector(vector, 16)
        hidden = {"1", "2"}
        found = segment.nearest(query, filters, limit=10, hidden=hidden)
        nearest = exact.nearest(query, filters, limit=10, hidden=hidden)
        assert sorted(found) == found
        assert not hidden & {each for _, each in found}
        assert {each for _, each in found} <= segment._rows.keys()
        if filtered:
            assert all(
                exact._entries[exact._rows[each]][1] in [(values[1],), (values[2],)]
                for _, each in found
            )
        hits += len(set(found) & set(nearest))
        wanted += len(nearest)
    assert hits >= 0.95 * wanted

"""Vector search through the whole engine in memory."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from syncline.testing import CallFailedError, Deployment

SCHEMA = """
from syncline import define_schema, define_table, v

schema = define_schema({
    "points": define_table({"at": v.any(), "color": v.string(), "size": v.number()})
        .vector_index("by_place", vector_field="at", dimensions=2,
                      filter_fields=["color", "size"]),
})
"""

FUNCTIONS = """
from syncline import Id, action, mutation, query, rules

@mutation
async def add(ctx, at, color: str = "red", size: int = 1):
    return await ctx.db.insert("points", {"at": at, "color": color, "size": size})

@mutation
async def move(ctx, id: Id, at):
    await ctx.db.patch(id, {"at": at})

@mutation
async def remove(ctx, id: Id):
    await ctx.db.delete(id)

@query
async def near(ctx, at, limit: int = 10):
    return await ctx.vector_search("points", "by_place", vector=at, limit=limit)

@query
async def near_default(ctx, at):
    return await ctx.vector_search("points", "by_place", vector=at)

@query
async def near_red(ctx, at):
    return await ctx.vector_search("points", "by_place", vector=at,
                                   filter=lambda q: q.eq("color", "red"))

@query
async def near_red_or_big(ctx, at):
    return await ctx.vector_search("points", "by_place", vector=at,
                                   filter=lambda q: q.or_(q.eq("color", "red"), q.eq("size", 9)))

@mutation
async def write_and_find(ctx, moved: Id, gone: Id, at):
    await ctx.db.patch(moved, {"at": at})
    await ctx.db.delete(gone)
    new = await ctx.db.insert("points", {"at": at, "color": "new", "size": 1})
    return [new, await ctx.vector_search("points", "by_place", vector=at, limit=2)]

@action
async def add_and_find(ctx, at, color: str | None):
    new = await ctx.run_mutation("points:add", at=at)
    condition = None if color is None else lambda q: q.or_(q.eq("color", color), q.eq("size", 9))
    return [new, await ctx.vector_search("points", "by_place", vector=at, limit=2,
                                         filter=condition)]

@action
async def wrong_in_action(ctx, how: str):
    search = {"vector": [1, 0]}
    match how:
        case "length": search = {"vector": [1, 0, 0]}
        case "no filter": search["filter"] = lambda q: q
        case "field": search["filter"] = lambda q: q.eq("at", 1)
        case "and": search["filter"] = lambda q: q.eq("color", "red").eq("size", 1)
    await ctx.vector_search("points", "by_place", **search)

@query
async def wrong(ctx, how: str):
    search = {"vector": [1, 0]}
    index = "by_place"
    match how:
        case "index": index = "by_nothing"
        case "length": search = {"vector": [1, 0, 0]}
        case "text": search = {"vector": "ab"}
        case "infinite": search = {"vector": [1, float("inf")]}
        case "limit 0": search["limit"] = 0
        case "limit 257": search["limit"] = 257
        case "no filter": search["filter"] = lambda q: q
        case "field": search["filter"] = lambda q: q.eq("at", 1)
        case "and": search["filter"] = lambda q: q.eq("color", "red").eq("size", 1)
        case "65": search["filter"] = lambda q: q.or_(*[q.eq("size", n) for n in range(65)])
    await ctx.vector_search("points", index, **search)

@query
async def many(ctx):
    found = await ctx.vector_search("points", "by_place", vector=[1, 0], limit=256,
        filter=lambda q: q.or_(*[q.eq("size", n) for n in range(64)]))
    return len(found)
"""


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    folder = tmp_path / "functions"
    folder.mkdir()
    (folder / "schema.py").write_text(SCHEMA)
    (folder / "points.py").write_text(FUNCTIONS)
    return folder


def run(functions: Path, test: Callable[[Deployment], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Deployment(functions) as app:
            await test(app)

    asyncio.run(main())


def ids(results: list[dict]) -> list[str]:
    return [each["_id"] for each in results]


def test_the_nearest_by_angle_come_first_with_their_cosine(functions):
    async def test(app: Deployment) -> None:
        east = await app.mutation("points:add", at=[5, 0])
        north = await app.mutation("points:add", at=[0, 0.1])
        north_east = await app.mutation("points:add", at=[2, 2])
        west = await app.mutation("points:add", at=[-1, 0])
        found = await app.query("points:near", at=[3, 0])
        assert ids(found) == [east, north_east, north, west]
        scores = [each["_score"] for each in found]
        assert scores == pytest.approx([1, math.sqrt(0.5), 0, -1], abs=1e-7)
        assert ids(await app.query("points:near", at=[0, 7], limit=1)) == [north]

    run(functions, test)


def test_newer_documents_come_first_among_equally_near_ones(functions):
    async def test(app: Deployment) -> None:
        points = [await app.mutation("points:add", at=[1, 1]) for _ in range(3)]
        assert ids(await app.query("points:near", at=[1, 1])) == points[::-1]

    run(functions, test)


def test_ten_are_found_unless_told_otherwise(functions):
    async def test(app: Deployment) -> None:
        for at in range(12):
            await app.mutation("points:add", at=[1, at])
        assert len(await app.query("points:near_default", at=[1, 0])) == 10
        assert len(await app.query("points:near", at=[1, 0], limit=256)) == 12

    run(functions, test)


def test_filters_select_by_one_of_several_values(functions):
    async def test(app: Deployment) -> None:
        red = await app.mutation("points:add", at=[1, 0], color="red")
        blue = await app.mutation("points:add", at=[1, 0.1], color="blue", size=9)
        await app.mutation("points:add", at=[1, 0], color="blue")
        assert ids(await app.query("points:near_red", at=[1, 0])) == [red]
        assert ids(await app.query("points:near_red_or_big", at=[1, 0])) == [red, blue]

    run(functions, test)


def test_documents_without_a_fitting_vector_are_not_found(functions):
    async def test(app: Deployment) -> None:
        for at in (None, "text", [1], [1, 2, 3], [1, None], [1, math.nan], [1, math.inf], {}):
            await app.mutation("points:add", at=at)
        zero = await app.mutation("points:add", at=[0, 0])
        assert await app.query("points:near", at=[1, 0]) == [{"_id": zero, "_score": 0}]

    run(functions, test)


def test_a_mutation_finds_what_it_has_written_itself(functions):
    async def test(app: Deployment) -> None:
        moved = await app.mutation("points:add", at=[-1, 0])
        gone = await app.mutation("points:add", at=[1, 0])
        await app.mutation("points:add", at=[1, 0.5])
        new, found = await app.mutation("points:write_and_find", moved=moved, gone=gone, at=[1, 0])
        assert ids(found) == [new, moved]

    run(functions, test)


def test_a_subscription_follows_what_is_written(functions):
    async def test(app: Deployment) -> None:
        point = await app.mutation("points:add", at=[1, 0])
        async with app.subscribe("points:near", at=[1, 0], limit=1) as seen:
            await app.mutation("points:add", at=[0, 1])
            nearer = await app.mutation("points:add", at=[1, 0])
            await app.mutation("points:move", id=nearer, at=[-1, 0])
            await app.mutation("points:remove", id=point)
            first = [ids(each)[0] for each in seen.results]
        assert first[:3] == [point, nearer, point]
        assert len(first) == 4

    run(functions, test)


def test_writes_outside_of_the_filter_run_no_search_again(functions):
    async def test(app: Deployment) -> None:
        async with app.subscribe("points:near_red", at=[1, 0]):
            before = app.engine.queries.executions
            await app.mutation("points:add", at=[1, 0], color="blue")
            assert app.engine.queries.executions == before
            await app.mutation("points:add", at=[1, 0], color="red")
            assert app.engine.queries.executions == before + 1

    run(functions, test)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("index", r"Vector index points.by_nothing does not exist.*\['by_place'\]"),
        ("length", "takes 2 finite numbers, the index's dimensions; the vector has 3 elements"),
        ("text", "takes a list of numbers, not str"),
        ("infinite", "takes 2 finite numbers"),
        ("limit 0", "limit of 1 to 256, not 0"),
        ("limit 257", "limit of 1 to 256, not 257"),
        ("no filter", "must return a condition"),
        ("field", r"not one of its filter fields: \['color', 'size'\]"),
        ("and", "joins two conditions"),
        ("65", r"65 conditions \(limit: 64\)"),
    ],
)
def test_misuse_is_explained(functions, how, message):
    async def test(app: Deployment) -> None:
        with pytest.raises(CallFailedError, match=message):
            await app.query("points:wrong", how=how)

    run(functions, test)


def test_an_action_finds_what_its_mutations_have_written(functions):
    async def test(app: Deployment) -> None:
        other = await app.mutation("points:add", at=[1, 0.1], color="blue", size=9)
        new, found = await app.action("points:add_and_find", at=[1, 0], color=None)
        assert ids(found) == [new, other]
        newer, found = await app.action("points:add_and_find", at=[1, 0], color="blue")
        assert ids(found) == [other]
        new, found = await app.action("points:add_and_find", at=[1, 0], color="red")
        assert ids(found) == [new, newer]
        assert found[0]["_score"] == pytest.approx(1, abs=1e-7)

    run(functions, test)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("length", "takes 2 finite numbers"),
        ("no filter", "must return a condition"),
        ("field", "not one of its filter fields"),
        ("and", "joins two conditions"),
    ],
)
def test_misuse_in_actions_is_explained(functions, how, message):
    async def test(app: Deployment) -> None:
        with pytest.raises(CallFailedError, match=message):
            await app.action("points:wrong_in_action", how=how)

    run(functions, test)


def test_64_conditions_and_256_results_are_allowed(functions):
    async def test(app: Deployment) -> None:
        await app.mutation("points:add", at=[1, 0])
        assert await app.query("points:many") == 1

    run(functions, test)


def test_an_index_of_other_dimensions_is_built_anew_by_a_push(functions):
    async def test(app: Deployment) -> None:
        two = await app.mutation("points:add", at=[1, 0])
        three = await app.mutation("points:add", at=[1, 0, 0])
        assert ids(await app.query("points:near", at=[1, 0])) == [two]
        (functions / "schema.py").write_text(SCHEMA.replace("dimensions=2", "dimensions=3"))
        report = await app.push()
        assert report.added_indexes == ("points.by_place",)
        assert ids(await app.query("points:near", at=[1, 0, 0])) == [three]

    run(functions, test)


def test_row_rules_hide_what_the_caller_may_not_see(functions):
    async def test(app: Deployment) -> None:
        text = (functions / "points.py").read_text()
        rule = 'rules("points", read=lambda ctx, document: document["color"] == "red")\n'
        (functions / "points.py").write_text(text + rule)
        await app.push()
        red = await app.mutation("points:add", at=[0, 1], color="red")
        await app.mutation("points:add", at=[1, 0], color="blue")
        assert len(await app.query("points:near", at=[1, 0], limit=2)) == 2
        user = app.as_user("ada")
        assert ids(await user.query("points:near", at=[1, 0], limit=1)) == [red]

    run(functions, test)

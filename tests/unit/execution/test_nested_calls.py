"""ctx.run_query, ctx.run_mutation and ctx.gather."""

import pytest

from syncline.limits import NESTED_CALLS_MAX
from syncline.schema.catalog import module_range
from tests.execution_world import CallFailed

SOURCE = """
@internal_mutation
async def add(ctx: MutationCtx, n: float, fail: bool = False) -> str:
    document_id = await ctx.db.insert("t", {"n": n})
    await ctx.db.query("t").collect()
    if fail:
        raise ApplicationError(f"no {n:g}")
    return document_id

@mutation
async def add_all(ctx: MutationCtx, numbers: list[int], failing: list[int]) -> list[Any]:
    results = []
    for n in numbers:
        try:
            await ctx.run_mutation(add, n=n, fail=n in failing)
            results.append("ok")
        except ApplicationError as error:
            results.append(error.data)
    return results

async def tolerant(ctx, n, fail):
    try:
        await ctx.run_mutation("m:add", n=n, fail=fail)
    except ApplicationError:
        return "failed"
    return "ok"

@mutation
async def gather_nested(ctx: MutationCtx) -> list[str]:
    return await ctx.gather(
        tolerant(ctx, 1, True), tolerant(ctx, 2, False), tolerant(ctx, 3, True), write(ctx, 4)
    )

async def write(ctx, n):
    await ctx.db.insert("t", {"n": n})
    return "wrote"

@mutation
async def gather_failing(ctx: MutationCtx) -> str:
    try:
        await ctx.gather(ctx.run_mutation(add, n=1), ctx.run_mutation(add, n=2, fail=True),
                         ctx.run_mutation(add, n=3))
    except ApplicationError as error:
        return error.data

@mutation
async def gather_patches(ctx: MutationCtx, id: str) -> Any:
    await ctx.gather(ctx.db.patch(id, {"a": 1}), ctx.db.patch(id, {"b": 2}))
    return await ctx.db.get(id)

@mutation
async def gather_new_tables(ctx: MutationCtx) -> None:
    await ctx.gather(*[ctx.db.insert(table, {"n": n}) for n, table in enumerate("uvuv")])

@query
async def gather_reads(ctx: QueryCtx, ids: list[str]) -> Any:
    gets = [ctx.db.get(each) for each in ids]
    return await ctx.gather(*gets, ctx.db.query("t").collect(), own(7))

async def own(n):
    return n

async def failing(ctx, steps, text, log):
    try:
        for _ in range(steps):
            await ctx.db.query("t").first()
        raise ValueError(text)
    finally:
        log.append(text)

async def patient(ctx, log):
    try:
        for _ in range(9):
            await ctx.db.query("t").first()
    finally:
        log.append("closed")

@query
async def gather_failures(ctx: QueryCtx, steps: list[int]) -> Any:
    log = []
    try:
        await ctx.gather(patient(ctx, log), *[failing(ctx, n, str(n), log) for n in steps])
    except ValueError as error:
        return [str(error), sorted(log)]

@query
async def gather_nothing(ctx: QueryCtx) -> Any:
    return await ctx.gather()

@query
async def gather_wrong(ctx: QueryCtx) -> Any:
    return await ctx.gather(own(1), 3)

@query
async def depth(ctx: QueryCtx, left: int) -> int:
    return 0 if left == 0 else 1 + await ctx.run_query(depth, left=left - 1)

@query
async def width(ctx: QueryCtx) -> int:
    return sum(await ctx.gather(*[ctx.run_query("m:reads") for _ in range(20)]))

@query
async def reads(ctx: QueryCtx) -> int:
    await ctx.db.query("t").first()
    return 1

@query
async def checked(ctx: QueryCtx, n: float) -> str:
    return n

@query
async def calls(ctx: QueryCtx, path: Any) -> Any:
    return await ctx.run_query(path)

@query
async def calls_number(ctx: QueryCtx) -> Any:
    return await ctx.run_query(3)

@mutation
async def calls_mutation(ctx: MutationCtx, path: str) -> Any:
    return await ctx.run_mutation(path)

@query
async def calls_checked(ctx: QueryCtx, n: Any) -> Any:
    return await ctx.run_query(checked, n=n)

@mutation
async def new_table_fails(ctx: MutationCtx) -> Any:
    try:
        await ctx.run_mutation(add, n=1, fail=True)
    except ApplicationError:
        pass
    return await ctx.db.query("t").collect()

@mutation
async def sees(ctx: MutationCtx) -> int:
    await ctx.db.insert("t", {"n": 1})
    return await ctx.run_query(count)

@query
async def count(ctx: QueryCtx) -> int:
    return len(await ctx.db.query("t").collect())
"""


@pytest.fixture
def world(make_world):
    return make_world(m=SOURCE)


def numbers(world):
    return [each["n"] for each in world.documents("t")]


def test_a_nested_mutation_that_fails_loses_its_own_writes_only(world):
    results = world.mutate("m:add_all", numbers=[1, 2, 3], failing=[2])
    assert results == ["ok", "no 2", "ok"]
    assert numbers(world) == [1, 3]


def test_a_table_made_by_a_nested_mutation_goes_with_it(world):
    assert world.mutate("m:new_table_fails") == []
    assert world.documents("_tables") == []
    world.mutate("m:add_all", numbers=[1, 2], failing=[1])
    assert [each["number"] for each in world.documents("_tables")] == [10_001]
    assert numbers(world) == [2]


def test_a_nested_query_sees_the_callers_writes(world):
    assert world.mutate("m:sees") == 1


def test_nested_functions_are_in_the_read_set_by_their_module(make_world):
    world = make_world(
        a="from .b import two\n\n@query\nasync def one(ctx: QueryCtx) -> int:\n"
        "    return await ctx.run_query(two)\n",
        b="@internal_query\nasync def two(ctx: QueryCtx) -> int:\n    return 2\n",
    )
    outcome = world.run("a:one", {})
    assert outcome.value == b"2.0"
    assert {module_range("a"), module_range("b")} <= set(outcome.read_ranges)


def test_depth_is_limited_and_width_is_not(world):
    assert world.query("m:depth", left=NESTED_CALLS_MAX) == NESTED_CALLS_MAX
    with pytest.raises(CallFailed, match=f"more than {NESTED_CALLS_MAX} levels deep"):
        world.query("m:depth", left=NESTED_CALLS_MAX + 1)
    assert world.query("m:width") == 20


@pytest.mark.parametrize(
    ("function", "path", "text"),
    [
        ("m:calls", "m:nothing", "Could not find function for 'm:nothing'."),
        ("m:calls", "m:add_all", "Trying to execute m.js:add_all as Query, but it is defined as"),
        ("m:calls", "not a path", "is not a function path"),
        ("m:calls", "_system/cli/tables", "Could not find function for '_system/cli/tables'."),
    ],
)
def test_nested_functions_that_can_not_be_called_are_named(world, function, path, text):
    with pytest.raises(CallFailed) as failed:
        world.query(function, path=path)
    assert text in str(failed.value)


def test_a_query_is_not_run_as_a_mutation(world):
    with pytest.raises(CallFailed, match=r"m\.js:count as Mutation, but it is defined as Query"):
        world.mutate("m:calls_mutation", path="m:count")


def test_what_is_no_function_is_refused(world):
    with pytest.raises(CallFailed, match="Name the function to run by the function itself"):
        world.query("m:calls_number")


def test_nested_arguments_and_results_are_validated(world):
    with pytest.raises(CallFailed, match="ArgumentValidationError: Value does not match"):
        world.query("m:calls_checked", n="x")
    with pytest.raises(CallFailed, match="ReturnsValidationError: Value does not match"):
        world.query("m:calls_checked", n=1)


# gather


def test_gathered_reads_go_out_as_one_batch_and_come_back_in_order(world):
    world.mutate("m:add_all", numbers=[1, 2], failing=[])
    ids = [each["_id"] for each in world.documents("t")]
    *gotten, listed, own = world.query("m:gather_reads", ids=ids)
    assert [each["n"] for each in gotten] == [each["n"] for each in listed] == [1, 2]
    assert own == 7
    assert [len(batch) for batch in world.batches] == [3]


def test_gathering_nothing_gives_nothing(world):
    assert world.query("m:gather_nothing") == []


def test_what_is_not_awaitable_is_named_by_its_place(world):
    with pytest.raises(
        CallFailed, match=r"ctx\.gather takes awaitables; argument 2 is of type int"
    ):
        world.query("m:gather_wrong")


def test_gathered_changes_of_one_document_add_up(world):
    world.mutate("m:add_all", numbers=[1], failing=[])
    (document,) = world.documents("t")
    assert {"a": 1, "b": 2}.items() <= world.mutate("m:gather_patches", id=document["_id"]).items()
    (stored,) = world.documents("t")
    assert {"a": 1, "b": 2, "n": 1}.items() <= stored.items()


def test_gathered_inserts_make_each_table_once(world):
    world.mutate("m:gather_new_tables")
    rows = world.documents("_tables")
    assert [(each["name"], each["number"]) for each in rows] == [("u", 10_001), ("v", 10_002)]
    assert [each["n"] for each in world.documents("u")] == [0, 2]


def test_gathered_nested_mutations_take_back_their_own_writes_only(world):
    world.mutate("m:add_all", numbers=[0], failing=[])
    assert world.mutate("m:gather_nested") == ["failed", "ok", "failed", "wrote"]
    assert numbers(world) == [0, 2, 4]


def test_after_a_failed_gather_what_was_finished_before_stays(world):
    world.mutate("m:add_all", numbers=[0], failing=[])
    assert world.mutate("m:gather_failing") == "no 2"
    assert numbers(world) == [0, 1]


def test_the_first_failure_in_argument_order_is_raised_and_the_rest_closed(world):
    world.mutate("m:add_all", numbers=[0], failing=[])
    assert world.query("m:gather_failures", steps=[2, 1, 1]) == ["1", ["1", "1", "2", "closed"]]
    assert world.query("m:gather_failures", steps=[2, 2]) == ["2", ["2", "2", "closed"]]

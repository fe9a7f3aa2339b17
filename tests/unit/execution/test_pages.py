"""paginate: options, limits and cursors (convex-protocol 6.4)."""

import pytest

from syncline.execution import pagination
from syncline.limits import PAGE_ITEMS_MAX
from syncline.values import wire_json
from tests.execution_world import CallFailed

SOURCE = """
@mutation
async def add(ctx: MutationCtx, numbers: list[int], size: int = 0) -> None:
    for n in numbers:
        await ctx.db.insert("t", {"n": n, "text": "x" * size})

@query
async def page(ctx: QueryCtx, options: Any, order: Any = "asc") -> Any:
    result = await ctx.db.query("t").order(order).paginate(options)
    return {**result, "page": [document["n"] for document in result["page"]]}

@query
async def even(ctx: QueryCtx, paginationOpts: PaginationOptions) -> Any:
    result = await ctx.db.query("t").filter(lambda d: d["n"] % 2 == 0).paginate(paginationOpts)
    return {**result, "page": [document["n"] for document in result["page"]]}

@query
async def twice(ctx: QueryCtx, paginationOpts: PaginationOptions) -> Any:
    await ctx.db.query("t").paginate(paginationOpts)
    await ctx.db.query("t").paginate(paginationOpts)

@query
async def after_collect(ctx: QueryCtx, options: Any) -> Any:
    await ctx.db.query("t").collect()
    result = await ctx.db.query("t").paginate(options)
    return {**result, "page": [document["n"] for document in result["page"]]}
"""


@pytest.fixture
def world(make_world):
    world = make_world(m=SOURCE)
    world.mutate("m:add", numbers=[0, 1, 2, 3, 4])
    return world


def page(world, function="m:page", name="options", **options):
    return world.query(function, **{name: {"cursor": None, **options}})


def test_a_page_ends_where_it_is_full(world):
    first = page(world, numItems=2)
    assert (first["page"], first["isDone"], first["pageStatus"]) == ([0, 1], False, None)
    second = page(world, numItems=2, cursor=first["continueCursor"])
    last = page(world, numItems=2, cursor=second["continueCursor"])
    assert (second["page"], last["page"], last["isDone"]) == ([2, 3], [4], True)
    after = page(world, numItems=2, cursor=last["continueCursor"])
    assert (after["page"], after["isDone"]) == ([], True)
    assert after["continueCursor"] == last["continueCursor"]


def test_the_read_set_of_a_page_ends_with_it(world):
    outcome = world.run("m:page", {"options": {"numItems": 2, "cursor": None}})
    documents = world.documents("t")
    keys = [world.catalog.table("t").keys(each, each["_id"])[1] for each in documents]
    read = [any(key in each for each in outcome.read_ranges) for key in keys]
    assert read == [True, True, False, False, False]


def test_filtered_documents_do_not_count_as_items(world):
    found = page(world, "m:even", "paginationOpts", numItems=2)
    assert (found["page"], found["isDone"]) == ([0, 2], False)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"numItems": 0}, "numItems must be at least 1."),
        ({"numItems": PAGE_ITEMS_MAX + 1}, f"numItems is {PAGE_ITEMS_MAX + 1}, the limit is"),
        ({"numItems": "2"}, "numItems must be a number, not '2'."),
        ({"numItems": float("nan")}, "numItems must be a number, not nan."),
        ({"numItems": True}, "numItems must be a number, not True."),
        ({}, "numItems must be a number, not None."),
        ({"numItems": 2, "cursor": 3}, "cursor must be a string or None, not 3."),
        ({"numItems": 2, "maximumRowsRead": "x"}, "maximumRowsRead must be a number, not 'x'."),
    ],
)
def test_bad_options_are_named(world, options, text):
    with pytest.raises(CallFailed) as failed:
        page(world, **options)
    assert text in str(failed.value)


def test_options_have_to_be_an_object(world):
    with pytest.raises(CallFailed, match="declare `paginationOpts: PaginationOptions`"):
        world.query("m:page", options=3)


def test_only_one_pagination_runs_in_an_execution(world):
    with pytest.raises(CallFailed, match="ran multiple paginated queries"):
        page(world, "m:twice", "paginationOpts", numItems=2)


@pytest.mark.parametrize("cursor", ["", "x", "YrRZgF55XRsB"])
def test_a_foreign_cursor_is_the_error_that_clients_recognise(world, cursor):
    with pytest.raises(CallFailed) as failed:
        page(world, numItems=2, cursor=cursor)
    error = failed.value.outcome.error
    assert "InvalidCursor" in error.message
    assert wire_json.decode(error.data) == {
        "isConvexSystemError": True,
        "paginationError": "InvalidCursor",
    }


def test_a_cursor_of_the_other_order_is_foreign(world):
    first = page(world, numItems=2)
    with pytest.raises(CallFailed, match="InvalidCursor"):
        world.query(
            "m:page", options={"numItems": 2, "cursor": first["continueCursor"]}, order="desc"
        )


def test_the_journal_of_an_empty_page_outlives_the_making_of_the_table(make_world):
    world = make_world(m=SOURCE)
    arguments = {"options": {"numItems": 2, "cursor": None}}
    empty = world.run("m:page", arguments)
    assert empty.error is None
    world.mutate("m:add", numbers=[1, 2, 3])
    again = world.run("m:page", arguments, journal=empty.journal)
    assert wire_json.decode(again.value)["page"] == [1, 2, 3]


def test_the_split_cursor_lies_in_the_middle_and_only_where_there_is_one(world):
    assert page(world, numItems=2)["splitCursor"] is None
    whole = page(world, numItems=5)
    assert page(world, numItems=1, endCursor=whole["splitCursor"])["page"] == [0, 1, 2]


def test_a_page_is_cut_at_the_rows_that_a_client_allows(world):
    cut = page(world, numItems=5, maximumRowsRead=2)
    assert (cut["page"], cut["isDone"], cut["pageStatus"]) == ([0, 1], False, "SplitRequired")
    rest = page(world, numItems=5, cursor=cut["continueCursor"], maximumRowsRead=3)
    assert (rest["page"], rest["isDone"]) == ([2, 3, 4], True)
    assert rest["pageStatus"] == "SplitRecommended"


def test_a_page_is_cut_at_the_bytes_that_a_client_allows_but_never_empty(world):
    size = len(wire_json.encode(world.documents("t")[0]))
    cut = page(world, numItems=5, maximumBytesRead=size * 2.5)
    assert (cut["page"], cut["pageStatus"]) == ([0, 1], "SplitRequired")
    assert page(world, numItems=5, maximumBytesRead=1)["page"] == [0]


def test_a_page_is_cut_before_the_run_would_fail(make_world):
    world = make_world(m=SOURCE)
    for n in range(18):
        world.mutate("m:add", numbers=[n], size=1_000_000)
    cut = page(world, numItems=100)
    assert cut["pageStatus"] == "SplitRequired"
    assert cut["page"] == list(range(16))
    rest = page(world, numItems=100, cursor=cut["continueCursor"])
    assert (rest["page"], rest["isDone"]) == ([16, 17], True)


def test_what_was_read_before_counts(make_world):
    world = make_world(m=SOURCE)
    for n in range(10):
        world.mutate("m:add", numbers=[n], size=1_000_000)
    cut = page(world, "m:after_collect", numItems=100)
    assert (cut["pageStatus"], cut["page"]) == ("SplitRequired", [0, 1, 2, 3, 4, 5])


def test_large_pages_recommend_a_split(world):
    assert pagination.PAGE_ROWS_SPLIT_RECOMMENDED == 6144
    assert page(world, numItems=5, maximumRowsRead=6)["pageStatus"] == "SplitRecommended"
    assert page(world, numItems=5, maximumRowsRead=7)["pageStatus"] is None

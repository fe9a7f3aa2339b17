"""Text search through the whole engine in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from syncline.testing import CallFailedError, Deployment

SCHEMA = """
from syncline import define_schema, define_table, v

schema = define_schema({
    "messages": define_table({"body": v.string(), "channel": v.string(), "author": v.string()})
        .search_index("search_body", search_field="body", filter_fields=["channel", "author"]),
    "notes": define_table({"title": v.optional(v.any())})
        .search_index("by_title", search_field="title", tokenizer="folded"),
})
"""

FUNCTIONS = """
from syncline import PaginationOptions, mutation, query

@mutation
async def add(ctx, body: str, channel: str = "general", author: str = "ada"):
    return await ctx.db.insert("messages", {"body": body, "channel": channel, "author": author})

@mutation
async def edit(ctx, id: str, body: str):
    await ctx.db.patch(id, {"body": body})

@mutation
async def remove(ctx, id: str):
    await ctx.db.delete(id)

def _search(ctx, text, channel, author):
    def build(q):
        q = q.search("body", text)
        if channel is not None:
            q = q.eq("channel", channel)
        return q if author is None else q.eq("author", author)
    return ctx.db.query("messages").with_search_index("search_body", build)

@query
async def find(ctx, text: str, channel: str | None = None, author: str | None = None,
               limit: int = 1000):
    found = await _search(ctx, text, channel, author).take(limit)
    return [each["body"] for each in found]

@query
async def count(ctx, text: str):
    return len(await _search(ctx, text, None, None).collect())

@query
async def find_first(ctx, text: str):
    found = await _search(ctx, text, None, None).first()
    return found and found["body"]

@query
async def find_odd(ctx, text: str):
    odd = _search(ctx, text, None, None).filter(lambda each: int(each["author"]) % 2)
    return [each["author"] async for each in odd]

@query
async def pages(ctx, text: str, paginationOpts: PaginationOptions):
    page = await _search(ctx, text, None, None).paginate(paginationOpts)
    return {**page, "page": [each["body"] for each in page["page"]]}

@mutation
async def fill(ctx, number: int, body: str):
    for at in range(number):
        await ctx.db.insert("messages", {"body": body, "channel": "c", "author": str(at)})

@mutation
async def write_and_find(ctx, id: str, gone: str, text: str):
    await ctx.db.patch(id, {"body": text})
    await ctx.db.delete(gone)
    await ctx.db.insert("messages", {"body": f"{text} {text}", "channel": "c", "author": "a"})
    found = await _search(ctx, text, None, None).collect()
    return [each["body"] for each in found]

@query
async def titles(ctx, text: str):
    found = await ctx.db.query("notes").with_search_index(
        "by_title", lambda q: q.search("title", text)).collect()
    return [each["title"] for each in found]

@mutation
async def note(ctx, title):
    await ctx.db.insert("notes", {"title": title})

@query
async def wrong(ctx, how: str):
    messages = ctx.db.query("messages")
    match how:
        case "no search":
            messages.with_search_index("search_body", lambda q: q)
        case "other field":
            messages.with_search_index("search_body", lambda q: q.search("author", "x"))
        case "no filter field":
            messages.with_search_index("search_body",
                                       lambda q: q.search("body", "x").eq("body", "x"))
        case "twice":
            messages.with_search_index("search_body",
                                       lambda q: q.search("body", "x").search("body", "y"))
        case "unknown":
            messages.with_search_index("by_nothing", lambda q: q.search("body", "x"))
        case "as an index":
            messages.with_index("search_body")
        case "index as search":
            messages.with_search_index("by_creation_time", lambda q: q.search("body", "x"))
        case "ordered":
            messages.with_search_index("search_body", lambda q: q.search("body", "x")).order("asc")
        case "filters":
            def build(q):
                q = q.search("body", "x")
                for _ in range(9):
                    q = q.eq("channel", "c")
                return q
            messages.with_search_index("search_body", build)
"""


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    folder = tmp_path / "functions"
    folder.mkdir()
    (folder / "schema.py").write_text(SCHEMA)
    (folder / "messages.py").write_text(FUNCTIONS)
    return folder


def run(functions: Path, test: Callable[[Deployment], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Deployment(functions) as app:
            await test(app)

    asyncio.run(main())


def test_documents_with_any_of_the_words_are_found_best_matches_first(functions):
    async def test(app: Deployment) -> None:
        for body in ("a quick fox", "the lazy dog", "quick quick fox", "Quick, brown FOX!", "Fox."):
            await app.mutation("messages:add", body=body)
        assert await app.query("messages:find", text="quick fox") == [
            "quick quick fox",
            "Quick, brown FOX!",
            "a quick fox",
            "Fox.",
        ]
        assert await app.query("messages:find", text="dog") == ["the lazy dog"]
        assert await app.query("messages:find", text="unheard") == []
        assert await app.query("messages:find", text="...") == []

    run(functions, test)


def test_the_last_word_may_be_the_beginning_of_one_and_others_may_not(functions):
    async def test(app: Deployment) -> None:
        await app.mutation("messages:add", body="reactive backend")
        assert await app.query("messages:find", text="back") == ["reactive backend"]
        assert await app.query("messages:find", text="reac") == ["reactive backend"]
        assert await app.query("messages:find", text="back xyz") == []

    run(functions, test)


def test_filters_select_by_equality(functions):
    async def test(app: Deployment) -> None:
        await app.mutation("messages:add", body="hi one", channel="a", author="x")
        await app.mutation("messages:add", body="hi two", channel="b", author="x")
        await app.mutation("messages:add", body="hi three", channel="b", author="y")
        find = "messages:find"
        assert await app.query(find, text="hi", channel="a") == ["hi one"]
        assert await app.query(find, text="hi", author="x") == ["hi two", "hi one"]
        assert await app.query(find, text="hi", channel="b", author="y") == ["hi three"]
        assert await app.query(find, text="hi", channel="c") == []

    run(functions, test)


def test_newer_documents_come_first_among_equal_matches(functions):
    async def test(app: Deployment) -> None:
        for name in ("aa", "bb", "cc"):
            await app.mutation("messages:add", body=f"same {name}")
        assert await app.query("messages:find", text="same") == ["same cc", "same bb", "same aa"]
        assert await app.query("messages:find_first", text="same") == "same cc"

    run(functions, test)


def test_changes_and_deletions_are_seen_at_once(functions):
    async def test(app: Deployment) -> None:
        first = await app.mutation("messages:add", body="alpha")
        await app.mutation("messages:add", body="beta")
        assert await app.query("messages:find", text="alpha") == ["alpha"]
        await app.mutation("messages:edit", id=first, body="gamma")
        assert await app.query("messages:find", text="alpha") == []
        assert await app.query("messages:find", text="gamma") == ["gamma"]
        await app.mutation("messages:remove", id=first)
        assert await app.query("messages:find", text="gamma") == []

    run(functions, test)


def test_a_mutation_finds_what_it_has_written_itself(functions):
    async def test(app: Deployment) -> None:
        changed = await app.mutation("messages:add", body="old")
        gone = await app.mutation("messages:add", body="news")
        await app.mutation("messages:add", body="the news of today")
        found = await app.mutation("messages:write_and_find", id=changed, gone=gone, text="news")
        assert sorted(found) == ["news", "news news", "the news of today"]
        assert found[0] == "news news"

    run(functions, test)


def test_a_subscription_gets_a_new_result_when_a_match_is_written_and_none_otherwise(functions):
    async def test(app: Deployment) -> None:
        async with app.subscribe("messages:find", text="hello", channel="a") as seen:
            await app.mutation("messages:add", body="hello there", channel="a")
            await app.mutation("messages:add", body="bye", channel="a")
            await app.mutation("messages:add", body="hello elsewhere", channel="b")
            assert seen.results == [[], ["hello there"]]

    run(functions, test)


def test_writes_beyond_the_leading_filters_do_not_run_a_search_again(functions):
    async def test(app: Deployment) -> None:
        async with app.subscribe("messages:find", text="hello", channel="a"):
            before = app.engine.queries.executions
            await app.mutation("messages:add", body="hello", channel="b")
            assert app.engine.queries.executions == before
            await app.mutation("messages:add", body="nothing", channel="a")
            assert app.engine.queries.executions == before + 1

    run(functions, test)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_pages_hold_every_result_once_in_order(functions, size):
    async def test(app: Deployment) -> None:
        for at in range(9):
            await app.mutation("messages:add", body=f"page {'page ' * (at % 3)}{at}")
        every = await app.query("messages:find", text="page")
        found: list[object] = []
        cursor = None
        while True:
            options = {"numItems": size, "cursor": cursor}
            page = await app.query("messages:pages", text="page", paginationOpts=options)
            found += page["page"]
            cursor = page["continueCursor"]
            if page["isDone"]:
                break
        assert found == every
        assert len(found) == 9

    run(functions, test)


def test_filter_and_async_for_work_on_results(functions):
    async def test(app: Deployment) -> None:
        await app.mutation("messages:fill", number=150, body="some")
        found = await app.query("messages:find_odd", text="some")
        assert found == [str(at) for at in range(149, 0, -2)]

    run(functions, test)


def test_1024_results_are_read_and_one_more_is_an_error(functions):
    async def test(app: Deployment) -> None:
        await app.mutation("messages:fill", number=1024, body="many")
        assert await app.query("messages:count", text="many") == 1024
        await app.mutation("messages:add", body="many")
        with pytest.raises(CallFailedError, match="more than 1024 results"):
            await app.query("messages:count", text="many")
        assert len(await app.query("messages:find", text="many", limit=1024)) == 1024

    run(functions, test)


def test_16_different_words_are_searched_and_one_more_is_an_error(functions):
    async def test(app: Deployment) -> None:
        await app.mutation("messages:add", body="w15")
        words = [f"w{at}" for at in range(16)]
        assert await app.query("messages:find", text=" ".join(words + words)) == ["w15"]
        with pytest.raises(CallFailedError, match=r"17 different terms \(limit: 16\)"):
            await app.query("messages:find", text=" ".join([*words, "w16"]))

    run(functions, test)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no search", "must call q.search"),
        ("other field", "it searches 'body'"),
        ("no filter field", r"not one of its filter fields: \['channel', 'author'\]"),
        ("twice", "calls q.search twice"),
        ("unknown", r"Search index messages.by_nothing does not exist.*\['search_body'\]"),
        ("as an index", "Index messages.search_body is an index of another kind"),
        ("index as search", "Search index messages.by_creation_time is an index of another kind"),
        ("ordered", r"takes no order\(...\)"),
        ("filters", "more than 8 filters"),
    ],
)
def test_misuse_is_explained(functions, how, message):
    async def test(app: Deployment) -> None:
        with pytest.raises(CallFailedError, match=message):
            await app.query("messages:wrong", how=how)

    run(functions, test)


def test_the_tokenizer_is_chosen_per_index_and_fields_without_text_are_not_found(functions):
    async def test(app: Deployment) -> None:
        for title in ("Café au lait", 7, None, "", "東京タワー"):
            await app.mutation("messages:note", title=title)
        assert await app.query("messages:titles", text="cafe") == ["Café au lait"]
        assert await app.query("messages:titles", text="京") == ["東京タワー"]
        assert await app.query("messages:titles", text="7") == []

    run(functions, test)


def test_an_index_added_by_a_push_finds_what_was_there_before(functions):
    async def test(app: Deployment) -> None:
        await app.mutation("messages:add", body="before the push", author="eve")
        schema = functions / "schema.py"
        other = SCHEMA.replace(
            SCHEMA[SCHEMA.index(".search_index(") : SCHEMA.index('\n    "notes')],
            '.search_index("search_body", search_field="author", filter_fields=["channel"]),',
        )
        schema.write_text(other)
        text = (functions / "messages.py").read_text()
        (functions / "messages.py").write_text(
            text.replace('q.search("body", text)', 'q.search("author", text)')
        )
        report = await app.push()
        assert report.added_indexes == ("messages.search_body",)
        assert await app.query("messages:find", text="eve") == ["before the push"]
        assert await app.query("messages:find", text="before") == []

    run(functions, test)

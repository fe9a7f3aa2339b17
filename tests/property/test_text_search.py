"""Text search equals a plain reference, whatever is written meanwhile and however it is indexed."""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncline.drivers.searches import Searches
from syncline.index.index_definition import BY_ID, index_id
from syncline.index.key_encoding import encode_value
from syncline.ports import RangeRead, TextRead
from syncline.search.entries import TextEntry
from syncline.search.scoring import levels, rank_key, ranked_id, score
from syncline.search.tokenizers import TOKENIZERS
from syncline.segments.text_segment import TextSegment
from syncline.testing import Deployment
from syncline.values import wire_json

SCHEMA = """
from syncline import define_schema, define_table, v

schema = define_schema({
    "texts": define_table({"body": v.string(), "a": v.number(), "b": v.optional(v.string())})
        .search_index("by_body", search_field="body", filter_fields=["a", "b"]),
})
"""

FUNCTIONS = """
from syncline import mutation, query

@mutation
async def write(ctx, at: int, body: str | None, a: int):
    documents = await ctx.db.query("texts").collect()
    if at >= len(documents):
        if body is not None:
            b = {"b": body[:1]} if a else {}
            await ctx.db.insert("texts", {"body": body, "a": a, **b})
    elif body is None:
        await ctx.db.delete(documents[at]["_id"])
    else:
        await ctx.db.patch(documents[at]["_id"], {"body": body, "a": a})

@query
async def find(ctx, text: str, a: int | None, limit: int):
    def build(q):
        q = q.search("body", text)
        return q if a is None else q.eq("a", a)
    found = await ctx.db.query("texts").with_search_index("by_body", build).take(limit)
    return [each["_id"] for each in found]

@mutation
async def write_and_find(ctx, at: int, body: str | None, a: int, text: str, limit: int):
    await ctx.run_mutation("texts:write", at=at, body=body, a=a)
    found = await ctx.run_query("texts:find", text=text, a=None, limit=limit)
    return [found, await ctx.db.query("texts").collect()]
"""

WORDS = ["a", "ab", "abc", "b", "ba", "c", "abcdef"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
WRITES = st.tuples(st.integers(0, 6), st.none() | TEXTS, st.integers(0, 2))
SEARCHES = st.tuples(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join),
    st.none() | st.integers(0, 2),
    st.integers(1, 5),
)
STEPS = st.lists(
    st.tuples(st.lists(WRITES, max_size=4), SEARCHES, st.booleans()), min_size=1, max_size=8
)


def reference(documents: list[dict], text: str, a: int | None) -> list[str]:
    """Ids of the matches, best first, by the words of docs/search.md."""
    terms = text.split()
    last, whole = terms[-1], set(terms[:-1]) - {terms[-1]}
    ranked = []
    for document in documents:
        if a is not None and document["a"] != a:
            continue
        words = document["body"].split()
        level = {
            word: 1 + int(15 * 0.999 * (n / (n + 1.2 * (0.25 + 0.75 * len(words) / 100))))
            for word, n in Counter(words).items()
        }
        beginnings = [points for word, points in level.items() if word.startswith(last)]
        points = max([2 * level.get(last, 0), *beginnings])
        points += sum(2 * level.get(word, 0) for word in whole)
        if points:
            ranked.append((-points, -document["_creationTime"], document["_id"]))
    return [each for _, _, each in sorted(ranked)]


async def all_documents(app: Deployment, ts: int) -> list[dict]:
    replica = app.engine.replica
    table = replica.catalog_at(ts).table("texts")
    lo = index_id(table.number, BY_ID)
    (page,) = await replica.reads(ts).read([RangeRead(lo, lo + b"\xff", 1000)])
    return [wire_json.decode(row.document) for row in page.rows]


async def found_by(searches: Searches, app: Deployment, ts: int, search: tuple) -> list[str]:
    text, a, limit = search
    replica = app.engine.replica
    index = replica.catalog_at(ts).table("texts").indexes["by_body"].index_id
    terms = tuple(reversed(dict.fromkeys(reversed(text.split()))))
    filters = () if a is None else ((0, encode_value(a)),)
    found: list[str] = []
    after, is_done = b"", False
    while not is_done:
        read = TextRead(index, terms, filters, after, limit)
        page = await searches.read(read, replica.reads(ts))
        ids = [ranked_id(row.key) for row in page.rows]
        assert [wire_json.decode(row.document)["_id"] for row in page.rows] == ids
        found += ids
        is_done = page.done
        after = page.rows[-1].key if page.rows else after
    return found


async def check(app: Deployment, steps: list) -> None:
    engine = app.engine
    seen: list[tuple[int, tuple]] = []
    for writes, search, is_taken_up in steps:
        text, a, limit = search
        # All at once: the search runs between the writes, and on top of some of them.
        answers = await asyncio.gather(
            *[app.mutation("texts:write", at=at, body=body, a=a) for at, body, a in writes],
            app.query("texts:find", text=text, a=a, limit=limit),
        )
        assert len(answers[-1]) <= limit
        ts = engine.latest_ts()
        expected = reference(await all_documents(app, ts), text, a)
        assert await app.query("texts:find", text=text, a=a, limit=limit) == expected[:limit]
        if is_taken_up:
            await engine._searches.advance()
        seen.append((ts, search))
        # The segment may be ahead of an old snapshot, or behind a new one.
        for then, earlier in seen:
            wanted = reference(await all_documents(app, then), *earlier[:2])
            assert await found_by(engine._searches, app, then, earlier) == wanted
    rebuilt = Searches(engine.replica)
    for then, earlier in seen:
        assert await found_by(rebuilt, app, then, earlier) == await found_by(
            engine._searches, app, then, earlier
        )


async def check_own_writes(app: Deployment, steps: list) -> None:
    for writes, (text, _, limit), is_taken_up in steps:
        for at, body, a in writes:
            arguments = {"at": at, "body": body, "a": a, "text": text, "limit": limit}
            found, documents = await app.mutation("texts:write_and_find", **arguments)
            assert found == reference(documents, text, None)[:limit]
        if is_taken_up:
            await app.engine._searches.advance()


def run(work, steps: list) -> None:
    async def main(folder: str) -> None:
        async with Deployment(folder) as app:
            await work(app, steps)

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "schema.py").write_text(SCHEMA)
        Path(folder, "texts.py").write_text(FUNCTIONS)
        asyncio.run(main(folder))


@settings(max_examples=60, deadline=None)
@given(STEPS)
@example([([(9, "a", 0)] * 4, ("a", None, 1), True), ([], ("a", None, 1), True)])
@example(
    [([(9, "a b", 0), (9, "a", 1)], ("a", None, 1), True), ([(0, None, 0)], ("a", 0, 5), True)]
)
def test_results_equal_the_reference_at_every_snapshot_and_after_a_rebuild(steps):
    run(check, steps)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_a_mutation_finds_its_own_writes_where_they_rank(steps):
    run(check_own_writes, steps)


def test_a_beginning_of_very_many_terms_finds_them_all():
    segment = TextSegment()
    entries = {}
    for at in range(1500):
        text = ["a.b", *["filler"] * (at % 40), f"a+{at}"]
        entries[str(at)] = TextEntry(float(at // 3), levels(text), ())
        segment.put(str(at), entries[str(at)])
    segment.publish()
    for terms in (["a+"], ["a."], ["a+1"], ["filler", "a+14"], ["a"], ["b"], ["a+.*"]):
        ranked = [(entry.rank(terms, (), name), name) for name, entry in entries.items()]
        wanted = sorted(each for each in ranked if each[0] is not None)
        assert segment.best(terms, (), after=b"", limit=1500, hidden=()) == wanted
        after, hidden = wanted[0][0] if wanted else b"", {"3", "30"}
        rest = [each for each in wanted[1:] if each[1] not in hidden]
        assert segment.best(terms, (), after=after, limit=7, hidden=hidden) == rest[:7]


@given(st.lists(st.sampled_from(WORDS), max_size=300), st.lists(st.sampled_from(WORDS), min_size=1))
def test_scores_fit_into_a_rank_and_better_ones_come_first(words, terms):
    distinct = list(dict.fromkeys(terms))
    points = score(levels(words), distinct)
    assert 0 <= points <= 30 * len(distinct)
    assert (points > 0) == any(word in distinct or word.startswith(distinct[-1]) for word in words)
    assert rank_key(points, 5.0, "x") > rank_key(points + 1, 5.0, "x")
    assert rank_key(points, 5.0, "x") > rank_key(points, 6.0, "x")
    assert rank_key(points, 5.0, "x") < rank_key(points, 5.0, "y")


@given(st.sampled_from(sorted(TOKENIZERS)), st.text())
def test_every_text_can_be_cut_into_terms_of_at_most_32_bytes(name, text):
    tokenizer = TOKENIZERS[name]
    for terms in (tokenizer.of_document(text), tokenizer.of_query(text)):
        assert all(0 < len(term.encode()) <= 32 for term in terms)
        assert not any(character.isspace() for term in terms for character in term)


@given(st.sampled_from(sorted(TOKENIZERS)), st.text("abc é東京都가나 -", min_size=1), st.data())
def test_what_has_been_typed_of_a_text_finds_it(name, text, data):
    typed = text[: data.draw(st.integers(1, len(text)))]
    terms = TOKENIZERS[name].of_query(typed)
    document = TOKENIZERS[name].of_document(text)
    assert bool(terms) <= bool(document)
    assert not terms or any(term.startswith(terms[-1]) for term in document)

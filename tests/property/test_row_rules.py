"""Row rules: what they hide can't be told from what is not there, by any method of `ctx.db`.

The same calls are made twice: by a user on a table with documents that the rules hide, and by an
admin, whom no rule touches, on a table that holds only what the user may see. Whatever comes back
has to be the same: results, errors, log lines, journals, cursors and changes.
"""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.ports import FunctionOutcome
from syncline.registration.registry import LoadedBundle
from syncline.schema.catalog import TableInfo
from syncline.values import wire_json
from syncline.values.document_id import encode_id
from tests.execution_world import World, bundle_of, change_of

RULES = """
from syncline import rules

async def is_shown(ctx, note):
    user = (await ctx.auth.get_user_identity()).subject
    if note["owner"] == user:
        return True
    member = await ctx.db.query("members").with_index(
        "by_team_user", lambda q: q.eq("team", note["team"]).eq("user", user)
    ).unique()
    return member is not None

rules("notes", read=is_shown)
"""

NOTES = """
def shaped(query, how):
    if how["index"]:
        low, high = how["low"], how["high"]
        query = query.with_index("by_rank", lambda q: q.gte("rank", low).lt("rank", high))
    if how["descending"]:
        query = query.order("desc")
    if how["filter"]:
        def even(note):
            print("filtering", note["_id"], note["rank"])
            return note["rank"] % 2 == 0
        query = query.filter(even)
    return query

@query
async def read(ctx, how: dict, method: str, n: int) -> Any:
    query = shaped(ctx.db.query("notes"), how)
    match method:
        case "collect":
            return await query.collect()
        case "take":
            return await query.take(n)
        case "first":
            return await query.first()
        case "unique":
            return await query.unique()
        case "iterate":
            return [note async for note in query]
        case "some":
            found = []
            async for note in query:
                found.append(note)
                if len(found) > n:
                    break
            return found
        case "gathered":
            others = [shaped(ctx.db.query("notes"), how).take(n) for _ in range(2)]
            return await ctx.gather(query.collect(), *others)
        case "nested":
            return await ctx.run_query(read, how=how, method="collect", n=n)

@query
async def page(ctx, how: dict, paginationOpts: PaginationOptions) -> Any:
    return await shaped(ctx.db.query("notes"), how).paginate(paginationOpts)

@query
async def get(ctx, ids: list[str]) -> Any:
    one = [await ctx.db.get(each) for each in ids]
    return [one, await ctx.gather(*[ctx.db.get(each) for each in ids])]

@mutation
async def change(ctx, operations: list) -> Any:
    told = []
    for kind, id in operations:
        try:
            if kind == "patch":
                await ctx.db.patch(id, {"rank": 3, "team": UNSET})
                await ctx.db.patch(id, {"team": "t0"})
            elif kind == "replace":
                await ctx.db.replace(id, {"owner": "ada", "team": "t1", "rank": 1})
            elif kind == "delete":
                await ctx.db.delete(id)
            else:
                await ctx.db.insert("notes", {"owner": "ada", "team": "t2", "rank": 2})
            told.append("done")
        except Exception as error:
            told.append(str(error))
        told.append(await ctx.db.query("notes").collect())
    return told
"""

USER = {"tokenIdentifier": "https://i.test|ada", "issuer": "https://i.test", "subject": "ada"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> LoadedBundle:
    return bundle_of(tmp_path_factory.mktemp("rules"), notes=NOTES, _rules=RULES)


@dataclass(frozen=True)
class Note:
    owner: str
    team: str
    rank: int


NOTE = st.builds(
    Note, st.sampled_from(["ada", "bob"]), st.sampled_from(["t0", "t1", "t2"]), st.integers(0, 5)
)
CASES = st.tuples(
    st.lists(NOTE, max_size=12), st.sets(st.sampled_from(["t0", "t1", "t2"]), max_size=2)
)
HOW = st.fixed_dictionaries(
    {
        "index": st.booleans(),
        "low": st.integers(0, 5),
        "high": st.integers(0, 8),
        "descending": st.booleans(),
        "filter": st.booleans(),
    }
)


class Twins:
    """A world with everything, and one with what Ada may see."""

    def __init__(self, bundle: LoadedBundle, notes: list[Note], teams: set[str]) -> None:
        self.whole, self.visible = World(bundle), World(bundle)
        self.ids: list[str] = []
        for world in (self.whole, self.visible):
            table = world.add_table("notes", by_rank=["rank"])
            members = world.add_table("members", by_team_user=["team", "user"])
            for at, team in enumerate(sorted(teams)):
                store(world, members, 1000 + at, {"team": team, "user": "ada"})
            self.ids = [encode_id(table.number, at.to_bytes(16, "big")) for at in range(len(notes))]
            for at, note in enumerate(notes):
                if world is self.whole or note.owner == "ada" or note.team in teams:
                    store(world, table, at, vars(note))
        self.whole.ts = self.visible.ts = 1000

    def both(self, path: str, arguments: dict[str, Any], **options: Any) -> FunctionOutcome:
        """What Ada is told, after a comparison with what she would be told if that were all."""
        told = self.whole.run(path, arguments, identity=USER, **options)
        reference = self.visible.run(path, arguments, is_admin=True, **options)
        assert (told.value, told.error) == (reference.value, reference.error)
        assert (told.log_lines, told.journal) == (reference.log_lines, reference.journal)
        assert [
            (each.document_id, each.before, each.after, each.keys_before, each.keys_after)
            for each in told.changes
        ] == [
            (each.document_id, each.before, each.after, each.keys_before, each.keys_after)
            for each in reference.changes
        ]
        return told


def store(world: World, table: TableInfo, at: int, fields: dict[str, Any]) -> None:
    document = {
        **fields,
        "_id": encode_id(table.number, at.to_bytes(16, "big")),
        "_creationTime": float(at + 1),
    }
    world.apply([change_of(table, None, document)])


METHODS = ["collect", "take", "first", "unique", "iterate", "some", "gathered", "nested"]


@given(case=CASES, how=HOW, method=st.sampled_from(METHODS), n=st.integers(0, 4))
def test_no_query_tells_of_a_hidden_document(bundle, case, how, method, n):
    Twins(bundle, *case).both("notes:read", {"how": how, "method": method, "n": n})


@given(case=CASES, data=st.data())
def test_no_id_tells_whether_a_hidden_document_exists(bundle, case, data):
    twins = Twins(bundle, *case)
    ids = data.draw(st.lists(st.sampled_from(twins.ids), max_size=4)) if twins.ids else []
    twins.both("notes:get", {"ids": ids})


@given(
    case=CASES,
    how=HOW,
    items=st.integers(1, 3),
    rows=st.none() | st.integers(1, 6),
    is_live=st.booleans(),
)
def test_no_page_and_no_cursor_tells_of_a_hidden_document(bundle, case, how, items, rows, is_live):
    twins = Twins(bundle, *case)
    cursor: str | None = None
    is_done = False
    while not is_done:
        options: dict[str, Any] = {"numItems": items, "cursor": cursor}
        if rows is not None:
            options["maximumRowsRead"] = rows
        arguments = {"how": how, "paginationOpts": options}
        told = twins.both("notes:page", arguments)
        page = value_of(told)
        if is_live:
            twins.both("notes:page", arguments, journal=told.journal)
        is_done, cursor = page["isDone"], page["continueCursor"]


@given(case=CASES, data=st.data())
def test_no_write_tells_of_a_hidden_document_or_changes_it(bundle, case, data):
    twins = Twins(bundle, *case)
    kinds = st.sampled_from(["patch", "replace", "delete"])
    known = st.tuples(kinds, st.sampled_from(twins.ids)) if twins.ids else st.nothing()
    operations = data.draw(st.lists(known | st.just(("insert", "")), max_size=4))
    arguments = {"operations": [list(each) for each in operations]}
    told = twins.both("notes:change", arguments, kind="mutation")
    hidden = {
        note_id
        for note_id, note in zip(twins.ids, case[0], strict=True)
        if note.owner != "ada" and note.team not in case[1]
    }
    assert not hidden & {each.document_id for each in told.changes}


def value_of(outcome: FunctionOutcome) -> Any:
    assert outcome.error is None, outcome.error
    assert outcome.value is not None
    return wire_json.decode(outcome.value)

"""Row rules hold for what a text or vector search finds, as for any other read."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from syncline.testing import Deployment

SCHEMA = """
from syncline import define_schema, define_table, v

schema = define_schema({
    "notes": define_table({"owner": v.string(), "body": v.string(), "at": v.array(v.number())})
        .search_index("by_body", search_field="body", filter_fields=["owner"])
        .vector_index("by_place", vector_field="at", dimensions=2, filter_fields=["owner"]),
})
"""
NOTES = """
from typing import Any
from syncline import MutationCtx, PaginationOptions, QueryCtx, mutation, query, rules

async def is_mine(ctx: QueryCtx, note: dict) -> bool:
    user = await ctx.auth.get_user_identity()
    return user is not None and note["owner"] == user.subject

rules("notes", read=is_mine)

@mutation
async def add(ctx: MutationCtx, owner: str, body: str, at: list[float]) -> None:
    await ctx.db.insert("notes", {"owner": owner, "body": body, "at": at})

@query
async def found(ctx: QueryCtx, words: str) -> list[str]:
    notes = ctx.db.query("notes").with_search_index("by_body", lambda q: q.search("body", words))
    return [note["body"] for note in await notes.collect()]

@query
async def page(ctx: QueryCtx, words: str, paginationOpts: PaginationOptions) -> Any:
    notes = ctx.db.query("notes").with_search_index("by_body", lambda q: q.search("body", words))
    return await notes.paginate(paginationOpts)

@query
async def near(ctx: QueryCtx, at: list[float], limit: int) -> list[str]:
    nearest = await ctx.vector_search("notes", "by_place", vector=at, limit=limit)
    return [(await ctx.db.without_rules.get(each["_id"]))["body"] for each in nearest]
"""


async def _filled(app: Deployment) -> None:
    for number in range(6):
        owner = ("ada", "bob")[number % 2]
        place = [1.0, number / 10]
        await app.mutation("notes:add", owner=owner, body=f"tea number{number}", at=place)


@pytest.mark.parametrize(("user", "mine"), [("ada", {0, 2, 4}), ("bob", {1, 3, 5}), ("eve", set())])
def test_searches_find_only_what_the_caller_may_see(tmp_path: Path, user: str, mine: set[int]):
    (tmp_path / "schema.py").write_text(SCHEMA)
    (tmp_path / "notes.py").write_text(NOTES)
    expected = {f"tea number{number}" for number in mine}

    async def paged(app: Deployment) -> list[str]:
        shown: list[str] = []
        options: dict[str, Any] = {"numItems": 1, "cursor": None}
        while True:
            page: Any = await app.query("notes:page", words="tea", paginationOpts=options)
            shown += [note["body"] for note in page["page"]]
            if page["isDone"]:
                return shown
            options["cursor"] = page["continueCursor"]

    async def main() -> None:
        async with Deployment(tmp_path) as admin:
            await _filled(admin)
            app = admin.as_user(subject=user)
            assert set(await app.query("notes:found", words="tea")) == expected
            assert set(await paged(app)) == expected
            assert set(await app.query("notes:near", at=[1.0, 0.0], limit=6)) == expected
            assert len(await admin.query("notes:found", words="tea")) == 6
            assert len(await admin.query("notes:near", at=[1.0, 0.0], limit=6)) == 6

    asyncio.run(main())

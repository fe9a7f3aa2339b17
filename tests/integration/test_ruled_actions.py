"""Row rules hold for what actions ask of their deployment, as for whoever called the action."""

import asyncio
from pathlib import Path

import pytest

from syncline.errors import ApplicationError
from syncline.testing import Deployment

NOTES = """
from syncline import (
    ActionCtx, MutationCtx, QueryCtx, action, internal_mutation, internal_query, mutation, rules,
)

async def is_mine(ctx: QueryCtx, note: dict) -> bool:
    user = await ctx.auth.get_user_identity()
    return user is not None and note["owner"] == user.subject

rules("notes", read=is_mine, insert=is_mine)

@internal_query
async def owners(ctx: QueryCtx) -> list[str]:
    return [note["owner"] for note in await ctx.db.query("notes").collect()]

@internal_mutation
async def add(ctx: MutationCtx, owner: str) -> None:
    await ctx.db.insert("notes", {"owner": owner})

@action
async def through(ctx: ActionCtx) -> list[str]:
    return await ctx.run_query(owners)

@action
async def write(ctx: ActionCtx, owner: str) -> None:
    await ctx.run_mutation(add, owner=owner)
"""


def test_an_action_sees_and_writes_what_its_caller_may(tmp_path: Path):
    (tmp_path / "notes.py").write_text(NOTES)

    async def main() -> None:
        async with Deployment(tmp_path) as admin:
            for owner in ("ada", "bob"):
                await admin.mutation("notes:add", owner=owner)
            ada, nobody = admin.as_user(subject="ada"), admin.as_anonymous()
            assert await admin.action("notes:through") == ["ada", "bob"]
            assert await ada.action("notes:through") == ["ada"]
            assert await nobody.action("notes:through") == []
            await ada.action("notes:write", owner="ada")
            for app in (ada, nobody):
                with pytest.raises(ApplicationError) as denied:
                    await app.action("notes:write", owner="bob")
                assert denied.value.data["code"] == "RowRuleDenied"
            assert await admin.action("notes:through") == ["ada", "bob", "ada"]

    asyncio.run(main())

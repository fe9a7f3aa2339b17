"""The example with row rules, in memory: who sees and changes what, live."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from syncline.errors import ApplicationError
from syncline.testing import CallFailedError, Deployment

FUNCTIONS = Path(__file__).resolve().parents[2] / "examples" / "auth-rules" / "functions"
ISSUER = "https://test.invalid"


def played(
    script: Callable[[Deployment, Deployment, Deployment], Coroutine[Any, Any, None]],
) -> None:
    """Run with an admin, Ada and Bob."""

    async def main() -> None:
        async with Deployment(FUNCTIONS) as app:
            await script(app, app.as_user(subject="ada"), app.as_user(subject="bob"))

    asyncio.run(main())


async def texts(app: Deployment) -> list[str]:
    return sorted(note["text"] for note in await app.query("notes:visible"))


def test_notes_are_seen_by_their_author_and_by_admins():
    async def script(app: Deployment, ada: Deployment, bob: Deployment) -> None:
        await ada.mutation("notes:write", text="by ada")
        await bob.mutation("notes:write", text="by bob")
        assert await texts(ada) == ["by ada"]
        assert await texts(bob) == ["by bob"]
        assert await texts(app.as_anonymous()) == []
        assert await texts(app) == ["by ada", "by bob"]

    played(script)


def test_a_team_shares_its_notes_until_a_member_leaves_and_screens_follow():
    async def script(app: Deployment, ada: Deployment, bob: Deployment) -> None:
        team = await ada.mutation("teams:create", name="Engine")
        await ada.mutation("notes:write", text="for the team", team=team)
        async with bob.subscribe("notes:visible") as screen:
            assert screen.current == []
            await ada.mutation("teams:invite", team=team, user=f"{ISSUER}|bob")
            assert [note["text"] for note in screen.current] == ["for the team"]
            assert [each["name"] for each in await bob.query("teams:mine")] == ["Engine"]
            await bob.mutation("teams:leave", team=team)
            assert screen.current == []
            assert len(screen.results) == 3

    played(script)


def test_what_others_wrote_can_be_neither_changed_nor_forged():
    async def script(app: Deployment, ada: Deployment, bob: Deployment) -> None:
        team = await ada.mutation("teams:create", name="Engine")
        private = await ada.mutation("notes:write", text="private")
        shared = await ada.mutation("notes:write", text="shared", team=team)
        await ada.mutation("teams:invite", team=team, user=f"{ISSUER}|bob")
        for call in ({"path": "notes:remove"}, {"path": "notes:edit", "text": "forged"}):
            path = call.pop("path")
            with pytest.raises(CallFailedError, match="nonexistent document"):
                await bob.mutation(path, note=private, **call)
            with pytest.raises(ApplicationError) as denied:
                await bob.mutation(path, note=shared, **call)
            assert denied.value.data["code"] == "RowRuleDenied"
        assert await texts(ada) == ["private", "shared"]

    played(script)


def test_nobody_writes_into_a_team_that_he_is_no_member_of():
    async def script(app: Deployment, ada: Deployment, bob: Deployment) -> None:
        team = await ada.mutation("teams:create", name="Engine")
        with pytest.raises(ApplicationError) as denied:
            await bob.mutation("notes:write", text="spam", team=team)
        assert denied.value.data["operation"] == "insert"
        with pytest.raises(ApplicationError, match="There is no such team"):
            await bob.mutation("teams:invite", team=team, user=f"{ISSUER}|bob")
        with pytest.raises(ApplicationError, match="Sign in"):
            await app.as_anonymous().mutation("notes:write", text="anonymous")

    played(script)

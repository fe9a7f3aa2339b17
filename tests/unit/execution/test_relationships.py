"""syncline.relationships: 1:1, 1:n and n:n by document id."""

import pytest

from tests.execution_world import CallFailed

SOURCE = """
@mutation
async def fill(ctx: MutationCtx) -> list[str]:
    ada = await ctx.db.insert("users", {"name": "ada"})
    bob = await ctx.db.insert("users", {"name": "bob"})
    await ctx.db.insert("profiles", {"user": ada, "text": "hi"})
    red = await ctx.db.insert("tags", {"name": "red"})
    blue = await ctx.db.insert("tags", {"name": "blue"})
    for user, tag in [(ada, red), (ada, blue), (bob, blue)]:
        await ctx.db.insert("userTags", {"user": user, "tag": tag})
    return [ada, bob]

@query
async def all_of(ctx: QueryCtx, ids: list[str]) -> Any:
    found = await relationships.get_all(ctx, ids)
    return [each and each["name"] for each in found]

@query
async def profile(ctx: QueryCtx, user: str) -> Any:
    found = await relationships.get_one_from(ctx, "profiles", "by_user", user)
    return found and found["text"]

@query
async def tags_of(ctx: QueryCtx, user: str) -> Any:
    found = await relationships.get_many_via(ctx, "userTags", "tag", "by_user", user)
    return [each["name"] for each in found]

@query
async def joins_of(ctx: QueryCtx, user: str) -> int:
    return len(await relationships.get_many_from(ctx, "userTags", "user_tag", user, "user"))

@query
async def one_tag(ctx: QueryCtx, user: str) -> Any:
    return await relationships.get_one_from(ctx, "userTags", "by_user", user)
"""


@pytest.fixture
def world(make_world):
    world = make_world(m=SOURCE)
    world.add_table("profiles", by_user=["user"])
    world.add_table("userTags", by_user=["user"], user_tag=["user", "tag"])
    return world


def test_documents_by_id_come_in_order_and_in_one_batch(world):
    ada, bob = world.mutate("m:fill")
    assert world.query("m:all_of", ids=[bob, ada, bob]) == ["bob", "ada", "bob"]
    assert [len(batch) for batch in world.batches] == [3]


def test_one_to_one_backwards(world):
    ada, bob = world.mutate("m:fill")
    assert world.query("m:profile", user=ada) == "hi"
    assert world.query("m:profile", user=bob) is None
    with pytest.raises(CallFailed, match="more than one result"):
        world.query("m:one_tag", user=ada)


def test_one_to_many_names_the_field_if_the_index_does_not(world):
    ada, bob = world.mutate("m:fill")
    assert world.query("m:joins_of", user=ada) == 2
    assert world.query("m:joins_of", user=bob) == 1


def test_many_to_many_takes_two_batches(world):
    ada, bob = world.mutate("m:fill")
    assert world.query("m:tags_of", user=ada) == ["red", "blue"]
    assert [len(batch) for batch in world.batches] == [1, 2]
    assert world.query("m:tags_of", user=bob) == ["blue"]

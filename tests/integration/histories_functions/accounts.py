"""Pairs of accounts whose sum must not fall below zero: the classic invitation to write skew.

A withdrawal reads both accounts and writes one.
"""

from typing import TypedDict

from syncline import MutationCtx, QueryCtx, mutation, query


class Withdrawn(TypedDict):
    """What a withdrawal saw, and whether it took the money."""

    seen: list[int]
    taken: bool


@mutation
async def open_pair(ctx: MutationCtx, pair: str, left: int, right: int) -> None:
    for side, money in enumerate((left, right)):
        await ctx.db.insert("accounts", {"pair": pair, "side": side, "money": money})


@mutation
async def withdraw(ctx: MutationCtx, pair: str, side: int, amount: int) -> Withdrawn:
    accounts = await _accounts(ctx, pair)
    seen = [int(account["money"]) for account in accounts]
    if sum(seen) < amount:
        return {"seen": seen, "taken": False}
    await ctx.db.patch(accounts[side]["_id"], {"money": seen[side] - amount})
    return {"seen": seen, "taken": True}


@query
async def balance(ctx: QueryCtx, pair: str) -> list[int]:
    return [int(account["money"]) for account in await _accounts(ctx, pair)]


async def _accounts(ctx: QueryCtx, pair: str) -> list[dict]:
    of_pair = ctx.db.query("accounts").with_index("by_pair", lambda q: q.eq("pair", pair))
    return await of_pair.collect()

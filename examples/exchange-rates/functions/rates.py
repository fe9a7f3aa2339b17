"""Exchange rates from a service on the web, kept as documents that clients follow."""

from typing import TypedDict

import aiohttp

from syncline import (
    ActionCtx,
    ApplicationError,
    MutationCtx,
    QueryCtx,
    action,
    internal_mutation,
    internal_query,
    query,
)

SERVICE = "https://api.frankfurter.dev/v1/latest"
"""Answers {"base": "EUR", "date": "2030-01-01", "rates": {"USD": 1.1, ...}}."""
SECONDS_MAX = 10.0
FRESH_SECONDS = 3600.0


class Rates(TypedDict):
    base: str
    day: str
    rates: dict[str, float]


@query
async def of(ctx: QueryCtx, base: str, currency: str) -> dict | None:
    """The newest known rate; a subscriber sees every new one at once."""
    return (
        await ctx.db.query("rates")
        .with_index("by_pair", lambda q: q.eq("base", base).eq("currency", currency))
        .first()
    )


@action
async def refresh(ctx: ActionCtx, base: str) -> int:
    """Ask the service for today's rates, unless that was done within the last hour."""
    known = await ctx.run_query(newest, base=base)
    if known is not None and ctx.now.timestamp() - known / 1000 < FRESH_SECONDS:
        return 0
    answer = await fetch(ctx, base)
    rates = Rates(base=answer["base"], day=answer["date"], rates=answer["rates"])
    return await ctx.run_mutation(store, rates=rates)


async def fetch(ctx: ActionCtx, base: str) -> dict:
    """The service's answer; ordinary Python, with the timeouts that any web client needs."""
    address = ctx.env.get("RATES_URL", SERVICE)
    timeout = aiohttp.ClientTimeout(total=SECONDS_MAX)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(address, params={"base": base}) as response,
        ):
            if response.status == 404:
                raise ApplicationError({"code": "unknown currency", "currency": base})
            response.raise_for_status()
            return await response.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        ctx.log.warning("the service of exchange rates failed: %s", error)
        raise ApplicationError({"code": "service unavailable"}) from error


@internal_query
async def newest(ctx: QueryCtx, base: str) -> float | None:
    """When rates of this currency were stored last, in ms since the epoch."""
    rate = await ctx.db.query("rates").with_index("by_pair", lambda q: q.eq("base", base)).first()
    return None if rate is None else rate["_creationTime"]


@internal_mutation
async def store(ctx: MutationCtx, rates: Rates) -> int:
    """Replace all rates of a currency in one transaction: nobody sees half of them."""
    base = rates["base"]
    old = await ctx.db.query("rates").with_index("by_pair", lambda q: q.eq("base", base)).collect()
    for rate in old:
        await ctx.db.delete(rate["_id"])
    for currency, rate in rates["rates"].items():
        document = {"base": base, "currency": currency, "rate": rate, "day": rates["day"]}
        await ctx.db.insert("rates", document)
    return len(rates["rates"])

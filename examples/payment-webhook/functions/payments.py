"""Payments that a provider reports by webhook: checked, then stored once each."""

import json

from syncline import (
    ActionCtx,
    ApplicationError,
    MutationCtx,
    QueryCtx,
    internal_action,
    internal_mutation,
    query,
)

from ._signature import BadSignatureError, verify


@query
async def of_order(ctx: QueryCtx, order: str) -> list[dict]:
    """The payments of an order; a page that waits for one sees it at once."""
    return (
        await ctx.db.query("payments")
        .with_index("by_order", lambda q: q.eq("order", order))
        .collect()
    )


@internal_action
async def receive(ctx: ActionCtx, payload: str, signature: str) -> str:
    """Take in one message of the provider: its body as it came, and its signature header."""
    try:
        verify(payload, signature, ctx.env["PAYMENT_WEBHOOK_SECRET"], ctx.now.timestamp())
    except BadSignatureError as error:
        ctx.log.warning("a webhook was refused: %s", error)
        raise ApplicationError({"code": "bad signature"}) from error
    # Only now is it worth reading.
    event = json.loads(payload)
    if event["type"] != "payment.succeeded":
        return "ignored"
    return await ctx.run_mutation(
        store,
        event=event["id"],
        order=event["data"]["order"],
        amount=event["data"]["amount"],
        currency=event["data"]["currency"],
    )


@internal_mutation
async def store(ctx: MutationCtx, event: str, order: str, amount: float, currency: str) -> str:
    """Store a payment, once: providers send a message again until they are answered."""
    known = (
        await ctx.db.query("payments")
        .with_index("by_event", lambda q: q.eq("event", event))
        .first()
    )
    if known is not None:
        return "known"
    document = {"event": event, "order": order, "amount": amount, "currency": currency}
    await ctx.db.insert("payments", document)
    return "stored"

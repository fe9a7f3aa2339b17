"""E-mails that are sent later, by a provider's HTTP service, and can be cancelled until then."""

from typing import Annotated, Any, Literal, TypedDict

import aiohttp

from syncline import (
    ActionCtx,
    ApplicationError,
    Id,
    MutationCtx,
    QueryCtx,
    internal_action,
    internal_mutation,
    mutation,
    query,
    v,
)

PROVIDER = "http://127.0.0.1:8025/emails"
"""Takes {"to", "subject", "text"}; provider.py stands for it."""
SECONDS_MAX = 10.0
EmailId = Annotated[Id, v.id("emails")]


class Email(TypedDict):
    _id: EmailId
    to: str
    subject: str
    state: str


@query
async def newest(ctx: QueryCtx) -> list[Email]:
    """The newest e-mails and how far each one is; live, as every query."""
    emails = await ctx.db.query("emails").order("desc").take(50)
    return [
        {
            "_id": email["_id"],
            "to": email["to"],
            "subject": email["subject"],
            "state": await _state(ctx, email),
        }
        for email in emails
    ]


@mutation
async def send(ctx: MutationCtx, to: str, subject: str, body: str, seconds: float) -> EmailId:
    """Store an e-mail and schedule its delivery, both or neither."""
    if "@" not in to:
        raise ApplicationError("This is no e-mail address.")
    email = {"to": to, "subject": subject, "body": body, "job": None, "outcome": None}
    stored = await ctx.db.insert("emails", email)
    message = {"to": to, "subject": subject, "text": body}
    job = await ctx.scheduler.run_after(seconds, deliver, email=stored, message=message)
    await ctx.db.patch(stored, {"job": job})
    return stored


@mutation
async def cancel(ctx: MutationCtx, email: EmailId) -> None:
    """Don't send it. What is on its way can't be called back."""
    found = await ctx.db.get(email)
    if found is None or await _state(ctx, found) != "pending":
        raise ApplicationError("It is too late to cancel this e-mail.")
    await ctx.scheduler.cancel(found["job"])


@internal_action
async def deliver(ctx: ActionCtx, email: EmailId, message: dict[str, str]) -> None:
    """Starts at most once, so that nobody gets an e-mail twice."""
    timeout = aiohttp.ClientTimeout(total=SECONDS_MAX)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.post(ctx.env.get("EMAIL_URL", PROVIDER), json=message) as response,
    ):
        if response.status >= 500:
            response.raise_for_status()
        accepted = response.status < 300
    await ctx.run_mutation(finish, email=email, outcome="sent" if accepted else "refused")


@internal_mutation
async def finish(ctx: MutationCtx, email: EmailId, outcome: Literal["sent", "refused"]) -> None:
    await ctx.db.patch(email, {"outcome": outcome})


async def _state(ctx: QueryCtx, email: dict[str, Any]) -> str:
    """`sent` or `refused` by the provider, or how far the scheduler is."""
    if email["outcome"] is not None:
        return email["outcome"]
    job = await ctx.db.system.get(email["job"])
    return job["state"]["kind"] if job else "forgotten"

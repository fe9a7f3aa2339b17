"""The example of scheduled e-mails, with a stub of the provider's service on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from syncline.errors import ApplicationError
from syncline.testing import Deployment

FUNCTIONS = Path(__file__).resolve().parents[2] / "examples" / "scheduled-emails" / "functions"


class Provider:
    """Takes e-mails in, and keeps them."""

    def __init__(self) -> None:
        self.taken: list[dict[str, str]] = []
        self.status = 202
        self.address = ""

    async def take(self, request: web.Request) -> web.Response:
        self.taken.append(await request.json())
        return web.Response(status=self.status)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Provider"]:
        app = web.Application()
        app.router.add_post("/emails", self.take)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            self.address = f"http://{host}:{port}/emails"
            yield self
        finally:
            await runner.cleanup()


def played(script: Callable[[Deployment, Provider], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with Provider().running() as provider, Deployment(FUNCTIONS) as app:
            await app.set_environment(EMAIL_URL=provider.address)
            await script(app, provider)

    asyncio.run(main())


async def sent_in_a_minute(app: Deployment) -> str:
    email = {"to": "ada@example.com", "subject": "Tea?", "body": "At four."}
    return await app.mutation("emails:send", **email, seconds=60.0)


def test_an_email_goes_out_when_it_is_due_and_its_state_is_live():
    async def script(app: Deployment, provider: Provider) -> None:
        async with app.subscribe("emails:newest") as emails:
            await sent_in_a_minute(app)
            await app.advance(seconds=59)
            assert provider.taken == []
            await app.advance(seconds=2)
        assert provider.taken == [{"to": "ada@example.com", "subject": "Tea?", "text": "At four."}]
        states = [email["state"] for result in emails.results for email in result]
        assert (states[0], states[-1]) == ("pending", "sent")

    played(script)


def test_a_cancelled_email_never_goes_out_and_a_sent_one_cannot_be_cancelled():
    async def script(app: Deployment, provider: Provider) -> None:
        first, second = await sent_in_a_minute(app), await sent_in_a_minute(app)
        await app.mutation("emails:cancel", email=first)
        await app.advance(seconds=61)
        assert len(provider.taken) == 1
        states = {each["_id"]: each["state"] for each in await app.query("emails:newest")}
        assert states == {first: "canceled", second: "sent"}
        with pytest.raises(ApplicationError):
            await app.mutation("emails:cancel", email=second)

    played(script)


@pytest.mark.parametrize(("status", "state"), [(422, "refused"), (503, "failed")])
def test_what_the_provider_does_not_take_is_shown_and_not_tried_again(status: int, state: str):
    async def script(app: Deployment, provider: Provider) -> None:
        provider.status = status
        await sent_in_a_minute(app)
        await app.advance(seconds=600)
        assert len(provider.taken) == 1
        assert [each["state"] for each in await app.query("emails:newest")] == [state]

    played(script)

"""The example that calls a service on the web, with a stub of that service on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from syncline.errors import ApplicationError
from syncline.testing import Deployment

FUNCTIONS = Path(__file__).resolve().parents[2] / "examples" / "exchange-rates" / "functions"


class Service:
    """Answers as the real one, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.rate = 1.25
        self.fails = False
        self.address = ""

    async def latest(self, request: web.Request) -> web.Response:
        base = request.query["base"]
        self.asked.append(base)
        if self.fails:
            return web.Response(status=503)
        if base == "ABC":
            return web.Response(status=404)
        rates = {"USD": self.rate, "JPY": 160.5}
        return web.json_response({"base": base, "date": "2030-01-01", "rates": rates})

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Service"]:
        app = web.Application()
        app.router.add_get("/latest", self.latest)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.address = f"http://{host}:{port}/latest"
            yield self
        finally:
            await runner.cleanup()


def played(script: Callable[[Deployment, Service], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with Service().running() as service, Deployment(FUNCTIONS) as app:
            await app.set_environment(RATES_URL=service.address)
            await script(app, service)

    asyncio.run(main())


def test_fetched_rates_reach_subscribers():
    async def script(app: Deployment, service: Service) -> None:
        async with app.subscribe("rates:of", base="EUR", currency="USD") as rate:
            assert await app.as_anonymous().action("rates:refresh", base="EUR") == 2
        assert [seen and seen["rate"] for seen in rate.results] == [None, 1.25]

    played(script)


def test_the_service_is_asked_once_an_hour():
    async def script(app: Deployment, service: Service) -> None:
        await app.action("rates:refresh", base="EUR")
        assert await app.action("rates:refresh", base="EUR") == 0
        assert service.asked == ["EUR"]
        service.rate = 1.5
        await app.advance(seconds=3700)
        assert await app.action("rates:refresh", base="EUR") == 2
        newest = await app.query("rates:of", base="EUR", currency="USD")
        assert newest["rate"] == 1.5

    played(script)


@pytest.mark.parametrize(
    ("base", "fails", "code"),
    [("ABC", False, "unknown currency"), ("EUR", True, "service unavailable")],
)
def test_what_goes_wrong_is_told_with_data_and_stores_nothing(base: str, fails: bool, code: str):
    async def script(app: Deployment, service: Service) -> None:
        service.fails = fails
        with pytest.raises(ApplicationError) as caught:
            await app.action("rates:refresh", base=base)
        assert caught.value.data["code"] == code
        assert await app.query("rates:of", base=base, currency="USD") is None

    played(script)


def test_nobody_but_functions_stores_rates():
    async def script(app: Deployment, service: Service) -> None:
        with pytest.raises(Exception, match="Could not find public function"):
            await app.as_user("ada").mutation("rates:store", rates={})

    played(script)

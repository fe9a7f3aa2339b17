"""What the contract of the session store runs against."""

import asyncio
from collections.abc import Awaitable, Callable

from syncline.aws.dynamo_sessions import DynamoSessions
from syncline.ports import SessionStore
from syncline.simulated.gateway import MemorySessionStore
from syncline.simulated.world import World
from tests.contract.moto_tables import moto_table

Scenario = Callable[[SessionStore], Awaitable[None]]

WithSessions = Callable[[Scenario], None]
"""Runs a scenario on an empty store."""


def with_simulated_sessions(scenario: Scenario) -> None:
    async def run(store: SessionStore) -> None:
        await scenario(store)

    with World(1) as world:
        world.run(run(MemorySessionStore(world)))


def with_dynamo_sessions(scenario: Scenario) -> None:
    async def run() -> None:
        await scenario(DynamoSessions("sessions"))

    with moto_table("sessions", {"c": "S"}):
        asyncio.run(run())


SESSIONS: dict[str, WithSessions] = {
    "simulated": with_simulated_sessions,
    "dynamodb": with_dynamo_sessions,
}
"""Every adapter by name: a new one is added here."""

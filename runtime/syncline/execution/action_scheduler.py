"""`ctx.scheduler` of actions (api.md): what mutations have, each call a transaction of its own."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from syncline.action_ports import UseScheduler
from syncline.execution.scheduler import delay_ms, moment_ms, scheduled_id
from syncline.registration.registry import path_of
from syncline.values import wire_json
from syncline.values.value import normalize

if TYPE_CHECKING:
    from syncline.execution.action_context import ActionRun


class ActionScheduler:
    """When a call returns, what it did is durable."""

    def __init__(self, run: "ActionRun") -> None:
        self._run = run

    async def run_after(
        self, delay: float | timedelta, function: object, /, **arguments: object
    ) -> str:
        """Run a mutation or action `delay` (seconds) from now; returns its id.

        Raises:
            DeveloperError: InvalidDelay.
            CallFailedError: the function does not exist, or can't be scheduled.
        """
        due = self._run.clock.now_ns() / 1e6 + delay_ms(delay)
        return await self._schedule(due, function, arguments)

    async def run_at(self, moment: datetime, function: object, /, **arguments: object) -> str:
        """The same at a moment; one that is over means at once. DeveloperError: InvalidMoment."""
        return await self._schedule(moment_ms(moment), function, arguments)

    async def _schedule(self, due: float, function: object, arguments: dict[str, object]) -> str:
        wanted = {"name": path_of(function), "arguments": arguments, "due": due}
        encoded = wire_json.encode(normalize(wanted))
        return str(await self._run.ask(UseScheduler("schedule", encoded)))

    async def cancel(self, scheduled: str, /) -> None:
        """Don't run it, as in mutations. DeveloperError: InvalidScheduledFunctionId."""
        wanted = wire_json.encode({"id": scheduled_id(scheduled)})
        await self._run.ask(UseScheduler("cancel", wanted))

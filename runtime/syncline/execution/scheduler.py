"""`ctx.scheduler` of mutations, and what it has in common with that of actions (api.md).

In a mutation, scheduling is part of the transaction: what is rolled back was never scheduled.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, cast

from syncline.errors import DeveloperError
from syncline.execution.called_function import display_name
from syncline.execution.calls import ContextCall, ContextCalls
from syncline.execution.database import DatabaseWriter
from syncline.execution.determinism.call_state import CallState
from syncline.execution.scheduled_functions import ScheduledFunctions
from syncline.function_path import SYSTEM_PREFIX
from syncline.limits import (
    SCHEDULED_ARGUMENTS_BYTES_MAX,
    SCHEDULED_DAYS_MAX,
)
from syncline.registration.registry import FunctionDefinition, path_of
from syncline.transaction.transaction import Transaction
from syncline.transaction.usage import LimitExceededError
from syncline.values import wire_json
from syncline.values.document_id import decode_id
from syncline.values.value import normalize

FindDefinition = Callable[[str], FunctionDefinition | None]

_SCHEDULED_NUMBER: Final = 517
_MAX_MS: Final = SCHEDULED_DAYS_MAX * 86_400_000.0


class Scheduler:
    """Functions that run later, once this mutation is committed."""

    def __init__(
        self,
        transaction: Transaction,
        calls: ContextCalls,
        state: CallState,
        find: FindDefinition,
    ) -> None:
        self._calls = calls
        self._state = state
        self._find = find
        self._usage = transaction.usage
        self._rows = DatabaseWriter(transaction, calls, is_system=True)

    def run_after(
        self, delay: float | timedelta, function: object, /, **arguments: object
    ) -> ContextCall[str]:
        """Run a mutation or action `delay` (seconds) from now; returns its id.

        It runs as nobody, with what is deployed then: a mutation exactly once, an action at most
        once (docs/scheduling.md).

        Raises:
            DeveloperError: InvalidDelay: not a number of seconds from 0 to five years;
                FunctionNotFound; WrongFunctionKind: a query;
                TooManyFunctionsScheduled; ScheduledArgumentsTooLarge.
        """
        return self._calls.made(
            "ctx.scheduler.run_after",
            self._schedule(function, arguments, lambda now: now + delay_ms(delay)),
        )

    def run_at(
        self, moment: datetime, function: object, /, **arguments: object
    ) -> ContextCall[str]:
        """The same at a moment; one that is over means at once.

        Raises:
            DeveloperError: InvalidMoment: it has no time zone, or is five years away; others as
                `run_after`.
        """
        return self._calls.made(
            "ctx.scheduler.run_at",
            self._schedule(function, arguments, lambda _: moment_ms(moment)),
        )

    def cancel(self, scheduled: str, /) -> ContextCall[None]:
        """Don't run it. An action that runs already goes on; what has ended stays as it is.

        Raises:
            DeveloperError: InvalidScheduledFunctionId.
        """
        return self._calls.made("ctx.scheduler.cancel", self._cancel(scheduled))

    async def _cancel(self, scheduled: str) -> None:
        checked = scheduled_id(scheduled)
        await ScheduledFunctions(self._rows, self._now_ms()).cancel(checked)

    async def _schedule(
        self, function: object, arguments: dict[str, object], when: Callable[[float], float]
    ) -> str:
        now = self._now_ms()
        due = when(now)
        if abs(due - now) > _MAX_MS:
            raise _too_far()
        path = path_of(function)
        kind = self._kind(path)
        given = normalize(arguments)
        assert isinstance(given, dict)
        size = len(wire_json.encode(given))
        if size > SCHEDULED_ARGUMENTS_BYTES_MAX:
            raise LimitExceededError(
                "ScheduledArgumentsTooLarge",
                f"Arguments for the scheduled function '{display_name(path)}' have {size} bytes; "
                f"the limit is {SCHEDULED_ARGUMENTS_BYTES_MAX}. Store them and pass an id.",
            )
        self._usage.schedule_function()
        return await ScheduledFunctions(self._rows, now).add(kind, path, given, due)

    def _kind(self, path: str) -> Literal["mutation", "action"]:
        definition = None if path.startswith(SYSTEM_PREFIX) else self._find(path)
        if definition is None:
            raise DeveloperError(
                "FunctionNotFound",
                f"Attempted to schedule function '{display_name(path)}', which does not exist.",
            )
        if definition.kind not in {"mutation", "action"}:
            raise DeveloperError(
                "WrongFunctionKind",
                f"Attempted to schedule '{display_name(path)}', which is a {definition.kind}: only "
                "mutations and actions can be scheduled.",
            )
        return cast('Literal["mutation", "action"]', definition.kind)

    def _now_ms(self) -> float:
        return self._state.clock_ns("ctx.scheduler") / 1e6


def delay_ms(delay: object) -> float:
    """Milliseconds of a delay in seconds. DeveloperError: InvalidDelay."""
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not math.isfinite(seconds)
        or seconds < 0
    ):
        raise DeveloperError(
            "InvalidDelay",
            "A function is scheduled for a number of seconds, or a timedelta, from 0 up; not "
            f"{delay!r}.",
        )
    if seconds * 1000 > _MAX_MS:
        raise _too_far()
    return seconds * 1000


def moment_ms(moment: object) -> float:
    """Milliseconds since the epoch. DeveloperError: InvalidMoment."""
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise DeveloperError(
            "InvalidMoment",
            "A function is scheduled for a datetime with a time zone, such as "
            f"`ctx.now + timedelta(days=1)`; not {moment!r}.",
        )
    return moment.astimezone(UTC).timestamp() * 1000


def scheduled_id(scheduled: object) -> str:
    """The id of a scheduled function. DeveloperError: InvalidScheduledFunctionId."""
    decoded = decode_id(scheduled) if isinstance(scheduled, str) else None
    if not isinstance(scheduled, str) or decoded is None or decoded[0] != _SCHEDULED_NUMBER:
        raise DeveloperError(
            "InvalidScheduledFunctionId",
            f"Invalid argument for `ctx.scheduler.cancel`: {scheduled!r} is not the id of a "
            "scheduled function.",
        )
    return scheduled


def _too_far() -> DeveloperError:
    return DeveloperError(
        "ScheduledTooFar", f"A function is scheduled for at most {SCHEDULED_DAYS_MAX} days away."
    )

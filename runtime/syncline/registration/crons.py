"""`crons.py`: functions that run again and again (api.md, convex-protocol.md 6.6).

crons = Crons()
crons.interval("sweep", sweep, minutes=5)
crons.daily("digest", digest, hour_utc=7, minute_utc=0)
crons.cron("reports", "0 9 * * 1", reports, args={"kind": "weekly"})
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from syncline.bundle_spec import CronSpec
from syncline.errors import DeveloperError
from syncline.registration.cron_schedule import check_expression
from syncline.registration.registry import FunctionDefinition, path_of
from syncline.values import wire_json
from syncline.values.value import normalize

DAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
"""Of the week, in the order of cron's numbers from 0."""

NAME_CHARACTERS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class _Cron:
    name: str
    function: object
    args: Mapping[str, object]
    seconds: float | None
    expression: str | None


class Crons:
    """The crons of a deployment; the loader takes the one called `crons` in `crons.py`.

    Every method takes the cron's name, which tells it from the others, the mutation or action to
    run, and its `args`. Times are UTC. Without `minute_utc` the name decides the minute, so that
    not all crons run at the full hour.

    Raises:
        DeveloperError: a name twice or not printable ASCII, a number out of its range.
    """

    def __init__(self) -> None:
        self._crons: dict[str, _Cron] = {}

    def interval(
        self,
        name: str,
        function: object,
        /,
        *,
        seconds: int | None = None,
        minutes: int | None = None,
        hours: int | None = None,
        args: Mapping[str, object] | None = None,
    ) -> None:
        """Every so often, for the first time when it is deployed; one of the three units."""
        units = ((seconds, 1), (minutes, 60), (hours, 3600))
        given = [(count, unit) for count, unit in units if count is not None]
        if len(given) != 1:
            raise _bad(name, "say one of `seconds`, `minutes` and `hours`")
        [(count, unit)] = given
        if type(count) is not int or count < 1:
            raise _bad(name, f"an interval is a whole number from 1 up, not {count!r}")
        self._add(name, function, args, seconds=float(count * unit))

    def hourly(
        self,
        name: str,
        function: object,
        /,
        *,
        minute_utc: int | None = None,
        args: Mapping[str, object] | None = None,
    ) -> None:
        """Every hour at `minute_utc`, 0 to 59."""
        self._add(name, function, args, expression=f"{_minute(name, minute_utc)} * * * *")

    def daily(
        self,
        name: str,
        function: object,
        /,
        *,
        hour_utc: int,
        minute_utc: int | None = None,
        args: Mapping[str, object] | None = None,
    ) -> None:
        """Every day at `hour_utc`, 0 to 23, and `minute_utc`, 0 to 59."""
        hour = _number(name, "hour_utc", hour_utc, 0, 23)
        self._add(name, function, args, expression=f"{_minute(name, minute_utc)} {hour} * * *")

    def weekly(
        self,
        name: str,
        function: object,
        /,
        *,
        day_of_week: Literal[
            "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"
        ],
        hour_utc: int,
        minute_utc: int | None = None,
        args: Mapping[str, object] | None = None,
    ) -> None:
        """Every week on `day_of_week`, "monday" to "sunday"."""
        if day_of_week not in DAYS:
            raise _bad(name, f"`day_of_week` is one of {', '.join(DAYS)}, not {day_of_week!r}")
        hour = _number(name, "hour_utc", hour_utc, 0, 23)
        at = f"{_minute(name, minute_utc)} {hour} * * {DAYS.index(day_of_week)}"
        self._add(name, function, args, expression=at)

    def monthly(
        self,
        name: str,
        function: object,
        /,
        *,
        day: int,
        hour_utc: int,
        minute_utc: int | None = None,
        args: Mapping[str, object] | None = None,
    ) -> None:
        """Every month on `day`, 1 to 31; months without that day are left out."""
        on = _number(name, "day", day, 1, 31)
        hour = _number(name, "hour_utc", hour_utc, 0, 23)
        self._add(name, function, args, expression=f"{_minute(name, minute_utc)} {hour} {on} * *")

    def cron(
        self,
        name: str,
        expression: str,
        function: object,
        /,
        *,
        args: Mapping[str, object] | None = None,
    ) -> None:
        """At the moments of a cron expression of five fields, "minute hour day month weekday"."""
        if not isinstance(expression, str) or len(expression.split()) != 5:  # pyright: ignore[reportUnnecessaryIsInstance] # user input
            raise _bad(
                name, f'an expression has five fields, such as "0 9 * * 1"; not {expression!r}'
            )
        check_expression(name, expression)
        self._add(name, function, args, expression=expression)

    def _add(
        self,
        name: str,
        function: object,
        args: Mapping[str, object] | None,
        *,
        seconds: float | None = None,
        expression: str | None = None,
    ) -> None:
        if (
            not name
            or len(name) > NAME_CHARACTERS_MAX
            or not (name.isascii() and name.isprintable())
        ):
            raise _bad(name, f"a name is 1 to {NAME_CHARACTERS_MAX} printable ASCII characters")
        if name in self._crons:
            raise _bad(name, "there is another one of that name")
        self._crons[name] = _Cron(name, function, dict(args or {}), seconds, expression)

    def specs(self, find: Callable[[str], FunctionDefinition | None]) -> tuple[CronSpec, ...]:
        """The crons as the data that is deployed. `find`: a function by its path.

        Raises:
            DeveloperError: a function that there is not, a query, or wrong arguments.
        """
        return tuple(_spec(cron, find) for cron in self._crons.values())


def _spec(cron: _Cron, find: Callable[[str], FunctionDefinition | None]) -> CronSpec:
    path = path_of(cron.function)
    definition = find(path)
    if definition is None:
        raise _bad(cron.name, f"there is no function {path!r}")
    if definition.kind not in {"mutation", "action"}:
        raise _bad(cron.name, f"{path!r} is a {definition.kind}: crons run mutations and actions")
    arguments = normalize(dict(cron.args))
    failure = definition.args.check(arguments, lambda _: None)
    if failure is not None:
        raise _bad(cron.name, f"its `args` are wrong: {failure}")
    return CronSpec(
        name=cron.name,
        seconds=cron.seconds,
        expression=cron.expression,
        path=path,
        kind=cast('Literal["mutation", "action"]', definition.kind),
        arguments=wire_json.encode(arguments).decode(),
    )


def _minute(name: str, minute: int | None) -> int:
    if minute is None:
        return hashlib.sha256(name.encode()).digest()[0] % 60
    return _number(name, "minute_utc", minute, 0, 59)


def _number(name: str, field: str, value: Any, least: int, greatest: int) -> int:
    if type(value) is not int or not least <= value <= greatest:
        raise _bad(name, f"`{field}` is a whole number from {least} to {greatest}, not {value!r}")
    return value


def _bad(name: object, what: str) -> DeveloperError:
    return DeveloperError("BadCron", f"The cron {name!r}: {what}.")

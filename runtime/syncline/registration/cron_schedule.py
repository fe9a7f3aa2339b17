"""When a cron runs next: pure arithmetic in UTC (convex-protocol.md 6.6).

Hours, days, weeks and months are cron expressions: one way to say when is enough.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from cronsim import CronSim, CronSimError

from syncline.bundle_spec import CronSpec
from syncline.errors import DeveloperError
from syncline.values import wire_json
from syncline.values.value import Value

CRON_FREQUENT_SECONDS: Final = 300
"""More often, and Aurora never pauses (protocols.md rule 22; its shortest pause)."""
_RUNS_LOOKED_AT: Final = 16
"""Enough for the irregular gaps of what people write, such as "0,2 9 * * 1-5"."""


def next_run(spec: CronSpec, after_ms: float, due_ms: float | None = None) -> float:
    """The first moment after `after_ms`, in milliseconds since the epoch.

    Of an interval it is a whole number of intervals after `due_ms`, the run before; its first is
    `after_ms` itself. What was missed meanwhile is left out.
    """
    if spec.seconds is not None:
        if due_ms is None:
            return after_ms
        step = spec.seconds * 1000
        return due_ms + step * max(1, math.floor((after_ms - due_ms) / step) + 1)
    assert spec.expression is not None, "a cron has an interval or an expression"
    after = datetime.fromtimestamp(after_ms / 1000, UTC)
    return next(CronSim(spec.expression, after)).timestamp() * 1000


def is_frequent(spec: CronSpec) -> bool:
    """Whether two of its runs come closer together than `CRON_FREQUENT_SECONDS`."""
    if spec.seconds is not None:
        return spec.seconds < CRON_FREQUENT_SECONDS
    run = next_run(spec, 0.0)
    for _ in range(_RUNS_LOOKED_AT):
        following = next_run(spec, run)
        if following - run < CRON_FREQUENT_SECONDS * 1000:
            return True
        run = following
    return False


def cron_fields(spec: CronSpec) -> dict[str, Value]:
    """A row of `_cron_jobs`, but for when it runs next and what its last run was."""
    return {
        "name": spec.name,
        "seconds": spec.seconds,
        "expression": spec.expression,
        "path": spec.path,
        "kind": spec.kind,
        "arguments": wire_json.decode(spec.arguments.encode()),
    }


def cron_of(fields: Mapping[str, Value]) -> CronSpec:
    """What `cron_fields` has made a row of."""
    seconds, expression = fields["seconds"], fields["expression"]
    return CronSpec(
        name=str(fields["name"]),
        seconds=seconds if isinstance(seconds, int | float) else None,
        expression=expression if isinstance(expression, str) else None,
        path=str(fields["path"]),
        kind="action" if fields["kind"] == "action" else "mutation",
        arguments=wire_json.encode(fields["arguments"]).decode(),
    )


def check_expression(name: str, expression: str) -> None:
    """DeveloperError: BadCronExpression: not five fields, or a day that never comes."""
    example = 'five fields in UTC: minute, hour, day, month, day of the week, such as "0 9 * * 1"'
    try:
        next(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, AttributeError, TypeError) as error:
        raise DeveloperError(
            "BadCronExpression",
            f"The cron {name!r} has the expression {expression!r} ({error}): write {example}.",
        ) from error
    except StopIteration:
        raise DeveloperError(
            "BadCronExpression",
            f"The cron {name!r} has the expression {expression!r}, which no day fits.",
        ) from None

"""When the garbage collector runs in the server: rarely, and when nobody waits.

The engine holds a great many objects for minutes (the tail, documents) and makes few cycles.
Python's collector walks through all of them whenever a quarter more has come, which cost 8 % of the
time under load and pauses of 100 ms (docs/performance.md). So the young are collected less often,
and the old in a quiet moment, or when there has been none for a while.
"""

import asyncio
import gc
import time
from collections.abc import Callable

YOUNG_OBJECTS = 20_000
"""New containers before a collection of the young ones; ours: 2 ms apart at the highest load."""

NEVER = 1_000_000
"""Collections of the middle generation before an automatic one of the old; out of reach."""

LOOK_SECONDS = 5.0
FORCED_SECONDS = 600.0
"""The old ones are collected after so long a time even if calls are under way; ours."""


def settle() -> None:
    """Collect, and keep everything loaded so far out of later collections."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, NEVER)


async def collect_when_quiet(activity: Callable[[], object]) -> None:
    """Collect the old whenever `activity` has not changed between two looks, until canceled."""
    seen, collected = activity(), time.monotonic()
    is_due = False
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = activity()
        is_quiet = now == seen
        is_due = is_due or not is_quiet
        seen = now
        if is_due and (is_quiet or time.monotonic() - collected > FORCED_SECONDS):
            gc.collect()
            collected, is_due = time.monotonic(), False

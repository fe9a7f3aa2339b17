"""Hot reload: push again when a file of the functions folder was saved."""

import asyncio
from pathlib import Path

from watchfiles import Change, awatch  # pyright: ignore[reportUnknownVariableType] - trio

from syncline.drivers.engine import Engine
from syncline.drivers.push import PushReport
from syncline.errors import SynclineError
from syncline.local.console import DevConsole
from syncline.local.generated_files import refresh_generated


def is_source(_: Change, path: str) -> bool:
    """Whether a changed file belongs to the functions; for watchfiles."""
    return path.endswith(".py") and "__pycache__" not in path and "_generated" not in path


async def push_and_report(engine: Engine, functions: Path, console: DevConsole) -> bool:
    """Push once; a failure is printed and the last good version keeps serving."""
    try:
        report = await engine.push(functions)
    except SynclineError as error:
        console.error(f"Push failed: {error}")
        if engine.spec().functions:
            console.error("The last good version keeps serving.")
        return False
    for path in refresh_generated(engine.spec(), functions):
        console.say(f"  generated {path}")
    _say(report, engine, console)
    return True


def _say(report: PushReport, engine: Engine, console: DevConsole) -> None:
    count = len([f for f in engine.spec().functions if not f.path.startswith("_system/")])
    console.say(f"Functions ready: {count} functions, bundle {report.bundle[:12]}")
    for label, names in (
        ("added index", report.added_indexes),
        ("removed index", report.removed_indexes),
        ("validated table", report.validated_tables),
    ):
        for name in names:
            console.say(f"  {label} {name}")


async def watch(engine: Engine, functions: Path, console: DevConsole, stop: asyncio.Event) -> None:
    """Push after every save until `stop` is set."""
    async for _ in awatch(functions, watch_filter=is_source, stop_event=stop, debounce=200):
        await push_and_report(engine, functions, console)

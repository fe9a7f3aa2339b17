"""Runs functions in this very process: for Lambdas, tests, simulation and `syncline.testing`.

With a time limit it interrupts a function as executors do (local/executor_pool.py); one that goes
on all the same is stopped with the process, by whoever runs that: Lambda by its own time limit.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from syncline.errors import UnavailableError
from syncline.execution.determinism.time_limit import TimeLimit, TimeLimitExceeded
from syncline.execution.function_call import Execution, NeedReads
from syncline.limits import FUNCTION_SECONDS_MAX
from syncline.ports import BundleSpec, FunctionCall, FunctionOutcome, Page, SnapshotReads
from syncline.registration.loader import load_bundle, unload_bundle

if TYPE_CHECKING:
    from syncline.registration.registry import LoadedBundle


class InlineRunner:
    """The port FunctionRunner without processes."""

    def __init__(self, limit: TimeLimit | None = None) -> None:
        """`limit` needs the main thread of the process; None: nothing stops a function."""
        self._limit = limit
        self._bundles: dict[str, LoadedBundle] = {}

    async def load(self, bundle: str, folder: Path) -> BundleSpec:
        """Import and check a bundle."""
        loaded = self._bundles.get(bundle)
        if loaded is None:
            loaded = self._bundles[bundle] = load_bundle(folder, bundle)
            if self._limit is not None:
                # User modules may have taken the signal.
                self._limit.install()
        return loaded.spec

    async def run(self, call: FunctionCall, reads: SnapshotReads) -> FunctionOutcome:
        """Run one call to its end."""
        bundle = self._bundles.get(call.bundle)
        if bundle is None:
            raise UnavailableError("BundleNotLoaded", f"Bundle {call.bundle!r} is not loaded.")
        execution = Execution(call, bundle)
        step = self._limited(execution) if self._limit else execution.step
        try:
            result = step(None)
            while isinstance(result, NeedReads):
                result = step(list(await reads.read(result.reads)))
        finally:
            execution.close()
        return result

    def _limited(
        self, execution: Execution
    ) -> Callable[[list[Page] | None], NeedReads | FunctionOutcome]:
        """Steps within FUNCTION_SECONDS_MAX of the call's own time; an outcome tells how much."""
        limit = self._limit
        assert limit is not None
        used = 0.0

        def step(pages: list[Page] | None) -> NeedReads | FunctionOutcome:
            nonlocal used
            began = time.monotonic()
            try:
                result = limit.run(FUNCTION_SECONDS_MAX - used, execution.step, pages)
            except TimeLimitExceeded:
                result = execution.time_out(FUNCTION_SECONDS_MAX)
            used += time.monotonic() - began
            if isinstance(result, FunctionOutcome):
                return msgspec.structs.replace(result, own_seconds=used)
            return result

        return step

    async def close(self) -> None:
        """Forget the bundles; nothing runs on its own."""
        for bundle in self._bundles.values():
            unload_bundle(bundle)
        self._bundles.clear()

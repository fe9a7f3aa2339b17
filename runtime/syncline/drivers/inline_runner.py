"""Runs functions in this very process: for tests, simulation and `syncline.testing`.

Nothing stops a function that does not end: executor processes do (local/executor_pool.py).
"""

from pathlib import Path
from typing import TYPE_CHECKING

from syncline.bundle_spec import BundleSpec
from syncline.errors import UnavailableError
from syncline.execution.function_call import Execution, NeedReads
from syncline.ports import FunctionCall, FunctionOutcome, SnapshotReads
from syncline.registration.loader import load_bundle, unload_bundle

if TYPE_CHECKING:
    from syncline.registration.registry import LoadedBundle


class InlineRunner:
    """The port FunctionRunner without processes."""

    def __init__(self) -> None:
        self._bundles: dict[str, LoadedBundle] = {}

    async def load(self, bundle: str, folder: Path) -> BundleSpec:
        """Import and check a bundle."""
        loaded = self._bundles.get(bundle)
        if loaded is None:
            loaded = self._bundles[bundle] = load_bundle(folder, bundle)
        return loaded.spec

    async def run(self, call: FunctionCall, reads: SnapshotReads) -> FunctionOutcome:
        """Run one call to its end."""
        bundle = self._bundles.get(call.bundle)
        if bundle is None:
            raise UnavailableError("BundleNotLoaded", f"Bundle {call.bundle!r} is not loaded.")
        execution = Execution(call, bundle)
        try:
            result = execution.step(None)
            while isinstance(result, NeedReads):
                result = execution.step(list(await reads.read(result.reads)))
        finally:
            execution.close()
        return result

    async def close(self) -> None:
        """Forget the bundles; nothing runs on its own."""
        for bundle in self._bundles.values():
            unload_bundle(bundle)
        self._bundles.clear()

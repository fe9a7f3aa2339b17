"""A runner that loads a bundle when it is first asked for: another process may have pushed it.

Queries at older timestamps run the bundle that was deployed then, so several are loaded side by
side while a push switches.
"""

import asyncio
from pathlib import Path
from typing import Protocol

from syncline.bundle_spec import BundleSpec
from syncline.errors import CorruptionError
from syncline.ports import FunctionCall, FunctionOutcome, FunctionRunner, SnapshotReads


class Bundles(Protocol):
    """Where bundles are kept, by content hash."""

    def add(self, source: Path) -> tuple[str, Path]:
        """Copy a functions folder; returns its hash and the kept folder."""
        ...

    def empty(self) -> Path:
        """A folder without functions."""
        ...

    def folder(self, bundle: str) -> Path | None:
        """The kept folder of a bundle."""
        ...


_NOTHING = BundleSpec((), {}, None)


class BundleLoader:
    """The port FunctionRunner over another one."""

    def __init__(self, runner: FunctionRunner, bundles: Bundles) -> None:
        self._runner = runner
        self._bundles = bundles
        self._specs: dict[str, BundleSpec] = {}
        self._turn = asyncio.Lock()

    async def spec_of(self, bundle: str) -> BundleSpec:
        """What a deployed bundle declares; loads it if that has not been done here.

        Raises:
            CorruptionError: it is not among the kept bundles.
        """
        known = self._specs.get(bundle)
        if known is not None:
            return known
        async with self._turn:
            if bundle not in self._specs:
                await self.load(bundle, self._folder(bundle))
        return self._specs[bundle]

    def known_spec(self, bundle: str) -> BundleSpec:
        """What a bundle declares, if it was loaded here; nothing otherwise."""
        return self._specs.get(bundle, _NOTHING)

    def _folder(self, bundle: str) -> Path:
        if not bundle:
            return self._bundles.empty()
        folder = self._bundles.folder(bundle)
        if folder is None:
            raise CorruptionError(
                "BundleMissing",
                f"The deployed bundle {bundle} is not among the kept bundles: the data folder is "
                "incomplete. Restore its `bundles` folder.",
            )
        return folder

    async def load(self, bundle: str, folder: Path) -> BundleSpec:
        """Import and check a bundle; DeveloperError names file, line and what to do."""
        spec = self._specs[bundle] = await self._runner.load(bundle, folder)
        return spec

    async def run(self, call: FunctionCall, reads: SnapshotReads) -> FunctionOutcome:
        """Run one call to its end."""
        if call.bundle not in self._specs:
            await self.spec_of(call.bundle)
        return await self._runner.run(call, reads)

    async def close(self) -> None:
        """Stop the executors."""
        await self._runner.close()

"""The engine as the HTTP API sees it: the few calls that the endpoints are made of."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from syncline.bundle_spec import BundleSpec
from syncline.drivers.answers import Answer, Caller
from syncline.drivers.push import PushReport
from syncline.drivers.usage_counters import Usage


class Variables(Protocol):
    """What the endpoints need of `drivers.environment.EnvironmentVariables`."""

    async def variables(self) -> Mapping[str, str]:
        """The variables that were set, by name in order."""
        ...

    async def change(self, changes: Mapping[str, str | None]) -> None:
        """Give variables these values; None removes one. All of it happens, or nothing."""
        ...


class Deployment(Protocol):
    """What the endpoints need of `drivers.engine.Engine`."""

    name: str

    @property
    def environment(self) -> Variables:
        """The environment variables of functions."""
        ...

    def latest_ts(self) -> int:
        """The newest ts whose effects everybody may see."""
        ...

    def spec(self) -> BundleSpec:
        """What the serving bundle declares."""
        ...

    def usage(self) -> Usage:
        """What the functions have used. CallerError: it is known elsewhere."""
        ...

    async def query(
        self, path: str, arguments: bytes, caller: Caller = ..., *, at: int | None = None
    ) -> Answer:
        """A query's result at `at`, or at the newest ts."""
        ...

    async def mutation(
        self,
        path: str,
        arguments: bytes,
        caller: Caller = ...,
        *,
        request: tuple[str, int] | None = None,
    ) -> Answer:
        """Run a mutation; the answer is durable."""
        ...

    async def action(self, path: str, arguments: bytes, caller: Caller = ...) -> Answer:
        """Run an action to its end."""
        ...

    async def push(self, source: Path) -> PushReport:
        """Deploy a functions folder, all or nothing."""
        ...

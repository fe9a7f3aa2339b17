"""Executor processes as the port FunctionRunner: routing, watching, replacing, running again.

Each call goes to the process with the fewest calls, but not behind a step that takes long: calls
that were there before are moved when the watchdog next looks. A process whose step does not end in
time is killed: the call being stepped fails with the time limit's message, the others run again
elsewhere, and a new process is started at once. A process that goes by itself is suspected of
nothing but the call it was stepping, which fails when a second process has gone the same way.

Running a call again is safe: nothing of it is visible before its outcome is.
"""

import asyncio
import os
import secrets
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from syncline.bundle_spec import BundleSpec
from syncline.errors import DeveloperError, UnavailableError
from syncline.execution.determinism.time_limit import timeout_message
from syncline.index.key_range import merge
from syncline.local.executor_frames import Reads
from syncline.local.executor_link import ExecutorLink, ExecutorLost, HeldUp
from syncline.ports import FunctionCall, FunctionError, FunctionOutcome, SnapshotReads
from syncline.schema.catalog import module_range

EXECUTORS = 2
"""Processes, unless told otherwise."""
MEMORY_BYTES_MAX = 2**30
"""Private memory of one process; past it user code gets a MemoryError."""
CALLS_TOGETHER = 32
"""Calls given to one process before the next gets any: many then travel in one write, and waking a
process costs more than stepping a call (6 to 17 % of all CPU time per mutation, measured)."""
BUNDLES_KEPT = 4
"""Versions of the functions that stay loaded: the serving one, a pushed one, and two to go back."""
WATCH_SECONDS = 0.25
"""How often deadlines are looked at."""
RESTART_SECONDS = 1.0
"""Pause before a process is started in the place of one that did not even get to calls."""
STOP_SECONDS = 3.0
"""How long a process may take to end when asked."""
SUSPICIONS_MAX = 2
"""Processes that may go down while they step the same call."""
RUNS_MAX = 6
"""Runs of one call, whoever is to blame."""


@dataclass(frozen=True, slots=True)
class _Bundle:
    folder: Path
    spec: BundleSpec


class ExecutorPool:
    """Runs functions in `executors` processes, started by the first `load`."""

    def __init__(
        self,
        executors: int = EXECUTORS,
        *,
        hash_seed: int | None = None,
        memory_bytes_max: int = MEMORY_BYTES_MAX,
        rerun: bool = False,
        libraries: Sequence[str] = (),
    ) -> None:
        """`hash_seed`: PYTHONHASHSEED, 0 to 2^32 - 1, the same for all processes of a deployment.

        None draws one: it decides the order of sets of strings, and a public constant would invite
        collision attacks on dict keys that come from users (style anchors 8.5). `rerun` makes each
        call twice and compares, for development (determinism/rerun_check). `libraries`: folders to
        import from, where Python would not look by itself.
        """
        self._executors = executors
        self._options = (memory_bytes_max, int(rerun))
        self._environment = _environment(
            secrets.randbelow(2**32) if hash_seed is None else hash_seed, libraries
        )
        self._links: list[ExecutorLink] = []
        self._ended: list[subprocess.Popen[bytes]] = []
        self._bundles: dict[str, _Bundle] = {}
        self._folders: dict[str, Path] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._waiting_for_link: list[asyncio.Future[ExecutorLink]] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self._watch: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def load(self, bundle: str, folder: Path) -> BundleSpec:
        """Import a folder in every process; see ports.FunctionRunner.

        One process first, so that a bundle that does not load disturbs no call in the others.

        Raises:
            DeveloperError: it does not load, or takes its process down.
            UnavailableError: no process could be started.
        """
        known = self._bundles.get(bundle)
        if known is not None:
            return known.spec
        self._start()
        spec = await self._load_in_one(bundle, folder)
        self._bundles[bundle] = _Bundle(folder, spec)
        self._folders[bundle] = folder
        others = [link.load(bundle, folder) for link in self._links if not link.knows(bundle)]
        try:
            for loaded in others:
                # A process that goes now is replaced by one that loads every known bundle.
                with suppress(ExecutorLost):
                    await loaded
        except DeveloperError:
            self._unload(bundle)
            raise
        while len(self._bundles) > BUNDLES_KEPT:
            self._unload(next(iter(self._bundles)))
        return spec

    async def _load_again(self, bundle: str) -> None:
        """A version that made room for newer ones, which then did not come to serve."""
        folder = self._folders.get(bundle)
        if folder is None:
            raise UnavailableError(
                "BundleNotLoaded", f"The functions of version {bundle} are not loaded."
            )
        await self.load(bundle, folder)

    async def _load_in_one(self, bundle: str, folder: Path) -> BundleSpec:
        for _ in range(RUNS_MAX):
            try:
                link = self._least_loaded() if self._links else await self._next_link()
                return await link.load(bundle, folder)
            except ExecutorLost as lost:
                if lost.was_stepping:
                    raise _load_failure(lost) from lost
        raise _keep_going_away()

    def _unload(self, bundle: str) -> None:
        del self._bundles[bundle]
        for link in self._links:
            link.unload(bundle)

    async def run(self, call: FunctionCall, reads: SnapshotReads) -> FunctionOutcome:
        """Run one call to its end; see ports.FunctionRunner.

        Raises:
            UnavailableError: no process is there to run it, or they keep going away.
        """
        if call.bundle not in self._bundles:
            await self._load_again(call.bundle)
        suspicions = 0
        for _ in range(RUNS_MAX):
            asked: list[Reads] = []
            try:
                link = self._least_loaded() if self._links else await self._next_link()
                return await link.run(call, reads, asked)
            except HeldUp:
                continue
            except ExecutorLost as lost:
                if lost.timed_out and lost.was_stepping:
                    return _failed(call, timeout_message(), asked)
                suspicions += lost.was_stepping
                if suspicions == SUSPICIONS_MAX:
                    return _failed(call, "Function execution ended its process", asked)
        raise _keep_going_away()

    async def close(self) -> None:
        """Stop the processes; calls in flight fail."""
        self._is_closed = True
        for timer in (self._watch, *self._timers):
            if timer is not None:
                timer.cancel()
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for link in self._links:
            link.stop()
            self._ended.append(link.process)
        self._links.clear()
        for waiting in self._waiting_for_link:
            if not waiting.done():
                waiting.set_exception(_shutting_down())
        await asyncio.to_thread(_wait_for, self._ended)

    def _start(self) -> None:
        if self._is_closed:
            raise _shutting_down()
        if self._watch is None:
            for _ in range(self._executors):
                self._add_link()
            self._look()

    def _add_link(self) -> None:
        link = ExecutorLink(self._environment, self._options, lambda: self._lost(link))
        self._links.append(link)
        for waiting in self._waiting_for_link:
            if not waiting.done():
                waiting.set_result(link)
        self._waiting_for_link.clear()
        for bundle, known in self._bundles.items():
            # Whoever misses it then is told: its calls come back as broken.
            link.load(bundle, known.folder)
        connecting = asyncio.get_running_loop().create_task(link.connect())
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)

    def _lost(self, link: ExecutorLink) -> None:
        """A process is gone: start another."""
        self._links.remove(link)
        self._ended.append(link.process)
        if self._is_closed:
            return
        if link.is_settled:
            self._add_link()
        else:
            self._later(RESTART_SECONDS)

    def _later(self, seconds: float) -> None:
        def add() -> None:
            self._timers.discard(timer)
            self._add_link()

        timer = asyncio.get_running_loop().call_later(seconds, add)
        self._timers.add(timer)

    def _look(self) -> None:
        """The watchdog: kills what is past its deadline, collects what has ended."""
        for link in list(self._links):
            link.look()
        if not all(link.is_held_up for link in self._links):
            for link in self._links:
                if link.is_held_up:
                    link.let_go()
        self._ended = [process for process in self._ended if process.poll() is None]
        self._watch = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._look)

    async def _next_link(self) -> ExecutorLink:
        """A process, when there is one again."""
        if self._is_closed:
            raise _shutting_down()
        self._waiting_for_link.append(asyncio.get_running_loop().create_future())
        return await self._waiting_for_link[-1]

    def _least_loaded(self) -> ExecutorLink:
        return min(self._links, key=_eagerness)


def _eagerness(link: ExecutorLink) -> tuple[bool, bool, int]:
    """How little speaks for giving a call to a process."""
    return link.is_held_up, not link.is_settled, link.calls // CALLS_TOGETHER


def _environment(hash_seed: int, libraries: Sequence[str]) -> dict[str, str]:
    """A fresh environment: what functions see must not depend on the shell of who started us."""
    environment = {
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TZ": "UTC",
    }
    # Where Python finds itself and its packages is not the functions' business but ours.
    for name in ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"):
        if name in os.environ:
            environment[name] = os.environ[name]
    if libraries:
        environment["PYTHONPATH"] = os.pathsep.join(libraries)
    return environment


def _shutting_down() -> UnavailableError:
    return UnavailableError("ExecutorsUnavailable", "The deployment is shutting down.")


def _keep_going_away() -> UnavailableError:
    return UnavailableError(
        "ExecutorsUnavailable", "The processes that run functions keep going away; try again."
    )


def _load_failure(lost: ExecutorLost) -> DeveloperError:
    if lost.timed_out:
        return DeveloperError(
            "LoadTooSlow",
            "Loading the functions did not end in time and could not be interrupted: move work "
            "that modules do while they are imported into functions.",
        )
    return DeveloperError(
        "LoadCrashed",
        "The process that loaded the functions went away: a module ended or crashed it while it "
        "was imported.",
    )


def _failed(call: FunctionCall, message: str, asked: Sequence[Reads]) -> FunctionOutcome:
    """The outcome of a call that took its process with it; what it read is what it asked for."""
    reads = [read for each in asked for read in each.reads]
    module = module_range(call.path.rpartition(":")[0])
    ranges = merge([module, *(read.covers for read in reads)])
    return FunctionOutcome(
        value=None,
        error=FunctionError(message, is_server_made=True, data=None),
        log_lines=(),
        read_ranges=ranges,
        changes=(),
        journal=None,
        read_identity=True,
        read_time=True,
        read_random=True,
        documents_read=0,
        bytes_read=0,
        own_seconds=0.0,
    )


def _wait_for(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Collect processes that were asked to end, killing those that take too long."""
    for process in processes:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

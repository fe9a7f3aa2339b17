"""Action processes as the port ActionRunner: starting, choosing, watching, replacing.

There is none until functions with actions are deployed, then one. Actions share its event loop;
while one of them blocks that loop, new actions go to another process, started when there is none.
A process that dies takes its actions with it: they fail, since nobody knows how far they came, and
are not run again. One whose action is far past its time limit is killed.
"""

import asyncio
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from syncline.action_ports import ActionBackend, ActionCall, ActionOutcome
from syncline.errors import UnavailableError
from syncline.execution.determinism.time_limit import timeout_message
from syncline.limits import ACTION_GRACE_SECONDS
from syncline.local.action_link import ActionLink, ActionsLost
from syncline.ports import FunctionError

PROCESSES_MAX = 4
"""Processes, of which all but one were started because the others were blocked."""
MEMORY_BYTES_MAX = 2**31
"""Private memory of one process; past it user code gets a MemoryError."""
BUNDLES_KEPT = 4
"""Versions of the functions whose folders are remembered."""
OVERDUE_SECONDS = 2 * ACTION_GRACE_SECONDS
"""So long after its time limit an action's process is killed."""
RESTART_SECONDS = 1.0
"""Pause before a process is started in the place of one that did not even start."""
STOP_SECONDS = 3.0
"""How long a process may take to end when asked."""

RUNS_MAX = 3
"""Processes that may go away before they have begun an action."""

_STOPPED = "The action did not end while the deployment was shutting down."
_LOST = (
    "The process that ran this action ended before it did: an action in it crashed it, used up its "
    "memory or blocked it past the time limit. Nobody knows how far this one came; it is not run "
    "again."
)
_PASSED_ON = (
    "PATH HOME USER TMPDIR LANG SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE "
    "HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy "
    "PYTHONPATH PYTHONHOME LD_LIBRARY_PATH DYLD_LIBRARY_PATH"
).split()
"""What of the server's environment actions are given: how to reach the network and the disk. What
functions are configured with is set on the deployment instead (`ctx.env`)."""


class ActionPool:
    """Runs actions in processes, started by the first `load`."""

    def __init__(
        self, *, processes_max: int = PROCESSES_MAX, memory_bytes_max: int = MEMORY_BYTES_MAX
    ) -> None:
        self._processes_max = processes_max
        self._memory_bytes_max = memory_bytes_max
        self._links: list[ActionLink] = []
        self._ended: list[subprocess.Popen[bytes]] = []
        self._folders: dict[str, Path] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._is_closed = False

    async def load(self, bundle: str, folder: Path) -> None:
        """Import a folder in every process; see action_ports.ActionRunner.

        Raises:
            DeveloperError: it does not load.
            UnavailableError: the process went away meanwhile, or the deployment shuts down.
        """
        self._require_open()
        self._folders.pop(bundle, None)
        self._folders[bundle] = folder
        while len(self._folders) > BUNDLES_KEPT:
            del self._folders[next(iter(self._folders))]
        if not self._links:
            self._add_link()
        try:
            for link in tuple(self._links):
                if not link.is_blocked:
                    await link.load(bundle, folder)
        except ActionsLost as lost:
            raise UnavailableError(
                "ActionsUnavailable", "The process that runs actions went away; try again."
            ) from lost

    async def run(self, call: ActionCall, backend: ActionBackend) -> ActionOutcome:
        """Run one action to its end; see action_ports.ActionRunner.

        Raises:
            UnavailableError: it could not be started.
        """
        self._require_open()
        folder = self._folders.get(call.bundle)
        if folder is None:
            raise UnavailableError("BundleNotLoaded", f"Bundle {call.bundle!r} is not loaded.")
        for _ in range(RUNS_MAX):
            link = self._choose()
            # Not waited for: the action follows on the same socket, and finds it loaded.
            link.load(call.bundle, folder)
            try:
                return await link.run(call, backend, call.seconds_max + OVERDUE_SECONDS)
            except TimeoutError:
                # It keeps the loop to itself, and would for ever.
                link.lose()
                return _failure(timeout_message(call.seconds_max))
            except ActionsLost as lost:
                if self._is_closed:
                    return _failure(_STOPPED)
                if lost.had_begun:
                    return _failure(_LOST)
        raise UnavailableError(
            "ActionsUnavailable", "The processes that run actions keep going away; try again."
        )

    def _choose(self) -> ActionLink:
        free = [link for link in self._links if not link.is_blocked]
        if not free and len(self._links) < self._processes_max:
            return self._add_link()
        return min(free or self._links, key=lambda link: link.calls)

    def _add_link(self) -> ActionLink:
        link = ActionLink(_environment(), self._memory_bytes_max, lambda: self._lost(link))
        self._links.append(link)
        connecting = asyncio.get_running_loop().create_task(link.connect())
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)
        return link

    def _lost(self, link: ActionLink) -> None:
        """A process is gone: start another if none is left."""
        self._links.remove(link)
        self._ended = [each for each in (*self._ended, link.process) if each.poll() is None]
        if self._is_closed or self._links:
            return
        if link.is_settled:
            self._restart()
        else:
            self._later(RESTART_SECONDS)

    def _restart(self) -> None:
        link = self._add_link()
        for bundle, folder in self._folders.items():
            link.load(bundle, folder)

    def _later(self, seconds: float) -> None:
        def restart() -> None:
            self._timers.discard(timer)
            if not self._links:
                self._restart()

        timer = asyncio.get_running_loop().call_later(seconds, restart)
        self._timers.add(timer)

    def _require_open(self) -> None:
        if self._is_closed:
            raise UnavailableError("ActionsUnavailable", "The deployment is shutting down.")

    async def close(self) -> None:
        """Cancel every action, give them a moment to clean up, and stop the processes."""
        self._is_closed = True
        for timer in self._timers:
            timer.cancel()
        ending = [ended for link in self._links for ended in link.cancel_all()]
        if ending:
            await asyncio.wait(ending, timeout=ACTION_GRACE_SECONDS)
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for link in self._links:
            link.stop()
            self._ended.append(link.process)
        self._links.clear()
        await asyncio.to_thread(_wait_for, self._ended)


def _environment() -> dict[str, str]:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return environment | {"PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"}


def _failure(message: str) -> ActionOutcome:
    return ActionOutcome(None, FunctionError(message, is_server_made=True, data=None))


def _wait_for(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Collect processes that were asked to end, killing those that take too long."""
    for process in processes:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

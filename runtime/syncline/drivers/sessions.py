"""All live connections of this process: whose turn it is, and the passing of time.

Within one turn of the event loop first everything happens (responses, new results), then each
session that has something to show makes its update, then what was queued is sent: so a response
and its Transition leave in one write.
"""

import asyncio

from syncline.drivers.authentication import Authenticator
from syncline.drivers.engine import Engine
from syncline.drivers.session_driver import SessionDriver, Socket
from syncline.sync.client_kind import ClientKind
from syncline.sync.session import SessionLimits


class Sessions:
    """All live connections: who has an update to make, and the passing of time."""

    def __init__(self, engine: Engine, authenticator: Authenticator) -> None:
        self.engine = engine
        self.authenticator = authenticator
        self._live: dict[SessionDriver, None] = {}
        self._due: dict[SessionDriver, None] = {}
        self._waiting: dict[SessionDriver, None] = {}
        self._unflushed: dict[SessionDriver, None] = {}
        self._is_scheduled = False
        engine.on_matched(self._matched)

    def __len__(self) -> int:
        return len(self._live)

    def open(
        self, client: ClientKind, socket: Socket, limits: SessionLimits | None = None
    ) -> SessionDriver:
        """A new connection."""
        driver = SessionDriver(self, client, socket, limits)
        self._live[driver] = None
        return driver

    def remove(self, driver: SessionDriver) -> None:
        """The connection is gone."""
        self._live.pop(driver, None)
        self._due.pop(driver, None)
        self._waiting.pop(driver, None)
        self._unflushed.pop(driver, None)

    def schedule(self, driver: SessionDriver) -> None:
        """The session has an update to make, after everything that happens in this step."""
        self._due[driver] = None
        self._schedule_turn()

    def flush_later(self, driver: SessionDriver) -> None:
        """The session has queued messages: a response and its Transition leave as one write."""
        self._unflushed[driver] = None
        self._schedule_turn()

    def _schedule_turn(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._is_scheduled = False
        due, self._due = self._due, {}
        for driver in due:
            driver.update()
            # At once, so that the first of many subscribers need not wait for the last.
            if driver in self._unflushed:
                del self._unflushed[driver]
                driver.flush()
        unflushed, self._unflushed = self._unflushed, {}
        for driver in unflushed:
            driver.flush()

    def wait(self, driver: SessionDriver) -> None:
        """The session's update waits for results or for the matched watermark."""
        self._waiting[driver] = None

    def _matched(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for driver in waiting:
            self.schedule(driver)

    def tick(self) -> None:
        """Let time pass for every connection; call it about once a second."""
        now_ms = self.engine.clock.now_ns() // 1_000_000
        for driver in list(self._live):
            driver.tick(now_ms)

    def close_all(self, code: int, reason: str) -> None:
        """The server stops."""
        for driver in list(self._live):
            driver.end(code, reason)

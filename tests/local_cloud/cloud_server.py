"""`syncline dev --cloud moto` in the place of the embedded server, for the same tests.

A deployment on AWS is never stopped and started; what its clients see of trouble there is an
outage: their sockets closed, functions ended in the middle of their work, then all cold.
"""

import re
import signal
from pathlib import Path

from tests.clients.server import DevServer

DISORDER_SEED = 7

_OUTAGE = re.compile(r"^Outage: ")
_OVER = re.compile(r"^The outage is over")
_DISORDER = re.compile(r"(\d+) messages reordered, (\d+) deliveries given out twice")


class CloudServer(DevServer):
    """A deployment of a folder of functions on the local cloud, in disorder."""

    START_SECONDS_MAX = 240.0
    EVENT_SECONDS_MAX = 150.0
    CLEAN_CLOSE_REASON = "closed with code 1012"

    MUTATIONS_MEANWHILE_MIN = 1
    """A mutation makes some fifty calls to moto, at about 3 ms each."""

    BURST = 60
    KEEPS_ORDER = False
    IN_TURN = 40
    TRANSFERS = 20

    def options(self) -> list[str]:
        """Of the command."""
        return ["--cloud", "moto", "--disorder", str(DISORDER_SEED)]

    def start(self) -> None:
        """Deploy it; or, if it is deployed, end the outage."""
        if not self.is_running:
            super().start()
            return
        self._tell(signal.SIGUSR2, _OVER)

    def stop(self) -> int:
        """Begin an outage; 0, as a clean end gives."""
        self._tell(signal.SIGUSR1, _OUTAGE)
        return 0

    def kill(self) -> None:
        """The same: functions are always killed."""
        self.stop()

    def close(self) -> None:
        """End it for good."""
        if self.is_running:
            super().stop()
        super().close()

    def _tell(self, number: signal.Signals, answer: re.Pattern[str]) -> None:
        begin = len(self.log.splitlines())
        self.send_signal(number)
        self.wait_for_log(answer, begin=begin)

    @property
    def calls_file(self) -> Path:
        """Every AWS call that was made."""
        return self.data / "cloud" / "calls.jsonl"

    def disorder(self) -> tuple[int, int]:
        """After `close`: messages reordered, deliveries given out twice."""
        found = _DISORDER.search(self.log)
        assert found, f"no report of the disorder:\n{self.log[-2000:]}"
        return int(found[1]), int(found[2])

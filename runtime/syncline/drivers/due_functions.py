"""Tells whoever runs scheduled functions that some are due, where no process waits for them.

What is scheduled for soon is told as the view takes the commit in. The rest is found by looking
ahead every minute, in the view, so that the log's database sleeps (protocols.md rule 22). Being
told of something twice, or of what has run, costs a look.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

import msgspec

from syncline.commit.record import Commit
from syncline.errors import UnavailableError
from syncline.execution.scheduled_functions import KINDS
from syncline.index.key_encoding import encode_value
from syncline.ports import Clock, Documents, RangeRead
from syncline.schema.catalog import CRON_JOBS, SCHEDULED_JOBS

logger = logging.getLogger(__name__)

AHEAD_SECONDS: Final = 90
"""More than the minute between two looks, which may be late; ours."""

ROWS_MAX: Final = 1000
"""Of a kind in one look; ours: those behind them are found a minute later."""

_TABLES: Final = frozenset({SCHEDULED_JOBS.number, CRON_JOBS.number})


class DueWakeups(Protocol):
    """Wakes whoever runs scheduled functions."""

    async def wake(self, dues: Collection[float], now_ms: float) -> None:
        """At each of `dues`, in milliseconds since the epoch; at once for what is over.

        Raises UnavailableError.
        """
        ...


class _Row(msgspec.Struct):
    """What matters of a row of `_scheduled_jobs` or `_cron_jobs`."""

    due: float | None = None
    next: float | None = None

    @property
    def moment(self) -> float:
        moment = self.next if self.due is None else self.due
        assert moment is not None, "rows of both tables have a time"
        return moment


_decode = msgspec.json.Decoder(_Row).decode


class DueFunctions:
    """One deployment's."""

    def __init__(
        self, documents: Documents, wakeups: Callable[[], DueWakeups], clock: Clock
    ) -> None:
        """`documents`: the view. `wakeups`: called when there is somebody to wake."""
        self._documents = documents
        self._wakeups = wakeups
        self._clock = clock

    async def applied(self, commits: Sequence[Commit]) -> None:
        """Tell of what these commits of the view have scheduled for soon.

        What could not be told is found by the next look ahead.
        """
        moments = [
            _decode(change.after).moment
            for commit in commits
            for change in commit.changes
            if change.table in _TABLES and change.after is not None
        ]
        try:
            await self._tell(moments)
        except UnavailableError as error:
            logger.warning("due functions are left to the sweep: %s", error.message)

    async def look_ahead(self) -> None:
        """Tell of everything that is due, or is to be until the next look. UnavailableError."""
        until = encode_value(self._now_ms() + AHEAD_SECONDS * 1000)
        by_kind = SCHEDULED_JOBS.indexes["by_kind_due"].index_id
        kinds = [by_kind + encode_value(kind) for kind in KINDS]
        crons = CRON_JOBS.indexes["by_next"].index_id
        reads = [RangeRead(lo, lo + until, ROWS_MAX) for lo in (*kinds, crons)]
        await self._tell([
            _decode(row.document).moment
            for page in await self._documents.read(reads)
            for row in page.rows
            if row.document is not None
        ])  # fmt: skip

    async def _tell(self, moments: Collection[float]) -> None:
        now = self._now_ms()
        soon = [moment for moment in moments if moment <= now + AHEAD_SECONDS * 1000]
        if soon:
            await self._wakeups().wake(soon, now)

    def _now_ms(self) -> float:
        return self._clock.now_ns() / 1e6

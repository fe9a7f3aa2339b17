"""Removes the bytes of deleted files where nobody asks us before they are served.

CloudFront serves public files straight from the bucket, so a deletion is only seen once the object
is gone: the follower removes it as soon as it hears of the commit. What that misses is found by the
sweep (drivers/file_storage.py), which also lets go of the rows.
"""

import logging
from collections.abc import Callable, Sequence

import msgspec

from syncline.commit.record import Commit
from syncline.errors import UnavailableError
from syncline.file_ports import FileStore
from syncline.ports import Clock
from syncline.schema.catalog import FILES_PENDING

logger = logging.getLogger(__name__)


class _Pending(msgspec.Struct):
    """What matters of a row of `_files_pending`."""

    kind: str
    expires: float
    key: str | None = None


_decode = msgspec.json.Decoder(_Pending).decode


class RemovedFiles:
    """Told of every commit, in order; one more time does no harm."""

    def __init__(self, files: Callable[[], FileStore], clock: Clock) -> None:
        """`files`: called when there is something to remove."""
        self._files = files
        self._clock = clock

    async def applied(self, commits: Sequence[Commit]) -> None:
        """Remove what these durable commits have deleted."""
        now = self._clock.now_ns() / 1e6
        rows = [
            _decode(change.after)
            for commit in commits
            for change in commit.changes
            if change.table == FILES_PENDING.number and change.after is not None
        ]
        keys = [
            row.key
            for row in rows
            if row.kind == "deleted" and row.key is not None and row.expires <= now
        ]
        if not keys:
            return
        try:
            await self._files().delete(keys)
        except UnavailableError as error:
            logger.warning("%d files are left to the sweep: %s", len(keys), error.message)

"""The rows of scheduled functions, as one transaction sees and changes them (protocols.md rule 22).

What was scheduled is a row of `_scheduled_functions`, in the shape that functions read
(convex-protocol.md 6.6), and a row of `_scheduled_jobs` that says when something is to be done
about it: `mutation` and `action` are to be started then, a `claim` is an action that was started
and has died if it is still there then, `history` is to be forgotten then. Both change together.
"""

import math
from typing import Any, Final, Literal

from syncline.execution.database import DatabaseReader, DatabaseWriter
from syncline.limits import SCHEDULED_HISTORY_DAYS
from syncline.registration.cron_schedule import cron_of, next_run
from syncline.schema.catalog import CRON_JOBS, SCHEDULED_JOBS

Document = dict[str, Any]

KINDS: Final = ("mutation", "action", "claim", "history")
"""Of rows of `_scheduled_jobs`."""

_FUNCTIONS: Final = "_scheduled_functions"
_JOBS: Final = SCHEDULED_JOBS.name
_HISTORY_MS: Final = SCHEDULED_HISTORY_DAYS * 86_400_000.0


class ScheduledFunctions:
    """`rows`: a system function's. `now_ms`: the time of the run, milliseconds since the epoch."""

    def __init__(self, rows: DatabaseWriter, now_ms: float) -> None:
        self._rows = rows
        self._now_ms = now_ms

    async def add(
        self,
        kind: Literal["mutation", "action"],
        path: str,
        arguments: Document,
        due: float,
        *,
        cron: str | None = None,
    ) -> str:
        """Schedule a function for `due`, in milliseconds since the epoch; returns its id.

        `cron`: the name of the cron whose run this is.
        """
        job = await self._rows.insert(
            _FUNCTIONS,
            {
                "name": path,
                "args": [arguments],
                "scheduledTime": due,
                "state": {"kind": "pending"},
                **({} if cron is None else {"cron": cron}),
            },
        )
        await self._rows.insert(_JOBS, {"job": job, "kind": kind, "due": due, "name": path})
        return job

    async def pending(self, job: str) -> Document | None:
        """What is still to be started; None: it was started, cancelled or forgotten."""
        return await self._in_state(job, "pending")

    async def _in_state(self, job: str, kind: str) -> Document | None:
        found: Document | None = await self._rows.get(job)
        return found if found is not None and found["state"]["kind"] == kind else None

    async def claim(self, job: str, attempt: str, until: float) -> Document | None:
        """An action that is started now, once this is committed, and by nobody else; None: not."""
        found = await self.pending(job)
        if found is None:
            return None
        await self._rows.patch(job, {"state": {"kind": "inProgress"}})
        await self._change_job(job, {"kind": "claim", "due": until, "attempt": attempt})
        return found

    async def end(self, job: str, error: str | None) -> None:
        """It has come to its end, unless it was cancelled before."""
        found: Document | None = await self._rows.get(job)
        if found is not None and found["state"]["kind"] in {"pending", "inProgress"}:
            state = {"kind": "success"} if error is None else {"kind": "failed", "error": error}
            await self._finish(job, state)

    async def end_attempt(self, job: str, attempt: str, error: str | None) -> None:
        """The same for an action, if this attempt is the one that had claimed it."""
        row = await self._job(job)
        if row is not None and row.get("attempt") == attempt:
            await self.end(job, error)

    async def cancel(self, job: str) -> None:
        """It will not be started; what has ended stays as it is."""
        found: Document | None = await self._rows.get(job)
        if found is not None and found["state"]["kind"] in {"pending", "inProgress"}:
            await self._finish(job, {"kind": "canceled"})

    async def _finish(self, job: str, state: Document) -> None:
        await self._rows.patch(job, {"state": state, "completedTime": self._now_ms})
        await self._change_job(job, {"kind": "history", "due": self._now_ms + _HISTORY_MS})

    async def _change_job(self, job: str, fields: Document) -> None:
        row = await self._job(job)
        assert row is not None, "both rows are written by the same transactions"
        await self._rows.patch(row["_id"], fields)

    async def _job(self, job: str) -> Document | None:
        return (
            await self._rows.query(_JOBS).with_index("by_job", lambda q: q.eq("job", job)).unique()
        )

    async def tick(self, cron_id: str, due: float) -> None:
        """Start a run of a cron that is due, once, unless the one before still runs."""
        row: Document | None = await self._rows.get(cron_id)
        if row is None or row["next"] != due or due > self._now_ms:
            return
        spec = cron_of(row)
        changed: Document = {"next": next_run(spec, self._now_ms, due)}
        if row["last"] is None or await self._has_ended(row["last"]):
            changed["last"] = await self.add(
                spec.kind, spec.path, row["arguments"], due, cron=spec.name
            )
        await self._rows.patch(cron_id, changed)

    async def _has_ended(self, job: str) -> bool:
        found: Document | None = await self._rows.get(job)
        return found is None or found["state"]["kind"] not in {"pending", "inProgress"}

    async def sweep(self, at_most: int, error: str) -> int:
        """Fail claims that are over and forget old history; how many rows this was about."""
        claims = await upcoming(self._rows, "claim", at_most, until=self._now_ms)
        for row in claims:
            await self.end(row["job"], error)
        old = await upcoming(self._rows, "history", at_most, until=self._now_ms)
        for row in old:
            await self._rows.delete(row["job"])
            await self._rows.delete(row["_id"])
        return len(claims) + len(old)


async def upcoming(
    rows: DatabaseReader, kind: str, at_most: int, *, until: float = math.inf
) -> list[Document]:
    """The first to be done of a kind, up to a time in milliseconds."""
    query = rows.query(_JOBS).with_index(
        "by_kind_due", lambda q: q.eq("kind", kind).lte("due", until)
    )
    return await query.take(at_most)


async def upcoming_crons(rows: DatabaseReader, at_most: int) -> list[Document]:
    """The crons that are to run first."""
    return await rows.query(CRON_JOBS.name).with_index("by_next").take(at_most)

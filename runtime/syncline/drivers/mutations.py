"""Running mutations: optimistic run, commit, retry (architecture.md "Commit", protocols.md 5, 6).

A mutation runs at the newest ts, layers included, and is handed to the committer. If its read set
was overtaken it runs again: after a conflict in the lane of the contended key, after further ones
in those of all keys that it met, so that mutations of hot documents queue up instead of overtaking
each other for ever.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from syncline.commit.record import Conflict, Duplicate, Refused
from syncline.drivers.answers import (
    COULD_NOT_COMPLETE,
    Answer,
    Caller,
    answer_of,
    decode_outcome,
    encode_outcome,
    failed_outcome,
)
from syncline.drivers.committer import Committer, Done, Draft, Rerun, Settled
from syncline.drivers.contention import Contention
from syncline.drivers.log_events import LogEvent, LogStream
from syncline.drivers.replica import Replica
from syncline.errors import UnavailableError
from syncline.limits import CONFLICT_RETRIES_MAX
from syncline.ports import (
    Clock,
    Entropy,
    FunctionCall,
    FunctionOutcome,
    FunctionRunner,
    Log,
)

Reply = Callable[[Answer], None]


@dataclass(slots=True)
class _Job:
    path: str
    arguments: bytes
    caller: Caller
    session: str
    request: int
    reply: Reply
    request_id: str
    started_ns: int
    scheduled: str | None
    conflicts: int = 0
    conflict: Conflict | None = None
    lanes: tuple[bytes, ...] = ()


class Mutations:
    """Runs mutations for sessions and HTTP.

    `reply` is called once each, synchronously when the outcome is durable and before any
    Transition that shows its effect.
    """

    def __init__(
        self,
        *,
        log: Log,
        replica: Replica,
        committer: Committer,
        runner: FunctionRunner,
        clock: Clock,
        entropy: Entropy,
        events: LogStream,
        redact: bool,
    ) -> None:
        self._log = log
        self._replica = replica
        self._committer = committer
        self._runner = runner
        self._clock = clock
        self._entropy = entropy
        self._events = events
        self._redact = redact
        self._contention = Contention()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(
        self,
        path: str,
        arguments: bytes,
        caller: Caller,
        request: tuple[str, int],
        reply: Reply,
        *,
        maybe_resent: bool,
        scheduled: str | None = None,
    ) -> None:
        """Run in the background.

        `maybe_resent`: look for a recorded outcome before running. `scheduled`: the id of the
        scheduled function that this is, whose row has the arguments.
        """
        job = _Job(
            path,
            arguments,
            caller,
            *request,
            reply,
            f"{self._entropy.bits(64):016x}",
            self._clock.now_ns(),
            scheduled,
        )
        self._spawn(job, self._first(job) if maybe_resent else self._attempt(job))

    def _spawn(self, job: _Job, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, job))

    def _ended(self, job: _Job, task: asyncio.Task[None]) -> None:
        """A run that failed for a reason of ours is answered too; nothing was committed."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._leave(job)
            job.reply(self._server_error(job, COULD_NOT_COMPLETE))
            raise error

    async def close(self) -> None:
        """Give up on what still runs: nothing of it has been committed or answered."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _first(self, job: _Job) -> None:
        while True:
            try:
                recorded = await self._log.outcome(job.session, job.request)
                break
            except UnavailableError:
                await self._committer.ready()
                await asyncio.sleep(0.02)
        if recorded is None:
            await self._attempt(job)
        else:
            self._settled(job, None, recorded)

    async def _attempt(self, job: _Job) -> None:
        """Run until a draft is queued; the committer calls back."""
        contended = self._contention.known((job.path, job.arguments))
        if contended is not None:
            await self._enter(job, contended)
        while True:
            await self._committer.ready()
            epoch, begin = self._committer.epoch, self._committer.begin_ts
            call = self._call(job, begin)
            try:
                outcome = await self._runner.run(call, self._replica.reads(begin))
            except UnavailableError:
                await asyncio.sleep(0)
                continue
            draft, answer = self._draft(job, call, outcome, epoch)
            done = partial(self._settled, job, (outcome, answer))
            rerun = self._committer.submit(draft, done)
            if rerun is None:
                break
            if rerun.conflict is not None and not await self._make_way(job, rerun.conflict):
                break
        self._leave(job)

    def _call(self, job: _Job, begin: int) -> FunctionCall:
        deployment = self._replica.deployment_at(begin)
        return FunctionCall(
            kind="mutation",
            path=job.path,
            arguments=job.arguments,
            identity=job.caller.identity,
            is_admin=job.caller.is_admin,
            is_inner=job.caller.is_inner,
            begin_ts=begin,
            now_ns=self._clock.now_ns(),
            seed=self._entropy.bits(64),
            journal=None,
            bundle=deployment.bundle,
            catalog=self._replica.catalog_at(begin),
            request_id=job.request_id,
            scheduled=job.scheduled,
        )

    def _draft(
        self, job: _Job, call: FunctionCall, outcome: FunctionOutcome, epoch: int
    ) -> tuple[Draft, Answer]:
        answer = answer_of(outcome, 0, job.request_id, redact=self._redact)
        failed = outcome.error is not None
        draft = Draft(
            epoch=epoch,
            begin_ts=call.begin_ts,
            read_ranges=outcome.read_ranges,
            changes=() if failed else outcome.changes,
            session=job.session,
            request=job.request,
            identity=job.caller.key(),
            call=encode_call(call),
            outcome=encode_outcome(answer),
            failed=failed,
        )
        return draft, answer

    async def _make_way(self, job: _Job, conflict: Conflict) -> bool:
        """Before the next attempt: enter the contended key's lane. False: retries exhausted."""
        job.conflicts += 1
        job.conflict = conflict
        if job.conflicts > CONFLICT_RETRIES_MAX:
            self._exhausted(job)
            return False
        if conflict.key not in job.lanes:
            await self._enter(job, conflict.key)
        return True

    async def _enter(self, job: _Job, key: bytes) -> None:
        """One more lane; all of them in key order, so that no two jobs wait for each other."""
        lanes = sorted({*job.lanes, key})
        self._leave(job)
        for lane in lanes:
            await self._contention.enter(lane, (job.path, job.arguments))
            job.lanes = (*job.lanes, lane)

    def _leave(self, job: _Job) -> None:
        for lane in job.lanes:
            self._contention.leave(lane)
        job.lanes = ()

    def _settled(
        self, job: _Job, run: tuple[FunctionOutcome, Answer] | None, settled: Settled
    ) -> None:
        match settled:
            case Rerun(conflict):
                if conflict is not None:
                    job.conflicts += 1
                    job.conflict = conflict
                    if job.conflicts > CONFLICT_RETRIES_MAX:
                        self._exhausted(job)
                        return
                self._spawn(job, self._attempt(job))
            case Done(ts):
                assert run is not None
                outcome, answer = run
                job.reply(
                    Answer(
                        ts, answer.value, answer.error_message, answer.error_data, answer.log_lines
                    )
                )
                # Once the response has left: printing takes as long as sending.
                asyncio.get_running_loop().call_soon(
                    self._report, job, outcome, self._clock.now_ns()
                )
            case Duplicate():
                job.reply(self._replayed(job, settled))
            case Refused(reason):
                job.reply(self._server_error(job, reason))

    def _replayed(self, job: _Job, recorded: Duplicate) -> Answer:
        if recorded.identity != job.caller.key():
            return self._server_error(
                job,
                "This request id was already used under another identity; "
                "its outcome is not shown to you. Send the call as a new request.",
            )
        return decode_outcome(recorded.ts, recorded.outcome)

    def _server_error(self, job: _Job, text: str) -> Answer:
        return Answer(
            self._replica.durable.ts,
            None,
            f"[Request ID: {job.request_id}] Server Error\n{text}",
        )

    def _exhausted(self, job: _Job) -> None:
        """Record the conflict as the outcome of the request, then report it (rule 5)."""
        assert job.conflict is not None
        text = describe_conflict(self._replica, job.path, job.conflict)
        message = f"[Request ID: {job.request_id}] Server Error\n{text}"
        answer = Answer(0, None, message, conflict=True)
        outcome = failed_outcome(text)
        call = self._call(job, self._committer.begin_ts)
        draft = Draft(
            self._committer.epoch,
            call.begin_ts,
            (),
            (),
            job.session,
            job.request,
            job.caller.key(),
            encode_call(call),
            encode_outcome(answer),
            failed=True,
        )
        if self._committer.submit(draft, partial(self._exhausted_done, job, outcome, answer)):
            self._spawn(job, self._attempt(job))

    def _exhausted_done(
        self, job: _Job, outcome: FunctionOutcome, answer: Answer, settled: Settled
    ) -> None:
        if isinstance(settled, Rerun):
            self._exhausted(job)
        elif isinstance(settled, Done):
            self._report(job, outcome, self._clock.now_ns())
            job.reply(Answer(settled.ts, None, answer.error_message, conflict=True))
        else:
            self._settled(job, None, settled)

    def _report(self, job: _Job, outcome: FunctionOutcome, ended_ns: int) -> None:
        self._events.emit(
            LogEvent.of(
                job.path,
                "mutation",
                job.request_id,
                outcome,
                duration_ns=ended_ns - job.started_ns,
                now_ns=ended_ns,
                retries=job.conflicts,
            )
        )


def encode_call(call: FunctionCall) -> bytes:
    """The commit's record of the call: what a replay needs (architecture.md "Commit")."""
    head = orjson.dumps(
        {
            "function": call.path,
            "seed": f"{call.seed:x}",
            "now": call.now_ns,
            "bundle": call.bundle,
            "beginTs": call.begin_ts,
            "requestId": call.request_id,
            "isAdmin": call.is_admin,
            "isInner": call.is_inner,
        }
    )
    identity = call.identity or b"null"
    if call.scheduled is not None:
        head = head[:-1] + b',"scheduled":' + orjson.dumps(call.scheduled) + b"}"
    return head[:-1] + b',"identity":' + identity + b',"arguments":' + call.arguments + b"}"


def describe_conflict(replica: Replica, path: str, conflict: Conflict) -> str:
    """The documented conflict error: the document and both functions."""
    document = other = "unknown"
    since = max(conflict.ts - 1, replica.tail.floor)
    for commit in replica.tail.changes_since(since):
        if commit.ts == conflict.ts:
            other = str(orjson.loads(commit.call).get("function", "a deployment change"))
            document = next(
                (c.document_id for c in commit.changes if conflict.key in c.write_keys), "unknown"
            )
        break
    return (
        f"OptimisticConcurrencyControlFailure: Document {document}, which {path} had read, was "
        f"changed by {other} while it was running, and again on every retry. "
        "Read fewer documents, or call it less often at the same time."
    )

"""Runs what was scheduled when it is due (protocols.md rule 22, docs/scheduling.md).

What is to come is a live query like any other, so an idle deployment asks nobody: a commit that
schedules something changes the query's result, and one timer waits for the earliest of it. Doing
something twice costs time only. A mutation takes its row's state along in its own commit, so that a
second run finds nothing to do; an action starts after a commit that claims it for one attempt.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from syncline.drivers.answers import COULD_NOT_COMPLETE, Answer, Caller, without_request_id
from syncline.drivers.queries import Entry, Queries
from syncline.drivers.system_calls import SYSTEM, SystemCallError
from syncline.errors import CallerError, SynclineError, UnavailableError
from syncline.limits import (
    SCHEDULED_ACTIONS_MAX,
    SCHEDULED_CLAIM_SECONDS,
    SCHEDULED_MUTATIONS_MAX,
)
from syncline.ports import Clock, Entropy
from syncline.values import wire_json
from syncline.values.value import Value

NOBODY: Final = Caller(is_admin=True, is_inner=True)
"""Scheduled functions may be internal, and nobody is signed in (convex-protocol.md 6.6), so that
row rules, which ask who is, do not hold (docs/auth.md)."""

STOPPED: Final = "The deployment was stopped while the action ran."
CLAIM_OVER: Final = "The action did not end in time, or what ran it died."

RETRY_SECONDS: Final = (0.1, 60.0)
"""Before the first retry of a mutation that could not commit, doubled up to the second; ours."""
CRONS_AT_ONCE: Final = 16
"""Crons that are looked at together; ours: each costs one small commit."""
RETRIES_MAX: Final = 10
"""Of a mutation that could not commit, each after all the retries of a call; ours: some minutes."""
ROWS_AT_ONCE: Final = 100
"""Rows that one step of a sweep touches."""

_AT_ONCE: Final = MappingProxyType({
    "mutation": SCHEDULED_MUTATIONS_MAX,
    "action": SCHEDULED_ACTIONS_MAX,
    "cron": CRONS_AT_ONCE,
})  # fmt: skip
"""How many of each kind are looked at together."""

_IN_ROW: Final = b"{}"
"""The arguments that travel with a scheduled mutation, whose row has them."""

_UPCOMING: Final = "_system/scheduler:upcoming"


class Functions(Protocol):
    """What the scheduler calls: `drivers.engine.Engine`."""

    queries: Queries

    async def query(self, path: str, arguments: bytes, caller: Caller) -> Answer:
        """A query's result at the newest ts."""
        ...

    async def mutation(
        self, path: str, arguments: bytes, caller: Caller, *, scheduled: str | None = None
    ) -> Answer:
        """Run a mutation; the answer is durable."""
        ...

    async def load_actions(self) -> None:
        """Have the deployed actions ready to start."""
        ...

    async def action(self, path: str, arguments: bytes, caller: Caller) -> Answer:
        """Run an action to its end."""
        ...


ActionStart: TypeAlias = Callable[[str, str, str, bytes], Awaitable[None]]
"""Starts an action for a job's attempt: the job, the attempt, path and arguments.

UnavailableError: whether it was started is not known. CallerError: it was not."""


class Job(msgspec.Struct, frozen=True):
    """A scheduled function that is still to be started, or a cron's next run."""

    id: str
    kind: Literal["mutation", "action", "cron"]
    name: str
    due: float
    """Milliseconds since the epoch."""
    not_before: float = 0.0
    """When it is tried again, if it could not commit."""

    @property
    def moment(self) -> float:
        """When it is to be started."""
        return max(self.due, self.not_before)


class Upcoming(msgspec.Struct, frozen=True):
    """What is to come, as far as it matters now."""

    jobs: list[Job]
    sweep: float | None

    @property
    def is_cut(self) -> bool:
        """Whether there may be more of a kind than was looked at."""
        counts = Counter(job.kind for job in self.jobs)
        return any(counts[kind] >= at_most for kind, at_most in _AT_ONCE.items())

    def due(self) -> float | None:
        """When there is something to do next, in milliseconds since the epoch."""
        moments = [job.moment for job in self.jobs]
        return min(moments if self.sweep is None else [*moments, self.sweep], default=None)


_decode_upcoming = msgspec.json.Decoder(Upcoming).decode


@dataclass(slots=True)
class _Delayed:
    """A mutation that could not commit, and comes again."""

    attempts: int
    not_before: float


class Scheduler:
    """The scheduled functions of one deployment. Several at once do no harm."""

    def __init__(
        self,
        functions: Functions,
        *,
        clock: Clock,
        entropy: Entropy,
        claim_seconds: float = SCHEDULED_CLAIM_SECONDS,
        start_action: ActionStart | None = None,
    ) -> None:
        """`start_action`: of actions that run elsewhere and record their end themselves."""
        self._functions = functions
        self._clock = clock
        self._entropy = entropy
        self._claim_ms = claim_seconds * 1000
        self._start_action = start_action
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ended: set[tuple[str, float]] = set()
        """Ran to their end here, and may still stand in a result that is older."""
        self._delayed: dict[str, _Delayed] = {}
        self._changed = asyncio.Event()

    def _now_ms(self) -> float:
        return self._clock.now_ns() / 1e6

    # For whoever decides by itself when to look: tests and Lambdas

    async def next_due(self) -> float | None:
        """When there is something to do next, in milliseconds; None: nothing is scheduled."""
        return self._without_delayed(await self._upcoming()).due()

    async def run_due(self) -> None:
        """Run everything that is due, and what it schedules for at once, to its end."""
        while await self._run_once(await self._upcoming()):
            pass

    async def run_noticed(self, seconds: float) -> float | None:
        """Run what is due now to its end, but begin nothing after `seconds`.

        Returns when to go on with what is left of it, in milliseconds; None: nothing is. What is
        scheduled meanwhile has a notice of its own: looking once more than needed reads the log.
        """
        until = self._now_ms() + seconds * 1000
        while True:
            upcoming = await self._upcoming()
            has_run = await self._run_once(upcoming)
            left = [
                self._delayed[job.id].not_before for job in upcoming.jobs if job.id in self._delayed
            ]
            if not has_run or not upcoming.is_cut:
                return min(left, default=None)
            if self._now_ms() >= until:
                return self._now_ms()

    async def _run_once(self, upcoming: Upcoming) -> bool:
        """Run what is due of these to its end; whether there was something to do."""
        self._start_due(upcoming)
        has_run = bool(self._running)
        if has_run:
            await asyncio.wait([*self._running.values()])
        return await self._sweep(upcoming) or has_run

    async def _upcoming(self) -> Upcoming:
        answer = await self._functions.query(_UPCOMING, _limits(), SYSTEM)
        return _decode_upcoming(_value(answer))

    # Beside a server

    async def run(self, delayed: Callable[[SynclineError], None]) -> None:
        """Run what is due, for ever. `delayed` is told of what has to wait for the next time."""
        await self._fail_claims(delayed)
        watch = _Watch(self._functions.queries, self._changed.set)
        try:
            while True:
                self._changed.clear()
                due = await self._step(watch.upcoming(), delayed)
                await self._wait(due)
        finally:
            watch.stop()
            await self.close()

    async def _step(
        self, upcoming: Upcoming | None, delayed: Callable[[SynclineError], None]
    ) -> float | None:
        """Start what is due; when there is something to do next."""
        if upcoming is None:
            return None
        self._start_due(upcoming)
        try:
            while await self._sweep(upcoming):
                upcoming = await self._upcoming()
        except SynclineError as error:
            delayed(error)
            return self._now_ms() + RETRY_SECONDS[1] * 1000
        # What has started is looked at again when it ends.
        rest = [job for job in upcoming.jobs if job.id not in self._running]
        return self._without_delayed(Upcoming(rest, upcoming.sweep)).due()

    async def _wait(self, due: float | None) -> None:
        seconds = None if due is None else max(0.0, (due - self._now_ms()) / 1000)
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _fail_claims(self, delayed: Callable[[SynclineError], None]) -> None:
        """Actions that the process before this one had started have ended with it."""
        while True:
            try:
                arguments: dict[str, Value] = {"atMost": ROWS_AT_ONCE, "error": STOPPED}
                if not await self._system("fail_claims", arguments):
                    return
            except SynclineError as error:
                delayed(error)
                await asyncio.sleep(1)

    async def close(self) -> None:
        """Cancel what runs: a mutation has committed or not, actions fail at the next start."""
        tasks = [*self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Both

    def _without_delayed(self, upcoming: Upcoming) -> Upcoming:
        """With the time of the next attempt for what has failed to commit."""
        jobs = [
            msgspec.structs.replace(job, not_before=self._delayed[job.id].not_before)
            if job.id in self._delayed
            else job
            for job in upcoming.jobs
            if (job.id, job.due) not in self._ended
        ]
        return Upcoming(jobs, upcoming.sweep)

    def _start_due(self, upcoming: Upcoming) -> None:
        self._ended &= {(job.id, job.due) for job in upcoming.jobs}
        present = {job.id for job in upcoming.jobs}
        self._delayed = {job: each for job, each in self._delayed.items() if job in present}
        now = self._now_ms()
        for job in self._without_delayed(upcoming).jobs:
            if job.moment <= now and job.id not in self._running:
                self._start(job)

    def _start(self, job: Job) -> None:
        works = {"mutation": self._mutate, "action": self._act, "cron": self._tick}
        task = asyncio.get_running_loop().create_task(self._tracked(job, works[job.kind]))
        self._running[job.id] = task

    async def _tracked(self, job: Job, work: Callable[[Job], Awaitable[bool]]) -> None:
        try:
            if await work(job):
                self._ended.add((job.id, job.due))
                self._delayed.pop(job.id, None)
            else:
                self._delay(job)
        except UnavailableError:
            self._delay(job)
        except Exception as error:
            # A mistake of ours: say so, and don't try it again at once.
            self._delay(job)
            context = {"message": f"{job.name} could not be run", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        finally:
            del self._running[job.id]
            self._changed.set()

    def _delay(self, job: Job) -> None:
        shortest, longest = RETRY_SECONDS
        before = self._delayed.get(job.id)
        attempts = before.attempts + 1 if before else 1
        seconds = min(longest, shortest * 2.0 ** (attempts - 1))
        self._delayed[job.id] = _Delayed(attempts, self._now_ms() + seconds * 1000)

    async def _mutate(self, job: Job) -> bool:
        """Whether it has come to its end; if not, it comes again."""
        answer = await self._functions.mutation(job.name, _IN_ROW, NOBODY, scheduled=job.id)
        if answer.value is not None:
            return True
        error = _message(answer)
        tried = self._delayed[job.id].attempts if job.id in self._delayed else 0
        if (answer.conflict or error == COULD_NOT_COMPLETE) and tried < RETRIES_MAX:
            return False
        await self._system("end", {"job": job.id, "error": error})
        return True

    async def _act(self, job: Job) -> bool:
        # A claim is for good, so what can be waited for is waited for before.
        await self._functions.load_actions()
        attempt = f"{self._entropy.bits(128):032x}"
        until = self._now_ms() + self._claim_ms
        claim: dict[str, Value] = {"job": job.id, "attempt": attempt, "until": until}
        arguments = await self._system("claim", claim)
        if arguments is None:
            return True
        error: str | None = None
        try:
            encoded = wire_json.encode(arguments)
            if self._start_action is not None:
                await self._start_action(job.id, attempt, job.name, encoded)
                return True
            answer = await self._functions.action(job.name, encoded, NOBODY)
            error = None if answer.value is not None else _message(answer)
        except (UnavailableError, CallerError) as failure:
            # Whether it had begun may not be known, so it is not started again.
            error = failure.message
        await self._system("end", {"job": job.id, "attempt": attempt, "error": error})
        return True

    async def _tick(self, job: Job) -> bool:
        """A cron's run is scheduled like any other function; the cron stays, with its next run."""
        await self._system("tick", {"cron": job.id, "due": job.due})
        return True

    async def _sweep(self, upcoming: Upcoming) -> bool:
        """Whether there was something to sweep."""
        if upcoming.sweep is None or upcoming.sweep > self._now_ms():
            return False
        await self._system("sweep", {"atMost": ROWS_AT_ONCE, "error": CLAIM_OVER})
        return True

    async def _system(self, name: str, arguments: dict[str, Value]) -> Value:
        path = f"_system/scheduler:{name}"
        answer = await self._functions.mutation(path, wire_json.encode(arguments), SYSTEM)
        return wire_json.decode(_value(answer))


class _Watch:
    """A queries.Watcher that follows what is to come."""

    def __init__(self, queries: Queries, changed: Callable[[], None]) -> None:
        self._queries = queries
        self._changed = changed
        self._entry = self._begin()

    def _begin(self) -> Entry:
        return self._queries.watch(_UPCOMING, _limits(), SYSTEM, None, self)

    def refreshed(self) -> None:
        self._changed()

    def moved(self, entry: object) -> None:
        self._queries.unwatch(self._entry, self)
        self._entry = self._begin()
        self._changed()

    def upcoming(self) -> Upcoming | None:
        """The newest result; None: there is none yet, and `changed` is called when there is."""
        answer = self._entry.answer
        return None if answer is None or answer.value is None else _decode_upcoming(answer.value)

    def stop(self) -> None:
        self._queries.unwatch(self._entry, self)


def _limits() -> bytes:
    return wire_json.encode({f"{kind}s": at_most for kind, at_most in _AT_ONCE.items()})


def _value(answer: Answer) -> bytes:
    if answer.value is None:
        raise SystemCallError("SystemCallFailed", _message(answer))
    return answer.value


def _message(answer: Answer) -> str:
    return without_request_id(answer.error_message or COULD_NOT_COMPLETE)

"""Shared query results: equal queries run once, whoever asks (architecture.md "Subscriptions").

An entry is one query with its newest result, valid in [ts, stale_from): `ts` is the snapshot it was
run at, `stale_from` the first later commit that wrote into its read set. A run registers its new
interest first and validates against the tail afterwards, so a commit is seen by one or the other
(protocols.md rule 17). Entries with watchers are run again as soon as a commit touches them; the
others are a cache and forgotten when touched or when they have become too many.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from syncline.commit.record import Commit
from syncline.drivers.answers import (
    COULD_NOT_COMPLETE,
    Answer,
    Caller,
    answer_of,
    failed_outcome,
)
from syncline.drivers.log_events import LogEvent, LogStream
from syncline.drivers.replica import Replica
from syncline.errors import UnavailableError
from syncline.function_path import SYSTEM_PREFIX
from syncline.limits import (
    OBSERVED_TIME_SHARED_SECONDS,
    QUERY_CACHE_BYTES_MAX,
    QUERY_CACHE_ENTRIES_MAX,
)
from syncline.ports import (
    Clock,
    Entropy,
    FunctionCall,
    FunctionOutcome,
    FunctionRunner,
    InterestStore,
)
from syncline.sync.session import QueryResult


class QueryKey(msgspec.Struct, frozen=True, gc=False):
    """What makes two queries equal. `identity` is None until a run is seen to read it."""

    path: str
    module_hash: str
    arguments: bytes
    journal: str | None
    is_admin: bool
    is_inner: bool
    identity: bytes | None


@dataclass(slots=True, eq=False)
class Entry:
    """One distinct query and its newest result."""

    key: QueryKey
    caller: Caller
    result: QueryResult | None = None
    outcome: FunctionOutcome | None = None
    answer: Answer | None = None
    ts: int = 0
    stale_from: int | None = None
    computed_ns: int = 0
    watchers: dict["Watcher", None] = field(default_factory=dict["Watcher", None])
    running: asyncio.Task[None] | None = None

    def is_valid_at(self, ts: int) -> bool:
        """Whether the result is what the query returns at `ts` (at most the matched watermark)."""
        if self.result is None or ts < self.ts:
            return False
        return self.stale_from is None or ts < self.stale_from

    @property
    def journal(self) -> str | None:
        """The journal that the next run of this subscription continues with."""
        return self.outcome.journal if self.outcome else self.key.journal


class Watcher(Protocol):
    """Somebody who wants to know when an entry has a new result (a session)."""

    def refreshed(self) -> None:
        """An entry that this watcher watches has a new result."""
        ...

    def moved(self, entry: "Entry") -> None:
        """The query continues under another key (module, journal or identity): watch it anew."""
        ...


class Queries:
    """All shared results of this process."""

    def __init__(
        self,
        *,
        replica: Replica,
        runner: FunctionRunner,
        interest: InterestStore,
        clock: Clock,
        entropy: Entropy,
        events: LogStream,
        redact: bool,
    ) -> None:
        self._replica = replica
        self._runner = runner
        self._interest = interest
        self._clock = clock
        self._entropy = entropy
        self._events = events
        self._redact = redact
        self._entries: dict[QueryKey, Entry] = {}
        self._reads_identity: set[QueryKey] = set()
        self._idle: OrderedDict[QueryKey, int] = OrderedDict()
        self._idle_bytes = 0
        self.matched = replica.durable.ts
        """Every commit up to this ts has been matched with the interests (protocols.md rule 17)."""
        self.executions = 0
        """How often a query function of the users was run: for tests and benchmarks."""

    def key_of(
        self, path: str, arguments: bytes, caller: Caller, journal: str | None, ts: int
    ) -> QueryKey:
        """The key under which this caller's query is shared at `ts`."""
        module_hash = self._replica.deployment_at(ts).module_hash(path)
        key = QueryKey(
            path, module_hash, arguments, journal, caller.is_admin, caller.is_inner, None
        )
        return self._for_identity(key, caller) if key in self._reads_identity else key

    @staticmethod
    def _for_identity(key: QueryKey, caller: Caller) -> QueryKey:
        return msgspec.structs.replace(key, identity=caller.identity or b"")

    def watch(
        self, path: str, arguments: bytes, caller: Caller, journal: str | None, watcher: Watcher
    ) -> Entry:
        """The entry of a query, kept up to date for `watcher` until `unwatch`."""
        entry = self._entry(path, arguments, caller, journal)
        entry.watchers[watcher] = None
        if entry.is_valid_at(self.matched):
            self._report_shared(entry)
        else:
            self.refresh(entry)
        return entry

    def _report_shared(self, entry: Entry) -> None:
        """Tell that a result was shared instead of computed."""
        if entry.outcome is not None:
            now = self._clock.now_ns()
            self._events.emit(
                LogEvent.of(
                    entry.key.path,
                    "query",
                    "",
                    entry.outcome,
                    duration_ns=0,
                    now_ns=now,
                    cached=True,
                )
            )

    def unwatch(self, entry: Entry, watcher: Watcher) -> None:
        """Stop watching; an entry without watchers stays as a cache while it is valid."""
        entry.watchers.pop(watcher, None)
        if not entry.watchers:
            self._retire(entry)

    async def fetch(
        self, path: str, arguments: bytes, caller: Caller, journal: str | None, ts: int
    ) -> Entry:
        """A result valid at `ts`; one that is shared with nobody when `ts` lies in the past."""
        entry = self._entry(path, arguments, caller, journal)
        if entry.is_valid_at(ts):
            self._report_shared(entry)
        while not entry.is_valid_at(ts):
            if ts < self.matched or entry.ts > ts:
                return await self._exact(entry.key, caller, ts)
            self.refresh(entry)
            assert entry.running is not None
            await asyncio.shield(entry.running)
            entry = self._entry(path, arguments, caller, journal)
        if not entry.watchers:
            self._retire(entry)
        return entry

    def _entry(self, path: str, arguments: bytes, caller: Caller, journal: str | None) -> Entry:
        key = self.key_of(path, arguments, caller, journal, self.matched)
        entry = self._entries.get(key)
        if entry is None:
            entry = Entry(key, caller)
            self._entries[key] = entry
        else:
            self._use(entry)
            self._expire_observed_time(entry)
        return entry

    def _expire_observed_time(self, entry: Entry) -> None:
        """A result that read the clock is shared with newcomers for a few seconds only."""
        outcome = entry.outcome
        if outcome is None or not (outcome.read_time or outcome.read_random):
            return
        age_ns = self._clock.now_ns() - entry.computed_ns
        if age_ns > OBSERVED_TIME_SHARED_SECONDS * 1_000_000_000 and entry.stale_from is None:
            entry.stale_from = entry.ts + 1

    def refresh(self, entry: Entry) -> None:
        """Run the query again at the newest durable ts, unless a run is under way."""
        if entry.running is None:
            entry.running = asyncio.get_running_loop().create_task(self._run(entry))
            entry.running.add_done_callback(self._check)

    def _report(self, error: BaseException) -> None:
        """A mistake of ours: say so; the query fails, and nothing else."""
        context = {"message": "A query could not be run", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)

    def _check(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(error)

    async def _run(self, entry: Entry) -> None:
        try:
            while True:
                ts, epoch = self.matched, self._replica.epoch
                try:
                    outcome = await self._execute(entry.key, entry.caller, ts)
                except UnavailableError:
                    await asyncio.sleep(0.01)
                    continue
                except Exception as error:
                    self._report(error)
                    outcome = failed_outcome(COULD_NOT_COMPLETE, read_time=True)
                if outcome.read_identity and entry.key.identity is None:
                    await self._split(entry, outcome, ts)
                    return
                await self._store(entry, outcome, ts)
                if self._replica.epoch != epoch:
                    # The log was reset meanwhile: what was run stood on another history.
                    self._invalidate(entry)
                    continue
                if not entry.watchers or entry.is_valid_at(self.matched):
                    return
                self._tell(entry)
        finally:
            entry.running = None
            self._tell(entry)

    def _tell(self, entry: Entry) -> None:
        for watcher in tuple(entry.watchers):
            watcher.refreshed()

    async def _execute(self, key: QueryKey, caller: Caller, ts: int) -> FunctionOutcome:
        started = self._clock.now_ns()
        request_id = f"{self._entropy.bits(64):016x}"
        call = FunctionCall(
            kind="query",
            path=key.path,
            arguments=key.arguments,
            identity=caller.identity,
            is_admin=caller.is_admin,
            is_inner=caller.is_inner,
            begin_ts=ts,
            now_ns=started,
            seed=self._entropy.bits(64),
            journal=key.journal,
            bundle=self._replica.deployment_at(ts).bundle,
            catalog=self._replica.catalog_at(ts),
            request_id=request_id,
        )
        # What the deployment asks itself, now and then, is nobody's doing.
        self.executions += not key.path.startswith(SYSTEM_PREFIX)
        outcome = await self._runner.run(call, self._replica.reads(ts))
        now = self._clock.now_ns()
        self._events.emit(
            LogEvent.of(
                key.path, "query", request_id, outcome, duration_ns=now - started, now_ns=now
            )
        )
        return outcome

    async def _store(self, entry: Entry, outcome: FunctionOutcome, ts: int) -> None:
        """Register the new interest, then validate, then let the old interest go (rule 17)."""
        await self._interest.register(entry, outcome.read_ranges)
        shown = entry.result
        self._fill(entry, outcome, ts)
        if shown is not None and entry.result and shown.fingerprint == entry.result.fingerprint:
            entry.result = shown
        entry.stale_from = self._replica.overtaken_at(ts, outcome.read_ranges)

    def _fill(self, entry: Entry, outcome: FunctionOutcome, ts: int) -> None:
        request_id = f"{self._entropy.bits(64):016x}"
        answer = answer_of(outcome, ts, request_id, redact=self._redact)
        entry.outcome, entry.answer, entry.ts = outcome, answer, ts
        entry.computed_ns = self._clock.now_ns()
        if answer.value is not None:
            entry.result = QueryResult.success(answer.value, answer.log_lines, outcome.journal)
            return
        assert outcome.error is not None
        assert answer.error_message is not None
        entry.result = QueryResult.failure(
            answer.error_message,
            answer.error_data,
            answer.log_lines,
            outcome.journal,
            same_as=outcome.error.message,
        )

    async def _split(self, entry: Entry, outcome: FunctionOutcome, ts: int) -> None:
        """One entry per identity from here on, before anything is sent (protocols.md rule 18)."""
        self._reads_identity.add(entry.key)
        key = self._for_identity(entry.key, entry.caller)
        own = self._entries.setdefault(key, Entry(key, entry.caller))
        if ts >= own.ts:
            await self._store(own, outcome, ts)
        self._move_watchers(entry)
        self._forget(entry)
        if not own.watchers:
            self._retire(own)

    def _move_watchers(self, entry: Entry) -> None:
        for watcher in tuple(entry.watchers):
            watcher.moved(entry)

    async def durable(self, commits: Sequence[Commit]) -> None:
        """Commits became durable: match them, then let the touched queries run again."""
        touched: dict[Entry, None] = {}
        for commit in commits:
            keys = {key for change in commit.changes for key in change.write_keys}
            for entry in await self._interest.match(keys):
                assert isinstance(entry, Entry)
                if commit.ts > entry.ts and entry.result is not None:
                    if entry.stale_from is None or commit.ts < entry.stale_from:
                        entry.stale_from = commit.ts
                    touched[entry] = None
        self.matched = max(self.matched, commits[-1].ts)
        for entry in touched:
            if entry.watchers:
                self._restart(entry)
            elif entry.running is None:
                self._forget(entry)

    def _restart(self, entry: Entry) -> None:
        """Run a touched entry again; after a push or with a journal it goes on under a new key."""
        key = entry.key
        module_hash = self._replica.deployment_at(self.matched).module_hash(key.path)
        if entry.running is None and (
            entry.journal != key.journal or module_hash != key.module_hash
        ):
            self._move_watchers(entry)
        else:
            self.refresh(entry)

    async def close(self) -> None:
        """Give up on the runs under way."""
        running = [entry.running for entry in self._entries.values() if entry.running is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def invalidate_all(self) -> None:
        """The log was reset: nothing computed before counts."""
        self.matched = self._replica.durable.ts
        for entry in list(self._entries.values()):
            self._invalidate(entry)
            if entry.watchers:
                self.refresh(entry)
            else:
                self._forget(entry)

    @staticmethod
    def _invalidate(entry: Entry) -> None:
        entry.result = None
        entry.ts = 0

    async def exact(self, entry: Entry, ts: int) -> Entry:
        """A run of an entry's query at exactly `ts` that is shared with nobody."""
        return await self._exact(entry.key, entry.caller, ts)

    async def _exact(self, key: QueryKey, caller: Caller, ts: int) -> Entry:
        entry = Entry(key, caller)
        self._fill(entry, await self._execute(key, caller, ts), ts)
        entry.stale_from = ts + 1
        return entry

    def _use(self, entry: Entry) -> None:
        size = self._idle.pop(entry.key, None)
        if size is not None:
            self._idle_bytes -= size

    def _retire(self, entry: Entry) -> None:
        """Keep an unwatched entry as a cache, forgetting the least recently used ones."""
        if self._entries.get(entry.key) is not entry:
            return
        if entry.running is None and entry.stale_from is not None:
            self._forget(entry)
            return
        self._use(entry)
        size = len(entry.result.fragment) if entry.result else 0
        self._idle[entry.key] = size
        self._idle_bytes += size
        while self._idle_bytes > QUERY_CACHE_BYTES_MAX or len(self._idle) > QUERY_CACHE_ENTRIES_MAX:
            self._forget(self._entries[next(iter(self._idle))])

    def _forget(self, entry: Entry) -> None:
        self._use(entry)
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
        self._interest.unregister(entry)

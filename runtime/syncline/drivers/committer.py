"""Group commit with speculative layers: one append in flight, the next batch building on it.

protocols.md rule 6. A submitted mutation is validated in memory against the tail (layers included),
gets its ts at once and becomes a layer that later runs may read. The running append carries the
position that it stands on, so that nothing is appended if another process has committed; then, as
after any failure or doubt, every layer is dropped and what was in flight runs again under the same
request id. After three moved heads in a row a batch is validated in full by the database instead.

Everything reported by `done` is durable. For one batch the order is: documents applied, each
`done`, then `on_durable`: so a response always leaves before the Transition that shows its effect.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from syncline.commit.record import (
    Appended,
    AppendReply,
    Closed,
    Commit,
    CommitRequest,
    Committed,
    Conflict,
    DocumentChange,
    Duplicate,
    HeadMoved,
    ItemResult,
    Position,
    Recorded,
    Refused,
    Reset,
    SlowDown,
)
from syncline.drivers.replica import Replica, catch_up
from syncline.errors import UnavailableError
from syncline.index.key_range import KeyRange
from syncline.limits import COMMIT_BATCH_BYTES_MAX, COMMIT_BATCH_MAX
from syncline.ports import Clock, Entropy, Log

MOVED_HEADS_MAX = 3
"""Moved heads in a row before the database validates in full (protocols.md rule 6)."""


class Draft(msgspec.Struct, frozen=True, gc=False):
    """A finished run that wants to be committed: everything of a CommitRequest but ts and nonce."""

    epoch: int
    begin_ts: int
    read_ranges: tuple[KeyRange, ...]
    changes: tuple[DocumentChange, ...]
    session: str
    request: int
    identity: str
    call: bytes
    outcome: bytes
    failed: bool


class Done(msgspec.Struct, frozen=True, gc=False):
    """Recorded and durable; `ts` is the commit's (of a validated failure: the head's)."""

    ts: int


class Rerun(msgspec.Struct, frozen=True, gc=False):
    """The snapshot that the run stood on is gone or was overtaken: run again, same request id."""

    conflict: Conflict | None = None


Settled = Done | Duplicate | Refused | Rerun


@dataclass(slots=True)
class _Item:
    request: CommitRequest
    commit: Commit | None
    done: Callable[[Settled], None]


class Committer:
    """Owns the head of the log for one process; `run` is its single background task."""

    def __init__(
        self,
        log: Log,
        replica: Replica,
        *,
        clock: Clock,
        entropy: Entropy,
        on_durable: Callable[[Sequence[Commit]], Awaitable[None]],
        reload: Callable[[], Awaitable[None]],
        on_reset: Callable[[], None],
        pipelining: bool = True,
    ) -> None:
        """`reload` loads the replica anew; `on_reset` is called when that has been answered for.

        `pipelining` False: every batch is validated in full by the database.
        """
        self._log = log
        self._replica = replica
        self._clock = clock
        self._entropy = entropy
        self._on_durable = on_durable
        self._reload = reload
        self._on_reset = on_reset
        self._pipelining = pipelining
        self._queue: deque[_Item] = deque()
        self._wake = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._turn = asyncio.Lock()
        self._moved_heads = 0
        self.epoch = 0

    @property
    def is_speculative(self) -> bool:
        """Whether runs may stand on layers that are not durable yet."""
        return self._pipelining and self._moved_heads < MOVED_HEADS_MAX

    @property
    def begin_ts(self) -> int:
        """The ts that a new mutation should read at."""
        return self._replica.head if self.is_speculative else self._replica.durable.ts

    async def ready(self) -> None:
        """Wait until commits are accepted: not while recovering from a lost log."""
        await self._open.wait()

    def submit(self, draft: Draft, done: Callable[[Settled], None]) -> Rerun | None:
        """Validate in memory and queue; `done` is called later unless a Rerun is returned now."""
        replica = self._replica
        if draft.epoch != self.epoch or not self._open.is_set():
            return Rerun()
        if draft.begin_ts < replica.tail.floor:
            return Rerun()
        hit = replica.tail.conflict_since(draft.begin_ts, draft.read_ranges)
        if hit is not None:
            return Rerun(Conflict(*hit))
        self._queue.append(self._layer(draft, done))
        self._wake.set()
        return None

    def _layer(self, draft: Draft, done: Callable[[Settled], None]) -> _Item:
        replica = self._replica
        head = replica.head
        ts = head if draft.failed else max(head + 1, self._clock.now_ns())
        nonce = self._entropy.bits(63)
        request = CommitRequest(
            begin_ts=draft.begin_ts,
            read_ranges=draft.read_ranges,
            changes=draft.changes,
            session=draft.session,
            request=draft.request,
            identity=draft.identity,
            call=draft.call,
            outcome=draft.outcome,
            failed=draft.failed,
            ts=ts,
            nonce=nonce,
        )
        if draft.failed or not self.is_speculative:
            return _Item(request, None, done)
        commit = Commit(ts, nonce, head, draft.changes, draft.session, draft.request, draft.call)
        replica.add(commit)
        return _Item(request, commit, done)

    async def run(self) -> None:
        """Append batch after batch until cancelled."""
        while True:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
            async with self._turn:
                await self._append(self._take())

    async def _append(self, batch: list[_Item]) -> None:
        if not batch:
            return
        exclusive = self.is_speculative
        try:
            reply = await self._log.append(
                [item.request for item in batch],
                standing_on=self._replica.durable,
                exclusive=exclusive,
            )
            await self._settle(batch, reply, exclusive=exclusive)
        except UnavailableError:
            await self._recover(batch)

    def _take(self) -> list[_Item]:
        """The next batch; only one kind of item (layered or not) is in a batch."""
        batch: list[_Item] = []
        size = 0
        while self._queue and len(batch) < COMMIT_BATCH_MAX and size < COMMIT_BATCH_BYTES_MAX:
            item = self._queue.popleft()
            size += len(item.request.outcome) + sum(
                len(change.after or b"") for change in item.request.changes
            )
            batch.append(item)
        return batch

    async def _settle(self, batch: list[_Item], reply: AppendReply, *, exclusive: bool) -> None:
        match reply:
            case Appended() if exclusive:
                await self._settle_layers(batch, reply.results)
            case Appended():
                await self._settle_validated(batch, reply)
            case HeadMoved():
                self._moved_heads += 1
                await self._rebase(batch)
            case SlowDown():
                self._queue.extendleft(reversed(batch))
                await asyncio.sleep(0.05)
            case Reset():
                await self._start_over(lambda: _run_again(batch))
            case Closed():
                raise AssertionError("marks are passed and made again by drivers.marked_log")

    async def _settle_layers(self, batch: list[_Item], results: Sequence[ItemResult]) -> None:
        kept = 0
        for result in results:
            if not isinstance(result, Committed | Recorded):
                break
            kept += 1
        commits = [item.commit for item in batch[:kept] if item.commit is not None]
        await self._replica.make_durable(commits)
        self._moved_heads = 0
        dropped: list[_Item] = []
        if kept < len(batch):
            dropped = batch[kept + 1 :] + self._drop_layers()
        for item, result in zip(batch[:kept], results, strict=False):
            assert isinstance(result, Committed | Recorded)
            item.done(Done(result.ts))
        if kept < len(results):
            batch[kept].done(_settled(results[kept]))
        _run_again(dropped)
        if commits:
            await self._on_durable(commits)

    async def _settle_validated(self, batch: list[_Item], reply: Appended) -> None:
        """The database gave each its own verdict and ts, and mostly tells what else was new."""

        def answer() -> None:
            for item, result in zip(batch, reply.results, strict=True):
                item.done(_settled(result))

        commits = _learned(self._replica.durable, batch, reply)
        if commits is None:
            await self._advance(answer)
        else:
            await self._publish(commits, answer)
        self._moved_heads = 0

    async def _publish(self, commits: Sequence[Commit], answer: Callable[[], None]) -> None:
        """Everything up to the durable head without a further call."""
        dropped = self._drop_layers() if commits else []
        for commit in commits:
            self._replica.add(commit)
        await self._replica.make_durable(commits)
        answer()
        _run_again(dropped)
        if commits:
            await self._on_durable(commits)

    async def _rebase(self, batch: list[_Item]) -> None:
        dropped = batch + self._drop_layers()
        await self._advance(lambda: _run_again(dropped))

    async def _advance(self, answer: Callable[[], object]) -> None:
        """Fetch what the log has and we lack, answer, publish."""
        dropped: list[_Item] = []
        commits = await catch_up(
            self._replica, self._log, lambda: dropped.extend(self._drop_layers())
        )
        if commits is None:
            self._queue.extendleft(reversed(dropped))
            await self._start_over(answer)
            return
        answer()
        _run_again(dropped)
        if commits:
            await self._on_durable(commits)

    def _drop_layers(self) -> list[_Item]:
        """Drop every layer; what was queued on them has to run again."""
        self.epoch += 1
        self._replica.drop_after(self._replica.durable.ts)
        queued = list(self._queue)
        self._queue.clear()
        return queued

    async def _start_over(self, answer: Callable[[], object]) -> None:
        """The log was reset: load it anew, answer what is settled, run everything else again."""
        self._open.clear()
        dropped = self._drop_layers()
        await self._reload()
        self._open.set()
        answer()
        _run_again(dropped)
        # Only now: nobody may see an effect whose mutation has not been answered.
        self._on_reset()

    async def _recover(self, batch: list[_Item]) -> None:
        """The connection is lost and the batch in doubt: look each outcome up before going on."""
        self._open.clear()
        queued = self._drop_layers()
        delay = 0.02
        commits: list[Commit] = []
        was_reset = False
        while True:
            try:
                added = await catch_up(self._replica, self._log, lambda: None)
                if added is None:
                    was_reset = True
                    await self._reload()
                else:
                    commits.extend(added)
                outcomes = [await self._look_up(item.request) for item in batch]
                break
            except UnavailableError:
                await asyncio.sleep(delay)
                delay = min(delay * 2, 1.0)
        self._open.set()
        for item, outcome in zip(batch, outcomes, strict=True):
            item.done(outcome)
        _run_again(queued)
        if was_reset:
            self._on_reset()
        elif commits:
            await self._on_durable(commits)

    async def _look_up(self, request: CommitRequest) -> Settled:
        recorded = await self._log.outcome(request.session, request.request)
        if recorded is None:
            return Rerun()
        return recorded

    async def follow(self) -> None:
        """Fetch what other processes committed (after a wakeup)."""
        async with self._turn:
            try:
                await self._advance(lambda: None)
            except UnavailableError:
                await self._recover([])

    @property
    def position(self) -> Position:
        """The durable position."""
        return self._replica.durable


def _learned(known: Position, batch: Sequence[_Item], reply: Appended) -> Sequence[Commit] | None:
    """Every commit after `known` up to the reply's position; None: the reply lacks some."""
    commits = list(reply.missing)
    reached = Position(commits[-1].ts, commits[-1].nonce) if commits else known
    if reached != reply.base:
        return None
    previous = reply.base.ts
    for item, result in zip(batch, reply.results, strict=True):
        if isinstance(result, Committed):
            request = item.request
            commits.append(
                Commit(
                    result.ts,
                    result.nonce,
                    previous,
                    request.changes,
                    request.session,
                    request.request,
                    request.call,
                )
            )
            previous = result.ts
    return commits


def _run_again(items: Iterable[_Item]) -> None:
    for item in items:
        item.done(Rerun())


def _settled(result: ItemResult) -> Settled:
    match result:
        case Committed() | Recorded():
            return Done(result.ts)
        case Duplicate() | Refused():
            return result
        case Conflict():
            return Rerun(result)
        case _:
            return Rerun()

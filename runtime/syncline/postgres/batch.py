"""What a batch means to the routines of migrations/, and what their answers mean to its caller.

Used by every adapter that appends through them, whatever carries the batch there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from syncline.commit.record import (
    REFUSED_IDENTITY,
    Appended,
    AppendReply,
    Closed,
    CommitRequest,
    Committed,
    Duplicate,
    HeadMoved,
    ItemResult,
    Position,
    Recorded,
    Refused,
    Reset,
    SlowDown,
    payload_bytes,
)
from syncline.postgres.item_encoding import Settled
from syncline.postgres.replies import missing_commits, verdicts
from syncline.postgres.staging import parts_of


def settle(
    batch: Sequence[CommitRequest], standing_on: Position, *, staged_above: int | None
) -> list[tuple[CommitRequest, Settled]]:
    """Each item's place in the chain, if the head is `standing_on` and every proposal is kept.

    Changes of an item with more payload bytes than `staged_above` go ahead in parts; None: never.
    """
    previous = standing_on.ts
    items: list[tuple[CommitRequest, Settled]] = []
    for request in batch:
        size = payload_bytes(request.call, request.changes)
        is_staged = staged_above is not None and size > staged_above
        parts = len(parts_of(request)) if is_staged else 0
        ts = previous if request.failed else request.ts
        items.append((request, Settled(ts, previous, size, parts)))
        previous = ts
    return items


def as_proposed(items: Sequence[tuple[CommitRequest, Settled]]) -> list[ItemResult]:
    """The results of items that were stored as their caller numbered them."""
    return [
        Recorded(settled.ts) if request.failed else Committed(settled.ts, request.nonce)
        for request, settled in items
    ]


def first_repeated(batch: Sequence[CommitRequest]) -> int | None:
    """The first item that has the exactly-once key of an earlier one of its batch.

    An exclusive batch is sent without it and what follows: the routine compares with the tables.
    """
    seen: set[tuple[str, int]] = set()
    for at, request in enumerate(batch):
        key = request.session, request.request
        if key in seen:
            return at
        seen.add(key)
    return None


@dataclass(frozen=True, slots=True)
class RoutineAnswer:
    """The answer of `syncline.append`: its columns, see migrations/0002_append.sql."""

    status: int
    kept: int
    position: Position
    base: Position
    results: bytes | None
    missing: bytes | None


def append_reply(
    batch: Sequence[CommitRequest],
    items: Sequence[tuple[CommitRequest, Settled]],
    repeated: int | None,
    answer: RoutineAnswer,
) -> AppendReply:
    """The routine's answer to `items`, which end before `repeated` (`first_repeated(batch)`)."""
    if answer.status == 0:
        kept = answer.kept
        results = as_proposed(items[:kept]) + verdicts(answer.results, batch[kept:])
        if repeated is not None and kept == repeated:
            results.append(_repeated(batch, repeated, results))
        missing = missing_commits(answer.missing)
        return Appended(tuple(results), answer.position, missing, answer.base)
    if answer.status == 1:
        return HeadMoved(answer.position, missing_commits(answer.missing))
    if answer.status == 2:
        return Reset()
    return SlowDown() if answer.status == 3 else Closed(answer.position.ts)


def _repeated(
    batch: Sequence[CommitRequest], at: int, results: Sequence[ItemResult]
) -> ItemResult:  # fmt: skip
    again = batch[at]
    first = next(
        earlier
        for earlier, request in enumerate(batch)
        if (request.session, request.request) == (again.session, again.request)
    )
    result = results[first]
    assert isinstance(result, Committed | Recorded)
    request = batch[first]
    if request.identity != again.identity:
        return Refused(REFUSED_IDENTITY)
    return Duplicate(result.ts, request.identity, request.outcome, failed=request.failed)

"""The documents of the log as of any commit that it still has (protocols.md rule 8).

The log's snapshot is of one position, the folded one. What changed between there and the wanted
commit is put in its place: by the last change up to the commit if that follows the snapshot, and
otherwise by what stood before the first change after it. Those documents are held in memory.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import cast

from syncline.commit.record import Commit, DocumentChange, Position, Reset, StoredDocument
from syncline.errors import UnavailableError
from syncline.limits import TAIL_REPLY_BYTES_MAX
from syncline.ports import Log

StoredBatches = AsyncGenerator[Sequence[StoredDocument], None]
"""Documents in no particular order."""


async def documents_at(log: Log, at: Position) -> StoredBatches:
    """Every document that the commit `at` leaves, with its ts and keys.

    Raises:
        UnavailableError: "OutOfRetention": the log does not have that commit.
    """
    loaded = await log.load()
    async with aclosing(cast("StoredBatches", loaded.documents)) as batches:
        changed = await _changed_between(log, loaded.position, at)
        async for batch in batches:
            yield [each for each in batch if each.document_id not in changed]
    yield [document for document in changed.values() if document is not None]


async def commits_between(
    log: Log, after: Position, up_to: int | None
) -> AsyncGenerator[Sequence[Commit], None]:
    """Commits after a position, up to a ts or the durable head, in pages of the log.

    Raises:
        UnavailableError: "OutOfRetention": the log does not have the commit `after`.
    """
    position = after
    while up_to is None or position.ts < up_to:
        reply = await log.tail(position, bytes_max=TAIL_REPLY_BYTES_MAX)
        if isinstance(reply, Reset):
            raise out_of_retention(position)
        commits = [each for each in reply.commits if up_to is None or each.ts <= up_to]
        if commits:
            yield commits
            position = Position(commits[-1].ts, commits[-1].nonce)
        if len(commits) < len(reply.commits) or position.ts >= reply.head.ts:
            return


def out_of_retention(position: Position) -> UnavailableError:
    """The log does not have a commit."""
    return UnavailableError(
        "OutOfRetention",
        f"The log does not have the commit at {position.ts}: it was pruned, or the log was "
        "restored to an older state.",
    )


async def _changed_between(
    log: Log, folded: Position, at: Position
) -> Mapping[str, StoredDocument | None]:
    """Documents that are other ones at `at` than in the snapshot; None: there is none."""
    changed: dict[str, StoredDocument | None] = {}
    if folded.ts > at.ts:
        async for commits in commits_between(log, at, folded.ts):
            for change in (change for commit in commits for change in commit.changes):
                changed.setdefault(change.document_id, _before(change))
        return changed
    last = folded
    async for commits in commits_between(log, folded, at.ts):
        for commit in commits:
            for change in commit.changes:
                changed[change.document_id] = _after(change, commit.ts)
        last = Position(commits[-1].ts, commits[-1].nonce)
    if last != at:
        raise out_of_retention(at)
    return changed


def _before(change: DocumentChange) -> StoredDocument | None:
    if change.before is None:
        return None
    return StoredDocument(
        change.document_id, change.table, change.before_ts, change.before, change.keys_before
    )


def _after(change: DocumentChange, ts: int) -> StoredDocument | None:
    if change.after is None:
        return None
    return StoredDocument(change.document_id, change.table, ts, change.after, change.keys_after)

"""Adapter of the port SessionStore on DynamoDB (protocols.md rule 19).

One item per connection is read strongly and changed on the condition that its version is the one
before. States are compressed. One that exceeds an item lies in parts of its own, written before the
item that names them; they are named by their content, never changed, and go when they expire, so
whoever read an older item still finds its parts.
"""

import asyncio
import secrets
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Final, cast

from pynamodb.exceptions import DoesNotExist, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from syncline.aws.dynamo_batches import side_by_side
from syncline.aws.dynamo_retries import patiently
from syncline.aws.dynamo_tables import CONNECTION_SECONDS, ITEM_BYTES_MAX, for_table, pages
from syncline.aws.session_table import SessionItem, part_name
from syncline.errors import CallerError, CorruptionError
from syncline.ports import SessionRecord

STATE_BYTES_MAX: Final = 4 * 2**20
"""Bytes of a compressed state: to write them takes what a new table can write in a second
(aws-facts.md 4.3)."""

_COMPRESSION: Final = 1
"""zlib's fastest: DynamoDB bills each written KB, and states are mostly text."""

_AT_ONCE: Final = 0
"""Due, though the session itself wants no tick."""

_CONDITION_FAILED: Final = "ConditionalCheckFailedException"


@dataclass(frozen=True, slots=True)
class OpenSession:
    """What a pass over all sessions looks at."""

    connection: str
    silence_ms: int
    """So long the client bears without a frame; 0: the session is over."""
    is_due: bool
    """It wants a Tick."""


class DynamoSessions:
    """The sessions of one table. Calls raise what `patiently` raises."""

    def __init__(self, table: str, *, host: str | None = None, region: str | None = None) -> None:
        self._model = for_table(SessionItem, table, host, region)
        self._written: tuple[str, str] | None = None

    async def load(self, connection: str) -> SessionRecord | None:
        """The newest record, read strongly.

        Raises:
            CorruptionError: parts of its state are missing.
        """
        item = await self._get(connection)
        if item is None:
            return None
        packed = await self._load_parts(item) if item.parts else item.state
        return SessionRecord(
            version=int(item.version),
            sequence=int(item.sequence),
            sending=bool(item.sending),
            interest=int(item.interest),
            tick_ms=int(item.due) if item.due else None,
            silence_ms=int(item.silence or 0),
            state=zlib.decompress(packed),
        )

    async def put(self, connection: str, record: SessionRecord) -> bool:
        """Store a record if the stored version is the one before it.

        Raises:
            CallerError: SessionTooLarge.
        """
        packed = zlib.compress(record.state, _COMPRESSION)
        if len(packed) > STATE_BYTES_MAX:
            raise CallerError(
                "SessionTooLarge",
                f"The session of a connection takes {len(packed):,} bytes (limit: "
                f"{STATE_BYTES_MAX:,}): subscribe to fewer queries, with smaller arguments.",
            )
        writer = secrets.token_hex(8)
        parts = await self._store_parts(connection, packed)
        actions = _placed(packed, parts) + _described(record, writer)
        if await patiently(partial(self._update, connection, actions, record.version)):
            return True
        # The condition also fails if an attempt that seemed lost was not.
        stored = await self._get(connection)
        return stored is not None and stored.writer == writer

    async def open_sessions(
        self, segment: int, segments: int, *, now_ms: int
    ) -> AsyncIterator[Sequence[OpenSession]]:
        """Sessions that are not over, or want a tick by now, a page of the scan at a time.

        `segment` counts from 0; all `segments` together see the whole table. It may miss what was
        stored a moment ago: that has just been looked at.
        """
        wanted = ((SessionItem.due <= now_ms) | (SessionItem.silence > 0)) & (
            SessionItem.expires > now_ms // 1000
        )
        results = self._model.scan(
            wanted,
            segment=segment,
            total_segments=segments,
            attributes_to_get=["c", "due", "silence", "expires"],
        )
        async for page in pages(self._model, results):
            if page:
                yield [
                    OpenSession(
                        item.connection,
                        int(item.silence or 0),
                        is_due=_is_due(item, now_ms),
                    )
                    for item in page
                ]

    async def is_empty(self) -> bool:
        """Whether no connection is open, as far as one small read tells."""
        results = self._model.scan(SessionItem.silence > 0, attributes_to_get=["c", "expires"])
        async for page in pages(self._model, results):
            if page:
                return False
        return True

    async def _get(self, key: str) -> SessionItem | None:
        def get() -> SessionItem | None:
            try:
                return self._model.get(key, consistent_read=True)
            except DoesNotExist:
                return None

        return await patiently(get)

    def _update(self, connection: str, actions: list[Action], version: int) -> bool:
        try:
            self._model(connection).update(actions=actions, condition=_follows(version))
        except UpdateError as error:
            if error.cause_response_code == _CONDITION_FAILED:
                return False
            raise
        return True

    # Parts

    async def _store_parts(self, connection: str, packed: bytes) -> int:
        """How many parts there are now; 0: the state fits the item."""
        if len(packed) <= ITEM_BYTES_MAX:
            return 0
        digest, expires = _digest(packed), _expiry()
        parts = [
            self._model(
                part_name(connection, digest, number),
                state=packed[start : start + ITEM_BYTES_MAX],
                expires=expires,
            )
            for number, start in enumerate(range(0, len(packed), ITEM_BYTES_MAX))
        ]
        # The same state is stored twice: with `sending`, and without it after the post.
        if self._written != (connection, digest):
            await side_by_side(partial(patiently, part.save) for part in parts)
            self._written = (connection, digest)
        return len(parts)

    async def _load_parts(self, item: SessionItem) -> bytes:
        names = [
            part_name(item.connection, str(item.digest), number)
            for number in range(int(item.parts))
        ]
        parts = await asyncio.gather(*map(self._get, names))
        packed = b"".join(part.state for part in parts if part is not None)
        if _digest(packed) != item.digest:
            raise CorruptionError(
                "SessionPartsMissing",
                f"Parts of the session of connection {item.connection} are missing: was "
                "the sessions table restored or edited? Its client has to connect again.",
            )
        return packed


def _placed(packed: bytes, parts: int) -> list[Action]:
    if parts:
        return [
            SessionItem.state.remove(),
            SessionItem.parts.set(parts),
            SessionItem.digest.set(_digest(packed)),
        ]
    return [SessionItem.state.set(packed), SessionItem.parts.set(0), SessionItem.digest.remove()]


def _described(record: SessionRecord, writer: str) -> list[Action]:
    actions: list[Action] = [
        SessionItem.version.set(record.version),
        SessionItem.sequence.set(record.sequence),
        SessionItem.sending.set(record.sending),
        SessionItem.interest.set(record.interest),
        SessionItem.writer.set(writer),
        SessionItem.silence.set(record.silence_ms),
        _next_tick(record),
    ]
    if record.version == 1:
        actions.append(SessionItem.expires.set(_expiry()))
    return actions


def _next_tick(record: SessionRecord) -> Action:
    if record.tick_ms is not None:
        return SessionItem.due.set(record.tick_ms)
    # Whoever sends the last frames may die over it: then a tick finds the mark.
    return SessionItem.due.set(_AT_ONCE) if record.sending else SessionItem.due.remove()


def _follows(version: int) -> Condition:
    if version == 1:
        return SessionItem.version.does_not_exist()
    return SessionItem.version == version - 1


def _digest(packed: bytes) -> str:
    return blake2b(packed, digest_size=16).hexdigest()


def _expiry() -> int:
    return int(time.time()) + CONNECTION_SECONDS


def _is_due(item: SessionItem, now_ms: int) -> bool:
    due = cast("float | None", item.due)
    return due is not None and due <= now_ms

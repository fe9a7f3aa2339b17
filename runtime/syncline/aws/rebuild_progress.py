"""How far a new generation of the view has come: one item in the control table (protocols.md 14).

One process builds at a time: each begins an attempt under a random name, and whatever an earlier
one still wants to write is refused. The item stays when the generation is done, so that no
generation's number is used twice.
"""

import secrets
from dataclasses import dataclass
from typing import Final, Literal, cast

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import DoesNotExist, PutError, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from syncline.aws.control import NEW, Control, ControlState
from syncline.aws.dynamo_retries import patiently
from syncline.aws.dynamo_tables import for_table
from syncline.commit.record import Position
from syncline.errors import UnavailableError

ITEM_NAME: Final = "rebuild"

Phase = Literal["filling", "following", "ended"]
"""Documents are copied from the log's snapshot; commits after it are applied; nothing is done."""

_CONDITION_FAILED: Final = "ConditionalCheckFailedException"


class RebuildItem(Model):
    """The item; a subclass per table name adds `Meta`."""

    name = UnicodeAttribute(hash_key=True)
    generation = NumberAttribute()
    attempt = UnicodeAttribute()
    phase = UnicodeAttribute()
    start_ts = NumberAttribute(null=True)
    start_nonce = NumberAttribute(null=True)
    applied_ts = NumberAttribute(default=0)
    applied_nonce = NumberAttribute(default=0)
    documents = NumberAttribute(default=0)


@dataclass(frozen=True, slots=True)
class Building:
    """A generation that is being built."""

    generation: int
    phase: Phase
    start: Position | None
    """Where the commits to be applied begin; None: no snapshot has been opened yet."""
    documents: int
    """How many documents of a snapshot are in it."""


class RebuildProgress:
    """One attempt at building a generation; for the view in it, a Watermark.

    Calls raise what `patiently` raises, and UnavailableError("RebuildTakenOver") once another
    attempt has begun.
    """

    def __init__(
        self, table: str, control: Control, *, host: str | None = None, region: str | None = None
    ) -> None:
        self._model = for_table(RebuildItem, table, host, region)
        self._control = control
        self._attempt = ""

    async def begin(self, *, resume: bool) -> Building:
        """Go on with the generation that was left unfinished if `resume`, or begin a new one."""
        item = await patiently(self._load)
        live = (await self._control.read()).generation
        self._attempt = secrets.token_hex(8)
        if item is None:
            return await self._put(live + 1, RebuildItem.name.does_not_exist())
        unchanged = RebuildItem.attempt == item.attempt
        if not resume or item.phase == "ended" or item.generation <= live:
            return await self._put(max(live, int(item.generation)) + 1, unchanged)
        await self._update([RebuildItem.attempt.set(self._attempt)], unchanged)
        ts = cast("float | None", item.start_ts)
        start = None if ts is None else Position(int(ts), int(item.start_nonce))
        return Building(int(item.generation), cast("Phase", item.phase), start, int(item.documents))

    async def opened(self, start: Position) -> None:
        """The snapshot of `start` is being copied; commits after it will have to be applied."""
        fields = RebuildItem
        await self._update([fields.start_ts.set(start.ts), fields.start_nonce.set(start.nonce)])

    async def copied(self, documents: int) -> None:
        """So many documents are in the new generation."""
        await self._update([RebuildItem.documents.set(documents)])

    async def filled(self, applied: Position) -> None:
        """The new generation is complete up to `applied`, or will be with the commits after it."""
        fields = RebuildItem
        await self._update([
            fields.phase.set("following"),
            fields.applied_ts.set(applied.ts),
            fields.applied_nonce.set(applied.nonce),
        ])  # fmt: skip

    async def end(self) -> None:
        """Nothing more is written through this item."""
        await self._update([RebuildItem.phase.set("ended")])

    # Watermark

    async def read(self) -> ControlState:
        """The new generation and how far it is complete, while this attempt may write to it."""
        item = await patiently(self._load)
        # Read second: while it is not the live one, the item's watermark is the generation's.
        live = (await self._control.read()).generation
        if item is None or item.attempt != self._attempt or live >= item.generation:
            raise _taken_over()
        applied = Position(int(item.applied_ts), int(item.applied_nonce))
        return ControlState(int(item.generation), applied, NEW.matched, 0, is_dirty=False)

    async def advance_applied(self, generation: int, begin: Position, to: Position) -> bool:
        """Move the new generation's watermark."""
        fields = RebuildItem
        await self._update(
            [fields.applied_ts.set(to.ts), fields.applied_nonce.set(to.nonce)],
            (fields.generation == generation)
            & (fields.attempt == self._attempt)
            & (fields.applied_ts == begin.ts)
            & (fields.applied_nonce == begin.nonce),
        )
        return True

    def _load(self) -> RebuildItem | None:
        try:
            return self._model.get(ITEM_NAME, consistent_read=True)
        except DoesNotExist:
            return None

    async def _put(self, generation: int, condition: Condition) -> Building:
        item = self._model(ITEM_NAME, generation=generation, attempt=self._attempt, phase="filling")

        def put() -> None:
            try:
                item.save(condition)
            except PutError as error:
                if error.cause_response_code != _CONDITION_FAILED:
                    raise
                stored = self._load()
                # An attempt to put that seemed lost was not.
                if stored is None or stored.attempt != self._attempt:
                    raise _taken_over() from error

        await patiently(put)
        return Building(generation, "filling", None, 0)

    async def _update(self, actions: list[Action], condition: Condition | None = None) -> None:
        is_mine = RebuildItem.attempt == self._attempt

        def update() -> None:
            try:
                self._model(ITEM_NAME).update(
                    actions=actions, condition=is_mine if condition is None else condition
                )
            except UpdateError as error:
                if error.cause_response_code == _CONDITION_FAILED:
                    raise _taken_over() from error
                raise

        await patiently(update)


def _taken_over() -> UnavailableError:
    return UnavailableError(
        "RebuildTakenOver",
        "Another rebuild of the view has begun since, or has ended; this one stops.",
    )

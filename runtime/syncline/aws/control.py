"""The control item in DynamoDB: where the view stands, and whether anything is left to do.

One item per deployment holds the view's generation, its watermark W, the matcher's cursor M and the
marker of protocols.md rule 16 (n and dirty). One strongly consistent read tells all of it; every
change is conditional on what its caller knew. A deployment without the item has done nothing yet.
"""

from dataclasses import dataclass
from typing import Final

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import DoesNotExist, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from syncline.aws.dynamo_retries import patiently
from syncline.aws.dynamo_tables import for_table
from syncline.commit.record import Position

ITEM_NAME: Final = "view"

_CONDITION_FAILED: Final = "ConditionalCheckFailedException"


class ControlItem(Model):
    """The item; a subclass per table name adds `Meta`."""

    name = UnicodeAttribute(hash_key=True)
    generation = NumberAttribute(default=1)
    applied_ts = NumberAttribute(default=0)
    applied_nonce = NumberAttribute(default=0)
    matched_ts = NumberAttribute(default=0)
    matched_nonce = NumberAttribute(default=0)
    marker = NumberAttribute(default=0)
    dirty = BooleanAttribute(default=False)


@dataclass(frozen=True, slots=True)
class ControlState:
    """The item as one strong read shows it."""

    generation: int
    """Of the view; 1 is the first."""
    applied: Position
    """W: every commit up to it is in the view."""
    matched: Position
    """M: every commit up to it has been matched with the interests."""
    marker: int
    """n of rule 16; appends of processes that marked carry it."""
    is_dirty: bool
    """Something may be left to do. False proves that the durable head is W."""


NEW: Final = ControlState(1, Position(0, 0), Position(0, 0), 0, is_dirty=False)


class Control:
    """The control item of one table. Calls raise what `patiently` raises."""

    def __init__(self, table: str, *, host: str | None = None, region: str | None = None) -> None:
        self._model = for_table(ControlItem, table, host, region)

    async def read(self) -> ControlState:
        """The newest state, read strongly."""
        return await patiently(self._read)

    def _read(self) -> ControlState:
        try:
            item = self._model.get(ITEM_NAME, consistent_read=True)
        except DoesNotExist:
            return NEW
        return ControlState(
            generation=int(item.generation),
            applied=Position(int(item.applied_ts), int(item.applied_nonce)),
            matched=Position(int(item.matched_ts), int(item.matched_nonce)),
            marker=int(item.marker),
            is_dirty=item.dirty,
        )

    async def advance_applied(self, generation: int, begin: Position, to: Position) -> bool:
        """Move W from `begin`; False: it, or the generation, is another one by now (rule 13)."""
        fields = ControlItem
        return await self._update(
            [fields.applied_ts.set(to.ts), fields.applied_nonce.set(to.nonce)],
            _is(fields.generation, generation, NEW.generation)
            & _is(fields.applied_ts, begin.ts, 0)
            & _is(fields.applied_nonce, begin.nonce, 0),
        )

    async def advance_matched(self, to: Position) -> None:
        """Move M forward; a position that lies behind the stored one changes nothing."""
        fields = ControlItem
        await self._update(
            [fields.matched_ts.set(to.ts), fields.matched_nonce.set(to.nonce)],
            fields.matched_ts.does_not_exist() | (fields.matched_ts < to.ts),
        )

    async def mark(self, above: int) -> int:
        """Make the marker dirty with an n greater than `above`; returns n, for every append."""
        while True:
            state = await self.read()
            if state.is_dirty and state.marker > above:
                return state.marker
            marker = max(state.marker, above) + 1
            fields = ControlItem
            # Whoever marks moves n, so that it alone tells whether somebody else did.
            unchanged = _is(fields.marker, state.marker, 0)
            if await self._update([fields.marker.set(marker), fields.dirty.set(True)], unchanged):
                return marker
            # Somebody else has marked meanwhile: their n does as well.

    async def settled(self) -> Position | None:
        """W, if the marker is clean: then it is the durable head."""
        state = await self.read()
        return None if state.is_dirty else state.applied

    async def dirty(self) -> int | None:
        """The mark under which something may be left to do; None: the marker is clean."""
        state = await self.read()
        return state.marker if state.is_dirty else None

    async def clear(self, mark: int, at: Position) -> bool:
        """Make the marker clean; False: n, W or M is not, or no longer, what the caller thinks."""
        fields = ControlItem
        return await self._update(
            [fields.dirty.set(False)],
            (fields.marker == mark)
            & _is(fields.applied_ts, at.ts, 0)
            & _is(fields.applied_nonce, at.nonce, 0)
            & _is(fields.matched_ts, at.ts, 0)
            & _is(fields.matched_nonce, at.nonce, 0),
        )

    async def switch(self, begin: int, to: int, applied: Position) -> bool:
        """Make generation `to`, complete up to `applied`, the view (rule 14).

        The marker is dirty then: there may be commits after `applied`.
        False: `begin` is no longer the generation.
        """
        fields = ControlItem
        return await self._update(
            [
                fields.generation.set(to),
                fields.applied_ts.set(applied.ts),
                fields.applied_nonce.set(applied.nonce),
                fields.dirty.set(True),
            ],
            _is(fields.generation, begin, NEW.generation),
        )

    async def _update(self, actions: list[Action], condition: Condition) -> bool:
        def update() -> bool:
            try:
                self._model(ITEM_NAME).update(actions=actions, condition=condition)
            except UpdateError as error:
                if error.cause_response_code == _CONDITION_FAILED:
                    return False
                raise
            return True

        return await patiently(update)


def _is(attribute: NumberAttribute, value: int, unset: int) -> Condition:
    """An attribute has a value; one that was never stored counts as `unset`."""
    stored = attribute == value
    return (stored | attribute.does_not_exist()) if value == unset else stored


class ControlCursor:
    """M as the port MatchCursor."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def load(self) -> Position:
        """The stored position, read strongly."""
        return (await self._control.read()).matched

    async def advance(self, position: Position) -> None:
        """Move forward; a position that lies behind the stored one changes nothing."""
        await self._control.advance_matched(position)

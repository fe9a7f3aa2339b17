"""What AWS does not promise, made to happen by a seed: order, single delivery, `$disconnect`.

The sessions sort what arrives slightly out of order and drop what is too late (protocols.md rule
20), so delays stay short: a swap is what is wanted, not a message from the past.
"""

from random import Random
from typing import Final

SWAP_SECONDS: Final = (0.001, 0.030)
"""Shortest and longest delay of a message that its followers may overtake."""


class Disorder:
    """Draws what goes wrong, and counts what did. For use on one event loop.

    The shares, 0 to 1, are those of client messages delayed, of queue deliveries given out twice
    and of `$disconnect` events lost.
    """

    def __init__(
        self,
        seed: int,
        *,
        swaps: float = 0.2,
        duplicates: float = 0.1,
        lost_disconnects: float = 0.2,
    ) -> None:
        self.seed = seed
        self.reordered = 0
        """Client messages sent on after a later one of the same socket."""
        self.duplicated = 0
        """Queue deliveries that were given out twice."""
        self.disconnects_lost = 0
        self._swaps = swaps
        self._duplicates = duplicates
        self._lost_disconnects = lost_disconnects
        # Sources of their own, so that one kind of trouble does not depend on how often others
        # are asked for.
        self._order = Random(f"{seed} order")  # noqa: S311 - reproducible trouble is the purpose
        self._copies = Random(f"{seed} copies")  # noqa: S311 - reproducible trouble is the purpose
        self._losses = Random(f"{seed} losses")  # noqa: S311 - reproducible trouble is the purpose

    def swap_delay(self) -> float:
        """Seconds by which to hold back the next message of a client; mostly 0."""
        if self._order.random() >= self._swaps:
            return 0.0
        return self._order.uniform(*SWAP_SECONDS)

    def duplicate(self) -> bool:
        """Whether the queue gives out this message a second time, as after a lost deletion."""
        is_doubled = self._copies.random() < self._duplicates
        self.duplicated += is_doubled
        return is_doubled

    def lose_disconnect(self) -> bool:
        """Whether this `$disconnect` never arrives."""
        is_lost = self._losses.random() < self._lost_disconnects
        self.disconnects_lost += is_lost
        return is_lost

    def count_reordered(self) -> None:
        """A message was sent on after a later one of the same socket."""
        self.reordered += 1

"""Did every acknowledged write take effect, and none twice?

Each client makes writes that it numbers 1, 2, 3 and so on; every one that takes effect leaves one
row (client, number). What was acknowledged must be there: that is durability. The writes of a
client whose requests carry a key that it repeats when it asks again, or that never asks again, must
not be there twice: that is exactly-once. Writes without an acknowledgement may be there or not.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Write = tuple[str, int]
"""(client, number)"""


@dataclass(slots=True)
class ClientHistory:
    """What one client did and was told.

    `repeats_anew`: it asks again, under a new key, when the connection breaks before the answer;
    then the first request may have taken effect as well, and a second row is no fault.
    """

    client: str
    repeats_anew: bool = False
    called: int = 0
    """Writes 1 to `called` were begun."""
    acknowledged: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    """Ended without an acknowledgement: may have taken effect or not."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong, and how often a client that may repeat itself did."""

    lost: tuple[Write, ...]
    """Acknowledged, but not there."""
    doubled: tuple[Write, ...]
    """There more than once, though the client's requests take effect once."""
    made_up: tuple[Write, ...]
    """There, but nobody called for them."""
    repeated: tuple[Write, ...]
    """There more than once, by clients that repeat anew: no fault."""

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.made_up)


def judge(histories: Sequence[ClientHistory], rows: Iterable[Write]) -> Findings:
    """Compare what the clients were told with all rows after everything has come to rest."""
    by_client = {history.client: history for history in histories}
    assert len(by_client) == len(histories), "two clients have the same name"
    found = Counter(rows)
    lost = [
        (history.client, number)
        for history in histories
        for number in history.acknowledged
        if not found[history.client, number]
    ]
    doubled: list[Write] = []
    made_up: list[Write] = []
    repeated: list[Write] = []
    for (client, number), count in found.items():
        history = by_client.get(client)
        if history is None or not 1 <= number <= history.called:
            made_up.append((client, number))
        if count > 1:
            may_repeat = history is not None and history.repeats_anew
            (repeated if may_repeat else doubled).append((client, number))
    return Findings(*(tuple(sorted(writes)) for writes in (lost, doubled, made_up, repeated)))

"""The phases of a session: which message is taken in which, and the moves between them.

The diagram in docs/sessions.md is drawn from `MOVES` (scripts/draw_session_phases.py), and a
session asserts that every move it makes is one of them.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple


class Phase(Enum):
    """Where a session stands with the messages of its client."""

    AWAITING_CONNECT = "awaiting connect"
    """Nothing counts before Connect (protocols.md rule 20)."""
    CONNECTED = "connected"
    """Messages are taken as they arrive."""
    VERIFYING = "verifying"
    """A token is being verified: later messages wait, since they are meant for its identity."""
    REORDERING = "reordering"
    """An Authenticate arrived ahead of an earlier one: everything else waits for that."""
    CLOSED = "closed"
    """Nothing is taken, nothing is sent."""


class Handling(Enum):
    """What happens with a message."""

    TAKE = "taken"
    HOLD = "held back"
    IGNORE = "ignored"
    REFUSE = "FatalError"


_TAKE, _HOLD, _IGNORE, _REFUSE = Handling.TAKE, Handling.HOLD, Handling.IGNORE, Handling.REFUSE

HANDLING: Final[Mapping[Phase, Mapping[str, Handling]]] = {
    Phase.AWAITING_CONNECT: {
        "Connect": _TAKE,
        "Authenticate": _HOLD,
        "ModifyQuerySet": _HOLD,
        "Mutation": _HOLD,
        "Action": _HOLD,
        "Event": _IGNORE,
    },
    Phase.CONNECTED: {
        "Connect": _REFUSE,
        "Authenticate": _TAKE,
        "ModifyQuerySet": _TAKE,
        "Mutation": _TAKE,
        "Action": _TAKE,
        "Event": _IGNORE,
    },
    Phase.VERIFYING: {
        "Connect": _REFUSE,
        "Authenticate": _HOLD,
        "ModifyQuerySet": _HOLD,
        "Mutation": _HOLD,
        "Action": _HOLD,
        "Event": _IGNORE,
    },
    Phase.REORDERING: {
        "Connect": _REFUSE,
        "Authenticate": _TAKE,
        "ModifyQuerySet": _HOLD,
        "Mutation": _HOLD,
        "Action": _HOLD,
        "Event": _IGNORE,
    },
    Phase.CLOSED: {
        "Connect": _IGNORE,
        "Authenticate": _IGNORE,
        "ModifyQuerySet": _IGNORE,
        "Mutation": _IGNORE,
        "Action": _IGNORE,
        "Event": _IGNORE,
    },
}


class Move(NamedTuple):
    """A move from one phase to another, and what causes it."""

    source: Phase
    target: Phase
    cause: str


MOVES: Final = (
    Move(Phase.AWAITING_CONNECT, Phase.CONNECTED, "Connect"),
    Move(Phase.CONNECTED, Phase.VERIFYING, "Authenticate with a token"),
    Move(Phase.CONNECTED, Phase.REORDERING, "Authenticate ahead of its turn"),
    Move(Phase.REORDERING, Phase.VERIFYING, "the missing Authenticate, with a token"),
    Move(Phase.REORDERING, Phase.CONNECTED, "the missing Authenticate, without a token"),
    Move(Phase.VERIFYING, Phase.CONNECTED, "token verified"),
    Move(Phase.AWAITING_CONNECT, Phase.CLOSED, "violation, idle, overfull"),
    Move(Phase.CONNECTED, Phase.CLOSED, "violation, expired, idle, overfull, lost"),
    Move(Phase.VERIFYING, Phase.CLOSED, "token refused, and as connected"),
    Move(Phase.REORDERING, Phase.CLOSED, "missing for too long, and as connected"),
)

_LEGAL: Final = frozenset((move.source, move.target) for move in MOVES)


def is_legal(source: Phase, target: Phase) -> bool:
    """Whether a session may go from one phase to the other; staying is no move."""
    return (source, target) in _LEGAL

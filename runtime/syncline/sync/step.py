"""One step of a session: what just happened, on its state, and the effects that it has.

These are the moves that receiving, answering and updating share: sending, closing, changing the
phase or the identity.
"""

from collections.abc import Callable
from typing import Final

from syncline.sync import frames
from syncline.sync.effects import Close, Effect, Send
from syncline.sync.phases import Phase, is_legal
from syncline.sync.results import CallResult
from syncline.sync.state import Identity, SessionLimits, SessionState

TRY_AGAIN: Final = 1013
INTERNAL_ERROR: Final = 1011
GOING_AWAY: Final = 1001
"""Close codes (RFC 6455 section 7.4.1 and its registry); clients reconnect after each of them."""

_REASON_BYTES_MAX: Final = 123


class Step:
    """A state that is being moved, and the effects so far, in order."""

    __slots__ = ("effects", "limits", "state")

    def __init__(self, state: SessionState, limits: SessionLimits) -> None:
        self.state = state
        self.limits = limits
        self.effects: list[Effect] = []

    def send(self, send: Send) -> None:
        """Send frames; any frame puts the next Ping off."""
        self.state.last_sent_ms = self.state.now_ms
        self.effects.append(send)

    def enter(self, phase: Phase) -> None:
        """Go to another phase, by one of the moves that there are."""
        assert is_legal(self.state.phase, phase), f"{self.state.phase} -> {phase}"
        self.state.phase = phase

    def close(self, code: int | None, reason: str) -> None:
        """End the session. The reason's first word decides how long npm waits (1.7)."""
        assert len(reason.encode()) <= _REASON_BYTES_MAX, "the reason fits no close frame"
        self.enter(Phase.CLOSED)
        self.effects.append(Close(code, reason))

    def fail(self, message: str) -> None:
        """The client broke the protocol."""
        self.send(Send((frames.fatal_error(message),)))
        self.close(None, "")

    def want_transition(self) -> None:
        """The client waits for a Transition from now on."""
        self.state.update_wanted = True
        self.state.owes_transition = True

    def respond(
        self, encode: Callable[[int, CallResult], bytes], request_id: int, result: CallResult
    ) -> None:
        """Answer a request; the Transition that follows is at or past the result's ts."""
        state = self.state
        frame = encode(request_id, result)
        bytes_max = self.limits.frame_bytes
        if bytes_max is not None and len(frame) > bytes_max:
            frame = encode(request_id, _too_large(result, len(frame), bytes_max))
        self.send(Send((frame,)))
        state.answered_ts = max(state.answered_ts, result.ts)
        self.want_transition()

    def start_mutation(self) -> None:
        """Start the next mutation, if none runs."""
        mutation = self.state.requests.next_mutation()
        if mutation is not None:
            self.effects.append(mutation)

    def change_identity(self, identity: Identity) -> None:
        """Take another identity: every query runs again."""
        state = self.state
        state.identity = identity
        state.identity_version += 1
        state.query_set.invalidate(None)
        self.want_transition()

    def refuse_expired(self) -> bool:
        """Close the connection if the identity in use has expired (1.8); True if it had."""
        state = self.state
        expires_ms = state.identity.expires_ms
        if expires_ms is None or state.now_ms < expires_ms:
            return False
        self.refuse_identity("Convex token identity expired", update_attempted=False)
        return True

    def refuse_identity(self, message: str, *, update_attempted: bool) -> None:
        """Tell the client to come back with another token."""
        frame = frames.auth_error(
            message, self.state.identity_version, update_attempted=update_attempted
        )
        self.send(Send((frame,)))
        self.close(None, "")

    def close_behind(self) -> None:
        """The client has seen a newer ts than there is here: it must not be shown older data."""
        self.close(TRY_AGAIN, "ServerBehindClient")


def _too_large(result: CallResult, size: int, bytes_max: int) -> CallResult:
    """What takes the place of an answer that fits no message; it can't undo what happened."""
    what = "Its error" if result.value is None else "It ran and took effect, but its result"
    return CallResult(
        result.ts,
        None,
        f"{what} takes {size} bytes with the log lines, more than the {bytes_max} that one message "
        "may have: return less.",
    )

"""Every error class, by what the caller should do about it.

SynclineError                  code, message
├── DeveloperError             mend the function, the schema or the bundle
├── CallerError                mend the request
│   ├── ApplicationError       raised by user functions; its data reaches the client
│   └── CallFailedError        a function that was called has failed
├── ConflictError              run again: the data changed meanwhile
├── UnavailableError           wait and try again
├── ProtocolError              the peer broke the sync protocol: close the connection
└── CorruptionError            stop and look: stored data contradicts itself
"""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncline.values.value import Value


class SynclineError(Exception):
    """Root of all our errors. `code` is a stable CamelCase tag for tests and clients."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type["SynclineError"], tuple[str, str]]:
        return type(self), (self.code, self.message)


class DeveloperError(SynclineError):
    """The function, the schema or the bundle has to be mended."""


class CallerError(SynclineError):
    """The request has to be mended."""


class ConflictError(SynclineError):
    """The data changed while the call ran: run it again."""


class UnavailableError(SynclineError):
    """Something is not reachable or not ready: wait and try again."""


class ProtocolError(SynclineError):
    """The peer broke the sync protocol (convex-protocol 1.2, 1.4); the connection is closed."""


class CorruptionError(SynclineError):
    """Stored data contradicts itself: stop and look."""


class ApplicationError(CallerError):
    """Raised by user functions; `data` (any value) reaches the client as a ConvexError's data.

    The message is the data itself if it is a string, otherwise its JSON (convex-protocol 6.1).
    """

    def __init__(self, data: "Value") -> None:
        text = data if isinstance(data, str) else _json_text(data)
        super().__init__("ApplicationError", text)
        self.data = data

    def __reduce__(self) -> tuple[type["ApplicationError"], tuple["Value"]]:  # type: ignore[override] # other arguments
        return type(self), (self.data,)


class CallFailedError(CallerError):
    """A function that was called has failed; the message is its own, as its caller may know it.

    One that raised an ApplicationError fails with that one instead.
    """

    def __init__(self, message: str) -> None:
        super().__init__("CallFailed", message)

    def __reduce__(self) -> tuple[type["CallFailedError"], tuple[str]]:  # type: ignore[override] # other arguments
        return type(self), (self.message,)


def _json_text(data: "Value") -> str:
    """Compact JSON as JavaScript's JSON.stringify; what JSON lacks is shown as Python shows it."""
    try:
        return json.dumps(data, default=repr, separators=(",", ":"), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        # Not a value at all: whoever sends it refuses it, but the exception needs its text.
        return repr(data)

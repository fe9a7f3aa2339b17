"""What functions did, as events: for the dev server's console and for log streaming."""

from collections.abc import Callable

import msgspec

from syncline.ports import FunctionOutcome


class LogEvent(msgspec.Struct, frozen=True, gc=False):
    """One finished call of a function."""

    path: str
    kind: str
    request_id: str
    duration_seconds: float
    cached: bool
    documents_read: int
    bytes_read: int
    retries: int
    log_lines: tuple[str, ...]
    error: str | None
    now_ms: int
    documents_written: int = 0
    bytes_written: int = 0
    """Of a mutation that failed: none."""

    @classmethod
    def of(
        cls,
        path: str,
        kind: str,
        request_id: str,
        outcome: FunctionOutcome,
        *,
        duration_ns: int,
        now_ns: int,
        cached: bool = False,
        retries: int = 0,
    ) -> "LogEvent":
        """The event of a run; `cached` when its result was shared instead of computed."""
        return cls(
            path,
            kind,
            request_id,
            duration_ns / 1e9,
            cached,
            0 if cached else outcome.documents_read,
            0 if cached else outcome.bytes_read,
            retries,
            () if cached else outcome.log_lines,
            outcome.error.message if outcome.error and not cached else None,
            now_ns // 1_000_000,
            len(outcome.changes),
            sum(len(change.after or b"") for change in outcome.changes),
        )


class LogStream:
    """Hands events to its listeners; costs nothing while there are none."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[LogEvent], None]] = []

    def listen(self, listener: Callable[[LogEvent], None]) -> None:
        """Call `listener` with every later event."""
        self._listeners.append(listener)

    def emit(self, event: LogEvent) -> None:
        """Hand the event on."""
        for listener in self._listeners:
            listener(event)

"""What each function of this process has used since its start: calls, data, time.

Memory is bounded: paths are what callers say, so beyond a number of them the one that was called
the longest time ago is added to OTHERS.
"""

from collections import OrderedDict
from typing import Final

import msgspec

from syncline.drivers.log_events import LogEvent
from syncline.limits import USAGE_FUNCTIONS_MAX

OTHERS: Final = "(others)"
"""The path under which functions that were let go of are counted."""
HTTP_ACTIONS: Final = "(http)"
"""The path of all HTTP actions: theirs hold ids and the like."""


class FunctionUsage(msgspec.Struct, rename="camel"):
    """What one function has used."""

    path: str
    kind: str
    calls: int = 0
    """Runs and shared results; a query runs again whenever what it read has changed."""
    errors: int = 0
    cache_hits: int = 0
    """Results that were shared instead of computed."""
    retries: int = 0
    """Runs of mutations that were overtaken."""
    documents_read: int = 0
    bytes_read: int = 0
    documents_written: int = 0
    bytes_written: int = 0
    seconds: float = 0.0
    seconds_max: float = 0.0

    def add(self, other: "FunctionUsage") -> None:
        """Count what `other` has counted, too."""
        for field in self.__struct_fields__[2:-1]:
            setattr(self, field, getattr(self, field) + getattr(other, field))
        self.seconds_max = max(self.seconds_max, other.seconds_max)


class Usage(msgspec.Struct, frozen=True, rename="camel"):
    """The functions by path and kind, as of now."""

    since_ms: int
    functions: list[FunctionUsage]


class UsageCounters:
    """Counts events (a listener of `LogStream`)."""

    def __init__(self, since_ms: int) -> None:
        self._since_ms = since_ms
        self._functions: OrderedDict[tuple[str, str], FunctionUsage] = OrderedDict()
        self._others: dict[str, FunctionUsage] = {}

    def count(self, event: LogEvent) -> None:
        """Add one call."""
        path = HTTP_ACTIONS if event.kind == "httpAction" else event.path
        key = (path, event.kind)
        usage = self._functions.get(key)
        if usage is None:
            usage = self._functions[key] = FunctionUsage(path, event.kind)
            if len(self._functions) > USAGE_FUNCTIONS_MAX:
                self._let_go()
        else:
            self._functions.move_to_end(key)
        usage.calls += 1
        usage.errors += event.error is not None
        usage.cache_hits += event.cached
        usage.retries += event.retries
        usage.documents_read += event.documents_read
        usage.bytes_read += event.bytes_read
        usage.documents_written += event.documents_written
        usage.bytes_written += event.bytes_written
        usage.seconds += event.duration_seconds
        usage.seconds_max = max(usage.seconds_max, event.duration_seconds)

    def _let_go(self) -> None:
        _, oldest = self._functions.popitem(last=False)
        others = self._others.setdefault(oldest.kind, FunctionUsage(OTHERS, oldest.kind))
        others.add(oldest)

    def usage(self) -> Usage:
        """All counters, at most USAGE_FUNCTIONS_MAX and one more per kind."""
        functions = [*self._functions.values(), *self._others.values()]
        return Usage(self._since_ms, sorted(functions, key=lambda each: (each.path, each.kind)))

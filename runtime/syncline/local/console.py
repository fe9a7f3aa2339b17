"""The dev server's console: what happened, one readable line per function call."""

import re

from rich.console import Console
from rich.markup import escape

from syncline.drivers.log_events import LogEvent

_LEVEL_STYLE = {"DEBUG": "dim", "INFO": "blue", "LOG": "default", "WARN": "yellow", "ERROR": "red"}
_LEVEL = re.compile(r"^\[(DEBUG|INFO|LOG|WARN|ERROR)\] ")


class DevConsole:
    """Prints to standard output; `verbose=False` leaves out successful calls without log lines."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)

    def say(self, text: str, style: str = "") -> None:
        """One line of the server itself."""
        self._console.print(escape(text), style=style or None)

    def error(self, text: str) -> None:
        """Something is wrong and needs the reader's attention."""
        self._console.print(escape(text), style="red")

    def call(self, event: LogEvent) -> None:
        """One function call: kind, function, duration, cache, documents, then its log lines."""
        letter = {"query": "Q", "mutation": "M", "action": "A"}.get(event.kind, "?")
        outcome = "red" if event.error else "green"
        cache = " cache hit" if event.cached else ""
        if event.kind == "query" and not event.cached:
            cache = " cache miss"
        retries = f" {event.retries} retries" if event.retries else ""
        self._console.print(
            f"[{outcome}]{letter}[/] [bold]{escape(event.path)}[/]"
            f" [dim]{event.duration_seconds * 1000:.1f} ms{cache}"
            f" {event.documents_read} documents read{retries}[/]"
        )
        for line in event.log_lines:
            level = _LEVEL.match(line)
            style = _LEVEL_STYLE[level.group(1)] if level else "default"
            self._console.print(f"  {escape(line)}", style=style)
        if event.error:
            self._console.print(f"  {escape(event.error)}", style="red")

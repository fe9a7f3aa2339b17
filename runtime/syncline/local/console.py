"""The dev server's console: what happened, one readable line per function call.

Lines are collected and written once per turn of the event loop: thousands of calls a second must
not wait for a terminal. Colours only where somebody sees them (a terminal, and NO_COLOR not set).
"""

import asyncio
import os
import sys
from datetime import datetime
from typing import TextIO

from syncline.drivers.log_events import LogEvent

_BOLD, _DIM, _RED, _GREEN, _YELLOW, _BLUE = "1", "2", "31", "32", "33", "34"
_LEVEL_STYLES = {"[DEBUG]": _DIM, "[INFO]": _BLUE, "[WARN]": _YELLOW, "[ERROR]": _RED}
_LETTERS = {"query": "Q", "mutation": "M", "action": "A", "httpAction": "H"}


class DevConsole:
    """Prints to a text stream, standard output by default."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        shows_calls: bool = True,
        shows_time: bool = False,
    ) -> None:
        """`shows_calls`: whether every function call is printed, or only failed ones.

        `shows_time`: when they ended, too, for what is not read as it happens.
        """
        self._stream = stream or sys.stdout
        self._shows_calls = shows_calls
        self._shows_time = shows_time
        self._has_colours = self._stream.isatty() and "NO_COLOR" not in os.environ
        self._lines: list[str] = []

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._has_colours else text

    def say(self, text: str, *, important: bool = False) -> None:
        """One line of the server itself."""
        self._print(self._styled(text, _BOLD) if important else text)

    def error(self, text: str) -> None:
        """Something is wrong and needs the reader's attention."""
        self._print(self._styled(text, _RED))

    def call(self, event: LogEvent) -> None:
        """One function call: kind, function, duration, cache, documents, then its log lines."""
        if not self._shows_calls and event.error is None:
            return
        letter = self._styled(_LETTERS.get(event.kind, "?"), _RED if event.error else _GREEN)
        cache = ""
        if event.kind == "query":
            cache = ", cache hit" if event.cached else ", cache miss"
        retries = f", {event.retries} retries" if event.retries else ""
        documents = (
            f"{event.documents_read} document{'' if event.documents_read == 1 else 's'} read"
        )
        facts = f"{event.duration_seconds * 1000:.1f} ms{cache}, {documents}{retries}"
        at = ""
        if self._shows_time:
            moment = datetime.fromtimestamp(event.now_ms / 1000).astimezone()
            at = self._styled(f"{moment:%Y-%m-%d %H:%M:%S} ", _DIM)
        path = self._styled(event.path, _BOLD)
        self._print(f"{at}{letter} {path}  {self._styled(facts, _DIM)}")
        for line in event.log_lines:
            style = _LEVEL_STYLES.get(line.partition(" ")[0])
            self._print("  " + (self._styled(line, style) if style else line))
        if event.error:
            self._print(self._styled("  " + event.error.replace("\n", "\n  "), _RED))

    def _print(self, line: str) -> None:
        if not self._lines:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:
                self._lines.append(line)
                self.flush()
                return
        self._lines.append(line)

    def flush(self) -> None:
        """Write what was collected."""
        if self._lines:
            text = "\n".join(self._lines) + "\n"
            self._lines.clear()
            self._stream.write(text)
            self._stream.flush()

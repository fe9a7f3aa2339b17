"""A client program in a process of its own, which prints one JSON object a line.

Node clients need Node, and the PyPI client holds the GIL while it waits, so that no client runs
inside pytest. Each object has an `event` name; tests wait for events and look at the fields.
"""

import json
import queue
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

EVENT_SECONDS_MAX = 40.0
END_SECONDS_MAX = 20.0
_HERE = Path(__file__).parent

Event = dict[str, Any]


class ClientProgram:
    """A running program; as a context manager it is ended with the block, however that ends."""

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        *,
        patience: float = EVENT_SECONDS_MAX,
    ) -> None:
        """`patience`: the longest wait in seconds for its next event or its end."""
        self._patience = patience
        self._name = " ".join(command[1:3])
        self._process = subprocess.Popen(
            command,
            cwd=_HERE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.events: list[Event] = []
        self._queue: queue.Queue[Event | None] = queue.Queue()
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> "ClientProgram":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(END_SECONDS_MAX)
        for reader in self._readers:
            reader.join(END_SECONDS_MAX)

    def _read_events(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                try:
                    self._queue.put(json.loads(line))
                except ValueError:
                    self._errors.append(f"not JSON: {line}")
        self._queue.put(None)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            self._errors.extend(lines)

    def event(self, name: str) -> Event:
        """The next event of that name; those before it are kept in `events`."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                event = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self._failure(f"no event {name!r} in time") from None
            if event is None:
                raise self._failure(f"ended before event {name!r}")
            self.events.append(event)
            if event["event"] == name:
                return event

    def finish(self) -> list[Event]:
        """Wait for the program's end, which must be a good one; returns all its events."""
        try:
            code = self._process.wait(self._patience)
        except subprocess.TimeoutExpired:
            raise self._failure("did not end") from None
        for reader in self._readers:
            reader.join(END_SECONDS_MAX)
        while not self._queue.empty():
            if (event := self._queue.get()) is not None:
                self.events.append(event)
        if code != 0:
            raise self._failure(f"ended with {code}")
        return self.events

    def only(self, name: str) -> Event:
        """Wait for the end; returns the one event of that name."""
        [found] = [event for event in self.finish() if event["event"] == name]
        return found

    def _failure(self, what: str) -> AssertionError:
        said = "".join(self._errors)[-6000:]
        events = "\n".join(json.dumps(event)[:500] for event in self.events[-20:])
        return AssertionError(f"{self._name} {what}\nevents:\n{events}\nstandard error:\n{said}")

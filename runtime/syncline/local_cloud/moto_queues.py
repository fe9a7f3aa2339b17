"""What moto's queues lack of SQS's: sequence numbers, a memory for duplicates, and atomicity.

moto numbers messages at random and forgets an id for deduplication when its message is deleted;
SQS numbers them in order within a group and remembers ids for five minutes. And moto deletes a
message by replacing the list of all, so that one that is sent meanwhile is lost: here whatever
changes a queue is done one after the other.
"""

import functools
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast
from weakref import WeakKeyDictionary

from moto.sqs.models import Message, Queue, SQSBackend

DEDUPLICATION_SECONDS: Final = 300
"""An AWS figure: after so long the same id is a new message."""

FIRST_SEQUENCE_NUMBER: Final = 18_849_496_460_467_696_128
"""As large as real ones, so that nothing gets by with 64 bits."""

_Memory: TypeAlias = dict[tuple[str | None, str | None], tuple[int, str]]
"""By group (if it counts) and id: when it was first sent in ms, and the number that it got."""

_LOOK_SECONDS: Final = 0.02
"""Ours: how often a waiting receiver looks again."""

_CHANGES: Final = ("delete_message", "change_message_visibility", "purge_queue")

_turn = threading.RLock()
_plain_add = Queue.add_message
_plain_receive = SQSBackend.receive_message
_numbers = itertools.count(FIRST_SEQUENCE_NUMBER, 256)
_memories: WeakKeyDictionary[Queue, _Memory] = WeakKeyDictionary()
_listeners: dict[str, list[Callable[[], object]]] = {}


def make_queues_faithful() -> None:
    """Mend the queues of this process's moto; doing it again changes nothing."""
    Queue.add_message = _add_message
    SQSBackend.receive_message = _receive_message
    for name in _CHANGES:
        change = getattr(SQSBackend, name)
        if not hasattr(change, "__wrapped__"):
            setattr(SQSBackend, name, _in_turn(change))


def _in_turn(change: Any) -> Any:
    @functools.wraps(change)
    def changed(*arguments: Any, **named: Any) -> Any:
        with _turn:
            return change(*arguments, **named)

    return changed


def _receive_message(
    self: SQSBackend,
    queue_name: str,
    count: int,
    wait_seconds_timeout: int,
    visibility_timeout: int,
    message_attribute_names: list[str] | None = None,
) -> list[Message]:
    """Wait outside of the turn, or nobody could send what is waited for."""
    end = time.monotonic() + wait_seconds_timeout
    while True:
        with _turn:
            found = _plain_receive(
                self, queue_name, count, 0, visibility_timeout, message_attribute_names
            )
        if found or time.monotonic() >= end:
            return found
        time.sleep(_LOOK_SECONDS)


def on_arrival(queue: str, tell: Callable[[], object]) -> Callable[[], None]:
    """Have `tell` called, in any thread, when a message arrives; returns how to stop it."""
    listeners = _listeners.setdefault(queue, [])
    listeners.append(tell)
    return lambda: listeners.remove(tell)


def _add_message(self: Queue, message: Message) -> None:
    with _turn:
        _put(self, message)
    for tell in tuple(_listeners.get(self.name, ())):
        tell()


def _put(self: Queue, message: Message) -> None:
    if self.fifo_queue:
        by_group = self.attributes.get("DeduplicationScope") == "messageGroup"
        key = (message.group_id if by_group else None, message.deduplication_id)
        sent = cast("int", message.sent_timestamp)
        memory = _memories.setdefault(self, {})
        known = memory.get(key)
        if known is not None and sent - known[0] < DEDUPLICATION_SECONDS * 1000:
            # Accepted, answered with the number of the first, and not put in.
            message.sequence_number = known[1]
            return
        message.sequence_number = str(next(_numbers))
        memory[key] = (sent, message.sequence_number)
    # moto would call functions by itself, without running any code; that is done elsewhere.
    self.lambda_event_source_mappings.clear()
    _plain_add(self, message)

"""What moto's FIFO queues lack of SQS's: rising sequence numbers, and a memory for duplicates.

moto numbers messages at random and forgets an id for deduplication when its message is deleted;
SQS numbers them in order within a group and remembers ids for five minutes.
"""

import itertools
from typing import Final, TypeAlias, cast
from weakref import WeakKeyDictionary

from moto.sqs.models import Message, Queue

DEDUPLICATION_SECONDS: Final = 300
"""An AWS figure: after so long the same id is a new message."""

FIRST_SEQUENCE_NUMBER: Final = 18_849_496_460_467_696_128
"""As large as real ones, so that nothing gets by with 64 bits."""

_Memory: TypeAlias = dict[tuple[str | None, str | None], tuple[int, str]]
"""By group (if it counts) and id: when it was first sent in ms, and the number that it got."""

_plain_add = Queue.add_message
_numbers = itertools.count(FIRST_SEQUENCE_NUMBER, 256)
_memories: WeakKeyDictionary[Queue, _Memory] = WeakKeyDictionary()


def make_queues_faithful() -> None:
    """Mend the queues of this process's moto; doing it again changes nothing."""
    Queue.add_message = _add_message


def _add_message(self: Queue, message: Message) -> None:
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
    _plain_add(self, message)

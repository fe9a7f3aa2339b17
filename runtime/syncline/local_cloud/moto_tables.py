"""What moto's DynamoDB lacks of the real one: conditions that hold until the write is done.

moto looks at the condition and writes in two steps, between which another thread may write too: of
two conditional writes both may then succeed. Here writes go one after the other.
"""

import functools
import threading
from typing import Any, Final

from moto.dynamodb.models import DynamoDBBackend

_WRITES: Final = ("put_item", "update_item", "delete_item", "transact_write_items")

_turn = threading.RLock()


def make_tables_faithful() -> None:
    """Mend the tables of this process's moto; doing it again changes nothing."""
    for name in _WRITES:
        write = getattr(DynamoDBBackend, name)
        if not hasattr(write, "__wrapped__"):
            setattr(DynamoDBBackend, name, _in_turn(write))


def _in_turn(write: Any) -> Any:
    @functools.wraps(write)
    def written(*arguments: Any, **named: Any) -> Any:
        with _turn:
            return write(*arguments, **named)

    return written

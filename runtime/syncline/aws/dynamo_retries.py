"""DynamoDB calls from asyncio: in a thread, and again while DynamoDB has no room for them.

The SDK's own retries are off (protocols.md rule 13: every request of a writer is made on purpose),
so what may pass by itself is tried again here, for a bounded time and with jitter. Only calls that
may be made twice belong here: reads, and writes whose condition tells whether they are still due.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import SystemRandom
from typing import Final, TypeVar

from botocore.exceptions import BotoCoreError
from pynamodb.exceptions import PynamoDBException

from syncline.errors import DeveloperError, SynclineError, UnavailableError

RETRY_PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Greatest pauses in seconds before each new attempt; ours: 3.2 s in all at most."""

CONNECT_SECONDS_MAX: Final = 2.0
ANSWER_SECONDS_MAX: Final = 5.0
"""Ours: a strong read takes milliseconds; beyond this it is tried again."""

_PASSING: Final = frozenset({
    "InternalServerError",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ThrottlingException",
    "TransactionConflictException",
})  # fmt: skip
"""Errors after which DynamoDB's developer guide ("Error handling") says to try again."""

_RANDOM: Final = SystemRandom()
"""Asks the operating system each time, so that restored snapshots don't pause in step."""

_T = TypeVar("_T")


async def patiently(call: Callable[[], _T], *, pauses: Sequence[float] = RETRY_PAUSES) -> _T:
    """The result of `call`, which runs in a thread and may run again.

    Raises:
        UnavailableError: DynamoDB was throttling or out of reach until patience ended.
        DeveloperError: DynamoDB refuses: a missing table or permission.
        SynclineError: what `call` itself raised.
    """
    for longest in (*pauses, None):
        try:
            return await asyncio.to_thread(call)
        except PynamoDBException as error:
            if not may_pass(error):
                raise _refusal(error) from error
            if longest is None:
                raise _unavailable(error) from error
            await asyncio.sleep(longest * _RANDOM.random())
    raise AssertionError("the last attempt returns or raises")


def may_pass(error: PynamoDBException) -> bool:
    """Whether the same call may succeed a moment later."""
    return isinstance(error.cause, BotoCoreError) or error.cause_response_code in _PASSING


def _unavailable(error: PynamoDBException) -> SynclineError:
    return UnavailableError("TableUnavailable", f"DynamoDB can't be reached now: {error}")


def _refusal(error: PynamoDBException) -> SynclineError:
    return DeveloperError(
        "TableRefuses",
        f"{error}. The role needs the permission, and the table must be the one that the stacks "
        "made.",
    )

"""Function calls as the functions' log groups in CloudWatch have them (recent_logs.FunctionLogs).

Every function writes a line of JSON for a call that it has run. Lines of many processes arrive in
no order, each a little after its time, so what is younger than `SETTLED_MS` waits for the next
look: windows of time follow each other, and no line stands in two of them. One that arrives later
still is not shown (docs/logs.md); the log groups have it.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from syncline.drivers.log_events import LogEvent
from syncline.drivers.recent_logs import LogPage
from syncline.errors import UnavailableError
from syncline.function_path import SYSTEM_PREFIX
from syncline.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

SETTLED_MS: Final = 5_000
"""So long a line may take to arrive; ours: CloudWatch promises nothing, seconds are usual."""

PAUSE_SECONDS: Final = 2.0
"""Between two looks; ours: FilterLogEvents costs nothing but has a quota of some ten a second."""

LOOK_SECONDS_MAX: Final = 4.0
"""After which one look asks for no further page, and gives what it has; ours."""

HISTORY_MS: Final = 600_000
"""What a reader without a cursor is shown of the past, the newest of it; ours."""

LINES_MAX: Final = 1_000
BYTES_MAX: Final = 3 * 2**20
"""Of the lines of one answer; ours: as entries they stay below Lambda's 6 MB."""

_PATTERN: Final = '"duration_seconds"'
"""In every line about a call, and in few others."""


class _Line(msgspec.Struct):
    """What matters of a line of ours."""

    call: LogEvent | None = None


_decode = msgspec.json.Decoder(_Line).decode


@dataclass(frozen=True, slots=True)
class _Found:
    """Lines of one group by their time, complete up to `until`."""

    lines: list[tuple[int, str]]
    until: float


class CloudWatchLogs:
    """Reads some log groups. A line that is none of ours is left out."""

    def __init__(self, client: "CloudWatchLogsClient", groups: Sequence[str], clock: Clock) -> None:
        self._client = client
        self._groups = tuple(groups)
        self._clock = clock

    async def after(self, cursor: int, seconds: float) -> LogPage:
        """The port's. UnavailableError: CloudWatch can't be asked now."""
        begin = self._now_ms()
        while True:
            end = self._now_ms() - SETTLED_MS
            if not cursor:
                found = await self._look(end - HISTORY_MS, end)
                return LogPage(_events(_newest(found)), end)
            page = LogPage((), cursor)
            if end > cursor:
                lines, until = _oldest(await self._look(cursor + 1, end), cursor, end)
                page = LogPage(_events(lines), until)
            if page.events or self._now_ms() - begin + PAUSE_SECONDS * 1000 > seconds * 1000:
                return page
            cursor = page.cursor
            await asyncio.sleep(PAUSE_SECONDS)

    async def _look(self, start: int, end: int) -> list[_Found]:
        deadline = self._now_ms() + LOOK_SECONDS_MAX * 1000
        looks = [
            asyncio.to_thread(self._lines, group, start, end, deadline) for group in self._groups
        ]
        return await asyncio.gather(*looks)

    def _lines(self, group: str, start: int, end: int, deadline: float) -> _Found:
        """CloudWatch gives them in the order of their times."""
        lines: list[tuple[int, str]] = []
        more: dict[str, Any] = {}
        size = 0
        try:
            while True:
                reply = self._client.filter_log_events(
                    logGroupName=group,
                    startTime=start,
                    endTime=end,
                    filterPattern=_PATTERN,
                    **more,
                )
                for each in reply["events"]:
                    message = each.get("message", "")
                    lines.append((each.get("timestamp", start), message))
                    size += len(message)
                if "nextToken" not in reply:
                    return _Found(lines, math.inf)
                if len(lines) > LINES_MAX or size > BYTES_MAX or self._now_ms() > deadline:
                    # More of the last millisecond may be behind.
                    return _Found(lines, lines[-1][0] - 1 if lines else start - 1)
                more = {"nextToken": reply["nextToken"]}
        except (ClientError, BotoCoreError) as error:
            raise UnavailableError(
                "LogsUnavailable", f"CloudWatch can't be asked for {group} now: {error}"
            ) from error

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000


def _newest(found: Sequence[_Found]) -> list[str]:
    """As many of the newest lines as fit into an answer, oldest first."""
    kept: list[str] = []
    size = 0
    for _, message in sorted((line for each in found for line in each.lines), reverse=True):
        size += len(message)
        if len(kept) == LINES_MAX or size > BYTES_MAX:
            break
        kept.append(message)
    return kept[::-1]


def _oldest(found: Sequence[_Found], cursor: int, end: int) -> tuple[list[str], int]:
    """As many of the oldest lines as fit into an answer, and up to when those are all."""
    until = int(min(end, *(each.until for each in found)))
    lines = sorted(line for each in found for line in each.lines if line[0] <= until)
    size = 0
    for count, (at, message) in enumerate(lines):
        size += len(message)
        if count == LINES_MAX or size > BYTES_MAX:
            # Whole milliseconds only, but for one that is too large alone: of that a part.
            whole = at - 1 > cursor and any(time < at for time, _ in lines[:count])
            until = at - 1 if whole else at
            lines = [line for line in lines[:count] if line[0] <= until]
            break
    return [message for _, message in lines], max(until, cursor)


def _events(messages: Sequence[str]) -> list[LogEvent]:
    return [event for message in messages if (event := _event(message)) is not None]


def _event(message: str) -> LogEvent | None:
    try:
        event = _decode(message).call
    except msgspec.MsgspecError:
        return None
    return None if event is None or event.path.startswith(SYSTEM_PREFIX) else event

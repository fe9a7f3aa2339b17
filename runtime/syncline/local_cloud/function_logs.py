"""What functions print goes into their log groups, as Lambda's agent sends it."""

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_logs.type_defs import InputLogEventTypeDef

STREAM: Final = "local"
"""Every process of a function writes into one stream here."""

PAUSE_SECONDS: Final = 0.5
"""Between two deliveries; ours."""


class FunctionLogs:
    """Collects lines and delivers them now and then."""

    def __init__(self, client: "CloudWatchLogsClient") -> None:
        self._client = client
        self._lines: defaultdict[str, list[InputLogEventTypeDef]] = defaultdict(list)
        self._streams: set[str] = set()

    def hear(self, group: str, line: str) -> None:
        """A function with this log group has printed a line."""
        self._lines[group].append({"timestamp": time.time_ns() // 1_000_000, "message": line})

    async def run(self) -> None:
        """Deliver, for ever."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            lines, self._lines = self._lines, defaultdict(list)
            if lines:
                await asyncio.to_thread(self._deliver, lines)

    def _deliver(self, lines: "dict[str, list[InputLogEventTypeDef]]") -> None:
        for group, events in lines.items():
            try:
                if group not in self._streams:
                    self._client.create_log_stream(logGroupName=group, logStreamName=STREAM)
                    self._streams.add(group)
                self._client.put_log_events(
                    logGroupName=group, logStreamName=STREAM, logEvents=events
                )
            except ClientError as error:
                # Before the stack has made the group, and when it is gone, lines have no place.
                if error.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
                    raise

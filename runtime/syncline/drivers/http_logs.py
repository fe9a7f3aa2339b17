"""`GET /api/stream_function_logs`, as `npx convex logs` asks it (convex-protocol.md 7.2)."""

import re
from typing import Any, Final

from syncline.drivers.http_messages import HttpError, HttpRequest, HttpResponse, json_response
from syncline.drivers.log_events import LogEvent
from syncline.drivers.recent_logs import FunctionLogs
from syncline.execution.called_function import display_name
from syncline.limits import LOG_POLL_SECONDS_MAX

_KINDS: Final = {
    "query": "Query",
    "mutation": "Mutation",
    "action": "Action",
    "httpAction": "HttpAction",
}
_LEVEL: Final = re.compile(r"\[([A-Z]+)\] (.*)", re.DOTALL)


class LogEndpoints:
    """Every caller is an admin."""

    def __init__(self, logs: FunctionLogs, *, seconds_max: float = LOG_POLL_SECONDS_MAX) -> None:
        self._logs = logs
        self._seconds_max = seconds_max

    async def stream(self, request: HttpRequest) -> HttpResponse:
        """What came after `cursor`, as soon as there is something, or nothing after a while."""
        text = request.query.get("cursor", "0")
        if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]+)?", text):
            raise HttpError(400, "BadCursor", f"`cursor` is milliseconds, not {text[:40]!r}.")
        page = await self._logs.after(int(float(text)), self._seconds_max)
        entries = [completion(event) for event in page.events]
        return json_response({"entries": entries, "newCursor": page.cursor})


def completion(event: LogEvent) -> dict[str, Any]:
    """A finished call as the official command line reads it; times in seconds but for lines'."""
    return {
        "kind": "Completion",
        "udfType": _KINDS.get(event.kind, event.kind),
        "identifier": event.path if event.kind == "httpAction" else display_name(event.path),
        "componentPath": None,
        "logLines": [_line(line, event.now_ms) for line in event.log_lines],
        "timestamp": event.now_ms / 1000,
        "cachedResult": event.cached,
        "executionTime": event.duration_seconds,
        "success": None,
        "error": event.error,
        "requestId": event.request_id,
        "executionId": event.request_id,
        "usageStats": {
            "databaseReadDocuments": event.documents_read,
            "databaseReadBytes": event.bytes_read,
            "databaseWriteDocuments": event.documents_written,
            "databaseWriteBytes": event.bytes_written,
        },
        "retries": event.retries,
        "willRetry": False,
        "environment": "python",
    }


def event_of(entry: dict[str, Any]) -> LogEvent:
    """What `completion` has made an entry of, as far as people are shown it."""
    usage = entry["usageStats"]
    return LogEvent(
        path=entry["identifier"],
        kind=next((kind for kind, name in _KINDS.items() if name == entry["udfType"]), "?"),
        request_id=entry["requestId"],
        duration_seconds=entry["executionTime"],
        cached=entry["cachedResult"],
        documents_read=int(usage["databaseReadDocuments"]),
        bytes_read=int(usage["databaseReadBytes"]),
        retries=entry["retries"],
        log_lines=tuple(f"[{line['level']}] {line['messages'][0]}" for line in entry["logLines"]),
        error=entry["error"],
        now_ms=round(entry["timestamp"] * 1000),
        documents_written=int(usage["databaseWriteDocuments"]),
        bytes_written=int(usage["databaseWriteBytes"]),
    )


def _line(line: str, now_ms: int) -> dict[str, Any]:
    matched = _LEVEL.fullmatch(line)
    level, text = matched.groups() if matched else ("LOG", line)
    return {"messages": [text], "level": level, "timestamp": now_ms, "isTruncated": False}

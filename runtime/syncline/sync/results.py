"""Results as sessions are handed them: of queries, shared by everybody, and of requests."""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec
import orjson


class QueryResult(msgspec.Struct, frozen=True, gc=False):
    """One result of a query, encoded once and shared by all sessions that hold it."""

    fragment: bytes
    """The modification's JSON after its query id: `,"type":...,"value":...}`."""
    fingerprint: bytes
    """16 bytes, equal exactly for results in which clients can see no difference."""
    journal: str | None = None

    @classmethod
    def success(
        cls, value: bytes, log_lines: Sequence[str] = (), journal: str | None = None
    ) -> "QueryResult":
        """A value, as JSON."""
        fragment = b"".join(
            (
                b',"type":"QueryUpdated","value":',
                value,
                b',"logLines":',
                json_lines(log_lines),
                b',"journal":',
                json_text(journal) if journal is not None else b"null",
                b"}",
            )
        )
        return cls(fragment, blake2b(fragment, digest_size=16).digest(), journal)

    @classmethod
    def failure(
        cls,
        message: str,
        data: bytes | None = None,
        log_lines: Sequence[str] = (),
        journal: str | None = None,
        *,
        same_as: str | None = None,
    ) -> "QueryResult":
        """An error: text for the client and the JSON data of an application error, if it is one.

        Errors with equal `same_as` count as the same in spite of different messages, which hold
        the id of the request that failed.
        """
        rest = _failure_fields(data, log_lines, journal)
        fragment = b',"type":"QueryFailed","errorMessage":' + json_text(message) + rest
        seen = b"failed" + json_text(message if same_as is None else same_as) + rest
        return cls(fragment, blake2b(seen, digest_size=16).digest(), journal)


def _failure_fields(data: bytes | None, log_lines: Sequence[str], journal: str | None) -> bytes:
    journal_json = json_text(journal) if journal is not None else b"null"
    fields = b',"logLines":' + json_lines(log_lines) + b',"journal":' + journal_json
    if data is not None:
        fields += b',"errorData":' + data
    return fields + b"}"


class CallResult(msgspec.Struct, frozen=True, gc=False):
    """The outcome of a mutation or an action: `value` is JSON, None exactly for a failure.

    `ts` is the mutation's commit, or the newest commit that an action caused (0: none); of a
    failure the snapshot that it was validated at. The update that follows is at or past it.
    """

    ts: int
    value: bytes | None
    error_message: str | None = None
    error_data: bytes | None = None
    log_lines: tuple[str, ...] = ()
    recorded: bool = False
    """An earlier outcome given again (exactly once): its ts may lie far back."""


def json_text(text: str) -> bytes:
    """A JSON string; lone surrogates, which UTF-8 can't hold, become question marks."""
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        return orjson.dumps(text.encode("utf-8", "replace").decode())


def json_lines(lines: Sequence[str]) -> bytes:
    """Log lines as a JSON array."""
    if not lines:
        return b"[]"
    return b"[" + b",".join([json_text(line) for line in lines]) + b"]"

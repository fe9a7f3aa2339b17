"""What the server says, as the bytes of one text frame each (convex-protocol.md 1.3).

Byte templates: values, log lines and error data arrive as JSON already. Rules on presence:
`logLines` everywhere, `errorData` only for application errors, `ts` on every mutation response.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from syncline.sync.results import CallResult, json_lines, json_text
from syncline.timestamps import encode_timestamp

PING: Final = b'{"type":"Ping"}'


@lru_cache(maxsize=256)
def state_version(query_set: int, identity: int, ts: int) -> bytes:
    """The version of what the client holds, as JSON; a thousand subscribers often share one."""
    return b'{"querySet":%d,"identity":%d,"ts":"%b"}' % (
        query_set,
        identity,
        encode_timestamp(ts).encode(),
    )


def query_modification(query_id: int, fragment: bytes) -> bytes:
    """QueryUpdated or QueryFailed of one query, around the shared part."""
    return b'{"queryId":%d%b' % (query_id, fragment)


def query_removed(query_id: int) -> bytes:
    """The answer to a Remove."""
    return b'{"type":"QueryRemoved","queryId":%d}' % query_id


def transition(
    start: bytes,
    end: bytes,
    modifications: Sequence[bytes],
    *,
    clock_skew_ms: int | None,
    server_ms: int,
) -> bytes:
    """The step of the client's state from version `start` to `end`."""
    skew = b"null" if clock_skew_ms is None else b"%d" % clock_skew_ms
    return (
        b'{"type":"Transition","startVersion":%b,"endVersion":%b,"modifications":[%b],'
        b'"clientClockSkew":%b,"serverTs":%d}'
        % (start, end, b",".join(modifications), skew, server_ms * 1_000_000)
    )


def mutation_response(request_id: int, result: CallResult) -> bytes:
    """The answer to a Mutation."""
    if result.value is None:
        return _failure(b"MutationResponse", request_id, result, b'"ts":null,')
    return (
        b'{"type":"MutationResponse","requestId":%d,"success":true,"result":%b,"ts":"%b",'
        b'"logLines":%b}'
        % (
            request_id,
            result.value,
            encode_timestamp(result.ts).encode(),
            json_lines(result.log_lines),
        )
    )


def action_response(request_id: int, result: CallResult) -> bytes:
    """The answer to an Action."""
    if result.value is None:
        return _failure(b"ActionResponse", request_id, result, b"")
    return b'{"type":"ActionResponse","requestId":%d,"success":true,"result":%b,"logLines":%b}' % (
        request_id,
        result.value,
        json_lines(result.log_lines),
    )


def _failure(kind: bytes, request_id: int, result: CallResult, ts: bytes) -> bytes:
    data = b"" if result.error_data is None else b',"errorData":' + result.error_data
    return b'{"type":"%b","requestId":%d,"success":false,"result":%b,%b"logLines":%b%b}' % (
        kind,
        request_id,
        json_text(result.error_message or ""),
        ts,
        json_lines(result.log_lines),
        data,
    )


def auth_error(error: str, base_version: int, *, update_attempted: bool) -> bytes:
    """A token was refused (`update_attempted`) or the identity in use has expired (1.8)."""
    return b'{"type":"AuthError","error":%b,"baseVersion":%d,"authUpdateAttempted":%b}' % (
        json_text(error),
        base_version,
        b"true" if update_attempted else b"false",
    )


def fatal_error(error: str) -> bytes:
    """The client broke the protocol; npm never reconnects after it."""
    return b'{"type":"FatalError","error":%b}' % json_text(error)

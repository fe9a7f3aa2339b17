"""What callers are told: answers, their recorded form, and the redaction of errors.

The recorded form (the `outcome` of a commit record) is replayed as it is when a client sends the
same request again (protocols.md rule 5), so it holds everything that a response shows.
"""

import msgspec
import orjson

from syncline.ports import FunctionError, FunctionOutcome


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who calls: UserIdentityAttributes as JSON (camelCase) or None, and whether it is an admin."""

    identity: bytes | None = None
    is_admin: bool = False
    is_inner: bool = False
    """An action on behalf of its caller: internal functions may be called too."""

    def key(self) -> str:
        """What tells identities apart in records: a recorded outcome is given to its own only."""
        if self.identity is None:
            return "admin" if self.is_admin else ""
        token = orjson.loads(self.identity).get("tokenIdentifier", "")
        return f"admin as {token}" if self.is_admin else str(token)


ANONYMOUS = Caller()


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The outcome of a call as a client sees it. `value` is JSON, None exactly for an error."""

    ts: int
    value: bytes | None
    error_message: str | None = None
    error_data: bytes | None = None
    log_lines: tuple[str, ...] = ()
    conflict: bool = False
    """True when retries on conflicts were exhausted (HTTP 503)."""
    recorded: bool = False
    """An earlier outcome given again: its ts may lie far back."""


def client_message(error: FunctionError, request_id: str, *, redact: bool) -> str:
    """The text for clients (convex-protocol 6.1).

    In production it is the first line only, unless the server itself made the message.
    """
    if error.is_server_made:
        return f"[Request ID: {request_id}] Server Error\n{error.message}"
    if redact:
        return f"[Request ID: {request_id}] Server Error"
    return f"[Request ID: {request_id}] Server Error\n{error.message}"


def without_request_id(message: str) -> str:
    """A message for clients, as it stands where the call's id means nothing to the reader."""
    return message.partition("Server Error\n")[2] or message


def answer_of(outcome: FunctionOutcome, ts: int, request_id: str, *, redact: bool) -> Answer:
    """The answer to a finished run."""
    lines = () if redact else outcome.log_lines
    if outcome.error is None:
        return Answer(ts, outcome.value, log_lines=lines)
    message = client_message(outcome.error, request_id, redact=redact)
    return Answer(ts, None, message, outcome.error.data, lines)


COULD_NOT_COMPLETE = "Your request couldn't be completed. Try again later."
"""What clients are told of a failure of ours (convex-protocol 3.2)."""


def failed_outcome(text: str, *, read_time: bool = False) -> FunctionOutcome:
    """The outcome of a call that did not run to its end; with `read_time` it is soon run again."""
    return FunctionOutcome(
        value=None,
        error=FunctionError(text, is_server_made=True, data=None),
        log_lines=(),
        read_ranges=(),
        changes=(),
        journal=None,
        read_identity=False,
        read_time=read_time,
        read_random=False,
        documents_read=0,
        bytes_read=0,
        own_seconds=0.0,
    )


def encode_outcome(answer: Answer) -> bytes:
    """The recorded form: JSON {"value"} or {"error", "errorData"?}, and "logLines"."""
    parts: list[bytes] = []
    if answer.value is not None:
        parts.append(b'{"value":' + answer.value)
    else:
        parts.append(b'{"error":' + orjson.dumps(answer.error_message))
        if answer.error_data is not None:
            parts.append(b',"errorData":' + answer.error_data)
    if answer.log_lines:
        parts.append(b',"logLines":' + orjson.dumps(answer.log_lines))
    parts.append(b"}")
    return b"".join(parts)


def decode_outcome(ts: int, outcome: bytes) -> Answer:
    """The answer that was recorded, with the original ts."""
    record = orjson.loads(outcome)
    lines = tuple(record.get("logLines", ()))
    if "error" not in record:
        return Answer(ts, orjson.dumps(record["value"]), log_lines=lines, recorded=True)
    data = orjson.dumps(record["errorData"]) if "errorData" in record else None
    return Answer(ts, None, record["error"], data, lines, recorded=True)

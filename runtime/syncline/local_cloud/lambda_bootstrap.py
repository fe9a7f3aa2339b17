"""Runs in a Lambda function's process on this machine: its runtime, as AWS's is on theirs.

Started as a script, with the function's own code as the only library. Events come in and answers go
out as frames (four bytes of length, JSON) on the socket LAMBDA_FRAMES; everything printed is log.
Botocore finds this machine's services through AWS_ENDPOINT_URL and its kin; only the address for
posts to sockets is given to the SDK by the function itself, so it is changed on its way out. Every
call is noted as a line of JSON in LAMBDA_CALLS, as `local_cloud.iam_actions.Call` reads it.
"""

import importlib
import json
import os
import signal
import socket
import struct
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

TEXT_CHARACTERS_MAX: Final = 2048
"""Of a noted parameter; names of resources are far shorter."""

SECRETS: Final = {("ssm", "PutParameter"): "Value"}
"""Parameters of calls that are not noted."""


class Context:
    """The second argument of a handler (Lambda developer guide, "Python context object")."""

    def __init__(self, request_id: str, deadline: float) -> None:
        """`deadline`: by `time.time()`."""
        self.aws_request_id = request_id
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = "$LATEST"
        self.invoked_function_arn = os.environ["LAMBDA_ARN"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = None
        self.client_context = None
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        """Until the function's time is over."""
        return max(0, int((self._deadline - time.time()) * 1000))


def main() -> None:
    """Load the handler, then answer events until the socket closes."""
    # Ctrl-C in a terminal reaches the whole group; the cloud decides when its functions end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    frames = socket.socket(fileno=int(os.environ["LAMBDA_FRAMES"]))
    _note_calls()
    handler = _handler(frames)
    while (frame := _receive(frames)) is not None:
        request: dict[str, Any] = json.loads(frame)
        # What X-Ray's SDK wants to see; nothing is sampled, so nothing is sent.
        os.environ["_X_AMZN_TRACE_ID"] = request["trace"]
        context = Context(request["request_id"], request["deadline"])
        try:
            answer = {"answer": handler(request["event"], context)}
            reply = json.dumps(answer)
        except Exception as error:
            reply = json.dumps({"error": _described(error)})
        _send(frames, reply)


def _handler(frames: socket.socket) -> Callable[[Any, Context], Any]:
    module, _, name = os.environ["_HANDLER"].rpartition(".")
    try:
        return getattr(importlib.import_module(module.replace("/", ".")), name)
    except Exception as error:
        _send(frames, json.dumps({"error": _described(error)}))
        raise


def _described(error: BaseException) -> Mapping[str, object]:
    return {
        "errorType": type(error).__name__,
        "errorMessage": str(error),
        "stackTrace": traceback.format_tb(error.__traceback__),
    }


def _receive(frames: socket.socket) -> bytes | None:
    head = _exactly(frames, 4)
    return None if head is None else _exactly(frames, struct.unpack(">I", head)[0])


def _exactly(frames: socket.socket, count: int) -> bytes | None:
    parts: list[bytes] = []
    while count:
        part = frames.recv(min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _send(frames: socket.socket, text: str) -> None:
    content = text.encode()
    frames.sendall(struct.pack(">I", len(content)) + content)


# What it calls


def _note_calls() -> None:
    """Have every SDK session of this process report its calls."""
    from botocore.session import Session

    plain = Session.__init__

    def made(self: Session, *arguments: Any, **named: Any) -> None:
        plain(self, *arguments, **named)
        self.register("before-parameter-build.*.*", _note)
        self.register("before-send.apigatewaymanagementapi.*", _redirect)

    setattr(Session, "__init__", made)  # noqa: B010 - it is a method


def _note(params: Mapping[str, Any], model: Any, **_: object) -> None:
    service = model.service_model.service_name
    # Noted when sent: only then is the address known.
    if service != "apigatewaymanagementapi":
        secret = SECRETS.get((service, model.name))
        _write(service, model.name, _plain({n: params[n] for n in params if n != secret}))


def _redirect(request: Any, event_name: str, **_about: object) -> None:
    address = urlsplit(str(request.url))
    stage, _, connection = address.path.partition("/@connections/")
    parameters = {
        "endpoint": f"{address.scheme}://{address.netloc}{stage}",
        "ConnectionId": unquote(connection),
    }
    _write("apigatewaymanagementapi", event_name.rpartition(".")[2], parameters)
    request.url = f"{os.environ['LAMBDA_GATEWAY']}{address.path}"


def _write(service: str, operation: str, parameters: object) -> None:
    line = {
        "role": os.environ["LAMBDA_ROLE"],
        "function": os.environ["LAMBDA_LABEL"],
        "service": service,
        "operation": operation,
        "parameters": parameters,
    }
    with Path(os.environ["LAMBDA_CALLS"]).open("ab") as calls:
        calls.write(json.dumps(line).encode() + b"\n")


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {str(name): _plain(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] # parameters of any operation
        case list() | tuple():
            return [_plain(each) for each in value]  # pyright: ignore[reportUnknownVariableType] # as above
        case str():
            return value[:TEXT_CHARACTERS_MAX]
        case bool() | int() | float() | None:
            return value
        case _:
            return f"<{type(value).__name__}>"


if __name__ == "__main__":
    main()

"""A client that may say anything: WebSocket conversations and HTTP requests byte by byte.

The official clients never send what is wrong, so what is wrong is sent from here. `assert_alive`
asks of a server what a good client may expect of it, on a connection of its own.
"""

import http.client
import itertools
import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.clients.server import PROJECT, DevServer

ANSWER_SECONDS_MAX = 20.0
FIRST_TS = "AAAAAAAAAAA="
TEXT, BINARY, CLOSE, PING = 0x1, 0x2, 0x8, 0x9

CUT_OFF = 1006
"""What a connection without a close frame counts as (RFC 6455 section 7.1.5)."""

LOOKUPS = """
from typing import Annotated

from syncline import Id, QueryCtx, query, v


@query
async def task(ctx: QueryCtx, task: Annotated[Id, v.id("tasks")]) -> dict | None:
    return await ctx.db.get(task)


@query
async def anything(ctx: QueryCtx, key: str) -> dict | None:
    return await ctx.db.get(key)
"""

_rooms = itertools.count()


@contextmanager
def serving(folder: Path) -> Iterator[DevServer]:
    """A server of the client tests' functions, and of two that look up ids which callers name."""
    server = DevServer(PROJECT / "tests" / "clients" / "functions", folder)
    (server.functions / "lookups.py").write_text(LOOKUPS)
    with server:
        yield server


def a_room() -> str:
    """A name under which nothing is stored yet."""
    return f"room-{os.getpid()}-{next(_rooms)}"


def connect_message(**fields: Any) -> dict[str, Any]:
    """The first message of a new client."""
    return {
        "type": "Connect",
        "sessionId": str(uuid.uuid4()),
        "connectionCount": 0,
        "lastCloseReason": "InitialConnect",
        "clientTs": 0,
        **fields,
    }


def query_set(base: int, *modifications: dict[str, Any], new: int | None = None) -> dict[str, Any]:
    """A change of the query set that is based on version `base`."""
    return {
        "type": "ModifyQuerySet",
        "baseVersion": base,
        "newVersion": base + 1 if new is None else new,
        "modifications": list(modifications),
    }


def add(query_id: int, path: str, /, **arguments: Any) -> dict[str, Any]:
    """The modification that subscribes to a query."""
    return {"type": "Add", "queryId": query_id, "udfPath": path, "args": [arguments]}


def mutation(request_id: int, path: str, /, **arguments: Any) -> dict[str, Any]:
    """A call of a mutation."""
    return {"type": "Mutation", "requestId": request_id, "udfPath": path, "args": [arguments]}


def changed(message: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The message with other fields."""
    return {**message, **fields}


def frame(opcode: int, payload: bytes, *, first_bits: int = 0x80) -> bytes:
    """One masked frame (RFC 6455 section 5.2); `first_bits`: FIN and the reserved bits."""
    size = len(payload)
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 2**16:
        length = bytes((0x80 | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((0x80 | 127,)) + size.to_bytes(8, "big")
    # A mask of zeros leaves the payload readable.
    return bytes((first_bits | opcode,)) + length + bytes(4) + payload


@dataclass(frozen=True)
class Ending:
    """How a connection ended: what the server said at last, and its close frame."""

    messages: tuple[dict[str, Any], ...]
    code: int
    """That of the close frame, CUT_OFF if there was none."""
    reason: str

    @property
    def fatal_error(self) -> str:
        """The text of the FatalError, which must be the last message before a plain close."""
        assert (self.code, self.reason) == (1000, ""), self
        assert self.messages, self
        assert self.messages[-1]["type"] == "FatalError", self
        assert set(self.messages[-1]) == {"type", "error"}, self
        return self.messages[-1]["error"]


class Conversation:
    """One WebSocket connection, as npm's client of 1.48.0 opens it."""

    def __init__(self, server: DevServer, path: str = "/api/1.48.0/sync") -> None:
        self._socket = connect(
            f"ws://127.0.0.1:{server.port}{path}",
            compression=None,
            max_size=None,
            ping_interval=None,
            close_timeout=ANSWER_SECONDS_MAX,
            proxy=None,
        )
        self._version: dict[str, Any] = {"querySet": 0, "identity": 0, "ts": FIRST_TS}

    def __enter__(self) -> "Conversation":
        self._socket.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.__exit__(None, None, None)

    def say(self, *messages: object) -> "Conversation":
        """Send messages: bytes and text as they are, anything else as JSON. All are text frames."""
        with suppress(ConnectionClosed):
            # The server need not wait for all of them; `hear` tells.
            for message in messages:
                if isinstance(message, bytes | str):
                    self._socket.send(message, text=True)
                else:
                    self._socket.send(json.dumps(message))
        return self

    def say_frames(self, *frames: bytes) -> "Conversation":
        """Send bytes past the WebSocket library, so that they may break its protocol."""
        with suppress(OSError):
            # The server need not wait for all of it.
            self._socket.socket.sendall(b"".join(frames))
        return self

    def hear(self) -> dict[str, Any]:
        """The next message that is not a Ping. Transitions follow each other without a gap."""
        while True:
            message = json.loads(self._socket.recv(ANSWER_SECONDS_MAX))
            if message["type"] == "Transition":
                assert message["startVersion"] == self._version, message
                self._version = message["endVersion"]
            if message["type"] != "Ping":
                return message

    def hear_until(self, kind: str) -> dict[str, Any]:
        """The next message of this type; a FatalError or AuthError is never passed over."""
        while True:
            message = self.hear()
            if message["type"] == kind:
                return message
            assert message["type"] not in {"FatalError", "AuthError"}, message

    def modification(self, query_id: int) -> dict[str, Any]:
        """What the next Transition that names the query says of it."""
        while True:
            for modification in self.hear_until("Transition")["modifications"]:
                if modification["queryId"] == query_id:
                    return modification

    def ending(self) -> Ending:
        """Listen until the server closes."""
        heard: list[dict[str, Any]] = []
        try:
            while True:
                heard.append(self.hear())
        except ConnectionClosed as closed:
            frame = closed.rcvd
            code, reason = (CUT_OFF, "") if frame is None else (frame.code, frame.reason)
            return Ending(tuple(heard), code, reason)

    def assert_works(self, base: int = 0, request_id: int = 0) -> None:
        """A mutation is acknowledged on this connection, and a live query shows its effect.

        `base`: the version of the query set; `request_id`: one that was not used yet.
        """
        room, query_id = a_room(), 1_000_000 + request_id
        self.say(query_set(base, add(query_id, "counters:read", name=room)))
        assert self.modification(query_id)["value"] == 0
        self.say(mutation(request_id, "counters:increment", name=room, by=5))
        while (answer := self.hear_until("MutationResponse"))["requestId"] != request_id:
            pass
        assert answer["success"], answer
        assert self.modification(query_id)["value"] == 5


def assert_alive(server: DevServer) -> None:
    """A good client that comes now is served as if nothing had happened."""
    with Conversation(server) as good:
        good.say(connect_message()).assert_works()


class Bystander:
    """A good client that was there before, and notices nothing."""

    def __init__(self, server: DevServer, conversation: Conversation) -> None:
        self._server = server
        self._conversation = conversation.say(connect_message())
        self._turns = 0
        self._logged = 0

    def look(self) -> None:
        """Its connection still works, so does a new one, and the server has nothing to report."""
        self._conversation.assert_works(self._turns, self._turns)
        self._turns += 1
        assert_alive(self._server)
        log = self._server.log
        news, self._logged = log[self._logged :], len(log)
        assert "Traceback" not in news, news


@dataclass(frozen=True)
class Answer:
    """What came back for a request."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be JSON."""
        assert self.headers["Content-Type"].startswith("application/json"), self
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The code of a refusal, which must have the documented form."""
        refusal = self.json
        assert set(refusal) == {"code", "message"}, self
        assert isinstance(refusal["code"], str), self
        assert refusal["code"].isalnum(), self
        assert refusal["message"], self
        return refusal["code"]


def request_bytes(
    method: str, target: str | bytes, body: bytes = b"", *headers: tuple[str, str | bytes]
) -> bytes:
    """A request as it goes over the wire; a Content-Length is added unless headers frame it."""
    lines = [(name.encode(), _encoded(value)) for name, value in headers]
    names = {name.lower() for name, _ in lines}
    if not names & {b"content-length", b"transfer-encoding"}:
        lines.append((b"Content-Length", str(len(body)).encode()))
    if b"host" not in names:
        lines.append((b"Host", b"127.0.0.1"))
    start = method.encode() + b" " + _encoded(target) + b" HTTP/1.1\r\n"
    return start + b"".join(b"%b: %b\r\n" % line for line in lines) + b"\r\n" + body


def _encoded(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def exchange(server: DevServer, request: bytes, *, half_closes: bool = False) -> Answer | None:
    """Send bytes, read one answer; None if the server closes without one.

    `half_closes`: the client sends nothing more, and says so.
    """
    with socket.create_connection(("127.0.0.1", server.port), ANSWER_SECONDS_MAX) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            # Refused before all of it was sent, it is answered all the same.
            connection.sendall(request)
            if half_closes:
                connection.shutdown(socket.SHUT_WR)
        method = request.split(b" ", 1)[0].decode("latin-1")
        response = http.client.HTTPResponse(connection, method=method)
        try:
            response.begin()
            return Answer(response.status, response.headers, response.read())
        except (http.client.BadStatusLine, ConnectionResetError):
            return None


def ask(
    server: DevServer,
    method: str,
    target: str | bytes,
    body: bytes = b"",
    *headers: tuple[str, str | bytes],
) -> Answer:
    """Send a request that is complete by HTTP's rules; the server must answer it."""
    answer = exchange(server, request_bytes(method, target, body, *headers))
    assert answer is not None, (method, target, body[:200])
    return answer

"""A lean client of the official sync protocol for load: one object per connection, picows below.

It does what the official clients do for a mutation (wait for the response and then for a Transition
whose ts covers it) and hands each new query result to a callback, without optimistic updates.
"""

import asyncio
import struct
import uuid
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import orjson
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect


def timestamp(text: str) -> int:
    """A wire timestamp as an integer."""
    return struct.unpack("<Q", b64decode(text))[0]


class ProtocolClient(WSListener):
    """One connection. Use `connect`, then `subscribe` and `mutate`."""

    def __init__(self) -> None:
        self._transport: WSTransport | None = None
        self._query_set = 0
        self._next_query = 0
        self._next_request = 0
        self._callbacks: dict[int, Callable[[object], None]] = {}
        self._pending: dict[int, asyncio.Future[object]] = {}
        self._answered: list[tuple[int, int, object]] = []
        self.transitions = 0
        self.closed = asyncio.Event()

    @classmethod
    async def connect(cls, url: str) -> "ProtocolClient":
        """Open `url` (ws://host:port/api/1.48.0/sync) and say Connect."""
        client = cls()
        await ws_connect(lambda: client, url)
        client._send(
            {
                "type": "Connect",
                "sessionId": str(uuid.uuid4()),
                "connectionCount": 0,
                "lastCloseReason": "InitialConnect",
                "clientTs": 0,
            }
        )
        return client

    def _send(self, message: dict[str, object]) -> None:
        assert self._transport is not None
        self._transport.send(WSMsgType.TEXT, orjson.dumps(message))

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows."""
        self._transport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Called by picows."""
        self.closed.set()
        for future in self._pending.values():
            if not future.done():
                future.set_exception(ConnectionError("the server closed the connection"))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows."""
        if frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
            return
        if frame.msg_type != WSMsgType.TEXT:
            return
        message = orjson.loads(frame.get_payload_as_bytes())
        match message["type"]:
            case "Transition":
                self._transition(message)
            case "MutationResponse":
                self._response(message)
            case "FatalError":
                raise RuntimeError(message["error"])
            case _:
                pass

    def _transition(self, message: dict[str, Any]) -> None:
        self.transitions += 1
        ts = timestamp(message["endVersion"]["ts"])
        for change in message["modifications"]:
            if change["type"] == "QueryUpdated":
                self._callbacks[change["queryId"]](change["value"])
        waiting = []
        for request, needed, value in self._answered:
            if needed <= ts:
                self._pending.pop(request).set_result(value)
            else:
                waiting.append((request, needed, value))
        self._answered = waiting

    def _response(self, message: dict[str, Any]) -> None:
        request = int(message["requestId"])
        if not message["success"]:
            self._pending.pop(request).set_exception(RuntimeError(str(message["result"])))
            return
        self._answered.append((request, timestamp(str(message["ts"])), message["result"]))

    def subscribe(
        self, path: str, args: dict[str, object], on_value: Callable[[object], None]
    ) -> None:
        """Add a query; `on_value` gets every new result."""
        query = self._next_query
        self._next_query += 1
        self._callbacks[query] = on_value
        self._send(
            {
                "type": "ModifyQuerySet",
                "baseVersion": self._query_set,
                "newVersion": self._query_set + 1,
                "modifications": [
                    {"type": "Add", "queryId": query, "udfPath": path, "args": [args]}
                ],
            }
        )
        self._query_set += 1

    async def mutate(self, path: str, args: dict[str, object]) -> object:
        """Run a mutation; returns once its response and the Transition that covers it are here."""
        request = self._next_request
        self._next_request += 1
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._pending[request] = future
        self._send({"type": "Mutation", "requestId": request, "udfPath": path, "args": [args]})
        return await future

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.disconnect()

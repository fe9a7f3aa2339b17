"""`python -m benchmarks.bare_server PORT`: sends whatever it gets to every connection, the floor.

Nothing of ours is in it: picows on uvloop, one frame header a connection.
"""

import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

connections: set[WSTransport] = set()


class Broadcast(WSListener):
    """One connection."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows."""
        connections.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Called by picows."""
        connections.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows."""
        if frame.msg_type == WSMsgType.TEXT:
            payload = frame.get_payload_as_bytes()
            for each in connections:
                each.send(WSMsgType.TEXT, payload)


async def main() -> None:
    """Serve until killed."""
    server = await ws_create_server(lambda _: Broadcast(), "127.0.0.1", int(sys.argv[1]))
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())

"""Actions through both PyPI clients, as a program: see tests/clients/program.py."""

import sys

from convex import ConvexClient
from convex.http_client import ConvexHttpClient
from live_client import emit, emit_error


def calls(client: ConvexClient, http: ConvexHttpClient, room: str) -> None:
    emit("live", value=client.action("actions:count_up", {"name": room, "times": 3}))
    emit("http", value=http.action("actions:count_up", {"name": room, "times": 2}))
    emit("echo", value=client.action("actions:echo", {"value": [1.5, "two", None]}))


def errors(client: ConvexClient, http: ConvexHttpClient, room: str) -> None:
    for name, caller in (("live", client), ("http", http)):
        emit_error(
            f"{name} data", lambda c=caller: c.action("actions:refuse", {"data": {"code": 7}})
        )
        emit_error(f"{name} crash", lambda c=caller: c.action("actions:crash", {}))
        emit_error(f"{name} unknown", lambda c=caller: c.action("actions:nothing", {}))
    emit("after", value=client.action("actions:count_up", {"name": room, "times": 1}))


SCENARIOS = (calls, errors)

if __name__ == "__main__":
    _, name, url, own_room, *_ = sys.argv
    [scenario] = [found for found in SCENARIOS if found.__name__ == name]
    scenario(ConvexClient(url), ConvexHttpClient(url), own_room)

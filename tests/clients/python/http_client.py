"""The PyPI `ConvexHttpClient`, as a program: see tests/clients/program.py."""

import sys

from convex.http_client import ConvexHttpClient
from live_client import calls, emit_error, errors, values

__all__ = ["calls", "errors", "values"]


def bad_key(client: ConvexHttpClient, room: str) -> None:
    client.set_admin_auth("nobody|00")
    emit_error("bad key", lambda: client.query("tasks:get", {"room": room}))


if __name__ == "__main__":
    _, name, url, own_room, *_ = sys.argv
    globals()[name](ConvexHttpClient(url), own_room)

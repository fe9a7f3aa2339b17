"""The PyPI clients signed in, as a program: see tests/clients/program.py.

The second word of the scenario is the port of the identity provider (identity_provider.py).
"""

import sys
import urllib.request

from convex import ConvexClient
from convex.http_client import ConvexHttpClient
from live_client import emit, emit_error


def fetched(port: str, path: str) -> str:
    """What the identity provider answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return answer.read().decode()


def seen_live(client: ConvexClient, wanted: object) -> None:
    """Wait until the live client's functions see this identity."""
    for seen in client.subscribe("notes:me"):
        if seen == wanted:
            return


def signs_in(url: str, room: str, port: str, *, waits: bool = False) -> None:
    """Both clients, then the live one signed out again."""
    for name, client in (("live", ConvexClient(url)), ("http", ConvexHttpClient(url))):
        anonymous = client.query("notes:me")
        client.set_auth(fetched(port, f"/token?subject={room}"))
        if waits and isinstance(client, ConvexClient):
            seen_live(client, room)
        client.mutation("notes:write", {"text": f"by {name}"})
        notes = client.query("notes:visible")
        me = client.query("notes:me")
        client.clear_auth()
        if waits and isinstance(client, ConvexClient):
            seen_live(client, None)
        emit(
            name,
            anonymous=anonymous,
            me=me,
            notes=sorted(note["text"] for note in notes),
            after=client.query("notes:me"),
        )
    forged = ConvexHttpClient(url)
    forged.set_auth(fetched(port, "/stranger"))
    emit_error("forged", lambda: forged.query("notes:me"))


def signs_in_and_waits(url: str, room: str, port: str) -> None:
    """As a program does where an order of messages is not promised (docs/auth.md)."""
    signs_in(url, room, port, waits=True)


if __name__ == "__main__":
    _, scenario, url, own_room, *_ = sys.argv
    name, port = scenario.split(":")
    globals()[name](url, own_room, port)

"""The PyPI client following queries that read the environment: see tests/clients/program.py."""

import sys

from convex import ConvexClient
from live_client import emit


def follows(client: ConvexClient, room: str, name: str) -> None:
    """A query that reads a variable and one that does not, until the variable says "end"."""
    reader = client.subscribe("environment:variable", {"name": name})
    other = client.subscribe("environment:unrelated", {"room": room})
    others, last = set(), object()
    for results in client.watch_all():
        if other.id in results:
            others.add(results[other.id]["value"])
        if reader.id not in results or other.id not in results:
            continue
        value, _ = results[reader.id]["value"]
        if value != last:
            emit("value", value=value)
            last = value
        if value == "end":
            break
    emit("seen", others=len(others))


if __name__ == "__main__":
    _, called, url, own_room, *_ = sys.argv
    _, _, variable = called.partition(":")
    follows(ConvexClient(url), own_room, variable)

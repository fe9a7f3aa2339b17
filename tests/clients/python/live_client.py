"""The PyPI `ConvexClient`, as a program: see tests/clients/program.py."""

import json
import sys
from collections.abc import Callable
from typing import Any

from convex import ConvexClient, ConvexError, ConvexInt64

BYTES = bytes([0, 1, 254, 255])


def emit(event: str, **fields: Any) -> None:
    """Print one event for the test that started this program."""
    print(json.dumps({"event": event, **fields}), flush=True)


def emit_error(label: str, call: Callable[[], Any]) -> None:
    """Make a call that must fail; emits its error."""
    try:
        emit("error", label=label, unexpected=repr(call()))
    except ConvexError as error:
        emit("error", label=label, kind="ConvexError", message=str(error), data=error.data)
    except Exception as error:
        emit("error", label=label, kind=type(error).__name__, message=str(error), data=None)


def calls(client: ConvexClient, room: str) -> None:
    before = client.query("tasks:get", {"room": room})
    task = client.mutation("tasks:add", {"room": room, "text": "one"})
    emit("calls", before=before, id=task, after=client.query("tasks:get", {"room": room}))


def values(client: ConvexClient, room: str) -> None:
    sent = {
        "nothing": None,
        "truth": True,
        "whole": 3,
        "fraction": 0.1,
        "infinite": float("-inf"),
        "integer": ConvexInt64(2**63 - 1),
        "text": 'é"\\\n😀',
        "bytes": BYTES,
        "list": [1.5, "two", [None, {}]],
        "object": {"a name with spaces": [ConvexInt64(-1)]},
    }
    client.mutation("results:keep", {"room": room, "value": sent})
    [kept] = client.query("results:kept", {"room": room})
    wrong = [name for name in sent if repr(kept[name]) != repr(_as_received(sent[name]))]
    emit("values", wrong=wrong, kept=repr(kept))


def _as_received(value: Any) -> Any:
    return float(value) if type(value) is int else value


def subscribes(client: ConvexClient, room: str) -> None:
    """Prints every result until the counter shows 5; the test changes it from outside."""
    seen = []
    for value in client.subscribe("counters:read", {"name": room}):
        seen.append(value)
        emit("value", value=value)
        if value == 5:
            break
    client.mutation("counters:increment", {"name": room, "by": 10})
    emit("done", seen=seen, after=client.query("counters:read", {"name": room}))


def watches_all(client: ConvexClient, room: str) -> None:
    """Two counters whose sum never changes, seen as one set."""
    source, target = f"{room}-source", f"{room}-target"
    client.mutation("counters:increment", {"name": source, "by": 50})
    client.mutation("counters:increment", {"name": target, "by": 0})
    subscriptions = [
        client.subscribe("counters:read", {"name": source}),
        client.subscribe("counters:read", {"name": target}),
    ]
    identities = [subscription.id for subscription in subscriptions]
    pairs = []
    emit("watching")
    for results in client.watch_all():
        pair = [results[identity]["value"] for identity in identities if identity in results]
        if len(pair) < len(identities):
            continue
        pairs.append(pair)
        if pair[1] == 20:
            break
    emit("pairs", pairs=pairs)


def errors(client: ConvexClient, room: str) -> None:
    query, mutation = client.query, client.mutation
    emit_error("data", lambda: mutation("mistakes:refuse_change", {"data": {"code": 7}}))
    emit_error("text", lambda: mutation("mistakes:refuse_change", {"data": "closed"}))
    emit_error("query data", lambda: query("mistakes:refuse", {"data": {"code": 8}}))
    emit_error("crash", lambda: mutation("mistakes:crash_change"))
    emit_error("unknown function", lambda: query("tasks:nothing"))
    emit_error("wrong kind", lambda: mutation("tasks:get", {"room": room}))
    emit_error("wrong argument", lambda: query("mistakes:double", {"number": "2"}))
    emit_error("rolled back", lambda: mutation("tasks:add_and_fail", {"room": room, "text": "x"}))
    emit("after", tasks=query("tasks:get", {"room": room}))


def large(client: ConvexClient, room: str) -> None:
    """A result above the size from which npm clients get chunks."""
    rows = client.query("results:large", {"name": room, "rows": 700})
    emit("large", rows=len(rows) - 1, size=sum(len(row.encode()) for row in rows))


def many_mutations(client: ConvexClient, room: str, count: str) -> None:
    """Counts up while the server is killed; every call must come back."""
    for number in range(1, int(count) + 1):
        client.mutation("counters:increment", {"name": room})
        if number == int(count) // 5:
            emit("under way")
    emit("done", value=client.query("counters:read", {"name": room}))


SCENARIOS = (calls, values, subscribes, watches_all, errors, large, many_mutations)

if __name__ == "__main__":
    _, called, url, own_room, *_ = sys.argv
    name, *arguments = called.split(":")
    [scenario] = [found for found in SCENARIOS if found.__name__ == name]
    scenario(ConvexClient(url), own_room, *arguments)

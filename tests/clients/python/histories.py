"""A PyPI client that plays a planned sequence of calls and writes down what happened when.

tests/integration/test_serializability.py makes the plan and judges the history.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from convex import ConvexClient, ConvexError
from convex.http_client import ConvexHttpClient

BATCH = 200


def emit(event: str, **fields: Any) -> None:
    """Print one event for the test that started this program."""
    print(json.dumps({"event": event, **fields}), flush=True)


def play(client: ConvexClient | ConvexHttpClient, call: dict[str, Any]) -> dict[str, Any]:
    """Make one call; its entry in the history."""
    entry: dict[str, Any] = {"id": call["id"], "invoked": str(time.monotonic_ns())}
    try:
        entry["value"] = getattr(client, call["kind"])(call["path"], call["args"])
    except ConvexError as error:
        entry["error"] = str(error.data)
    except Exception as error:
        entry["error"] = str(error)
    return entry | {"completed": str(time.monotonic_ns())}


def main(scenario: str, url: str, plan: str) -> None:
    """Play the plan with a client of the kind that `scenario` names."""
    client = {"play_live": ConvexClient, "play_http": ConvexHttpClient}[scenario](url)
    calls = json.loads(Path(plan).read_text(encoding="utf-8"))["calls"]
    emit("begun", clock=str(time.monotonic_ns()))
    history = []
    for call in calls:
        history.append(play(client, call))
        if len(history) == BATCH:
            emit("played", history=history)
            history = []
    emit("played", history=history)
    emit("done")


main(*sys.argv[1:4])

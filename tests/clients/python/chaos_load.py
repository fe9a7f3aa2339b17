"""One PyPI `ConvexClient` that appends to a journal while its server is being killed.

It numbers its appends; tests/integration/test_chaos.py reads what is printed. One client a process,
because this one holds the GIL while it waits.
"""

import sys
import time

from convex import ConvexClient
from live_client import emit


def load(client: ConvexClient, name: str) -> None:
    """Append until the answer says that the load is over, then wait to be shown the end."""
    glances = client.subscribe("journal:glance")
    called, phase = 0, "load"
    while phase == "load":
        called += 1
        begun = time.time() * 1000
        try:
            phase = client.mutation("journal:append", {"client": name, "number": called})
        except Exception as error:
            emit("unknown", client=name, number=called, error=str(error))
            continue
        emit("acknowledged", client=name, number=called, called=begun)
    emit("finished", client=name, called=called)
    for shown in glances:
        if shown["phase"] == "closed":
            emit("converged", client=name, shown=shown, errors=[])
            break


if __name__ == "__main__":
    _, _, url, own_name, *_ = sys.argv
    load(ConvexClient(url), own_name)

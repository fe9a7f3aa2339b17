"""Adds a task and follows the list, with the official Python client (PyPI: convex)."""

import os
import sys

from convex import ConvexClient


def show(tasks: list[dict]) -> None:
    for task in tasks:
        print("✔" if task["isCompleted"] else "·", task["text"])
    print(f"-- {len(tasks)} tasks", flush=True)


def main(texts: list[str]) -> None:
    client = ConvexClient(os.environ.get("CONVEX_URL", "http://127.0.0.1:3210"))
    for text in texts:
        client.mutation("tasks:add", {"text": text})
    for tasks in client.subscribe("tasks:get"):
        show(tasks)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(0)

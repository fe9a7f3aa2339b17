"""Add notes, or ask and go on showing the nearest ones: see README.md."""

import os
import sys

from convex import ConvexClient

NOTES = (
    "Buy a new suitcase before the flight to Lisbon",
    "The dentist moved my appointment to Tuesday",
    "Grandmother's curry: onions first, then patience",
    "The server's database ran out of connections again",
    "The plumber comes because the roof leaks into the sofa",
    "Tickets for the violin concert are in the drawer",
    "The puppy needs to see the vet in spring",
    "Ask the boss for a later deadline",
)


def main() -> None:
    """`ask.py --notes` adds some notes, `ask.py QUESTION` shows the nearest, live."""
    client = ConvexClient(os.environ.get("SYNCLINE_URL", "http://127.0.0.1:3210"))
    match sys.argv[1:]:
        case ["--notes"]:
            for text in NOTES:
                client.mutation("notes:add", {"notebook": "mine", "text": text})
        case ["--add", text]:
            client.mutation("notes:add", {"notebook": "mine", "text": text})
        case [question]:
            arguments = {"notebook": "mine", "question": question, "limit": 3}
            for found in client.subscribe("notes:search", arguments):
                for note in found:
                    print(f"{note['score']:6.3f}  {note['text']}", flush=True)
                print(flush=True)
        case _:
            sys.exit("usage: ask.py --notes | --add TEXT | QUESTION")


if __name__ == "__main__":
    main()

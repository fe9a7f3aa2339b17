"""The PyPI client sends, follows and takes back e-mails: see tests/clients/program.py."""

import sys

from convex import ConvexClient
from live_client import emit

LATER_SECONDS = 600.0
ENDS = {"sent", "refused", "failed", "canceled"}


def plays(client: ConvexClient) -> None:
    """One e-mail that goes out at once, and one that is cancelled in time."""
    letter = {"to": "ada@example.com", "subject": "Tea?", "body": "At four."}
    states: dict[str, list[str]] = {}
    sent = cancelled = None
    for emails in client.subscribe("emails:newest"):
        if sent is None:
            sent = client.mutation("emails:send", {**letter, "seconds": 0.0})
            cancelled = client.mutation("emails:send", {**letter, "seconds": LATER_SECONDS})
            client.mutation("emails:cancel", {"email": cancelled})
        for email in emails:
            seen = states.setdefault(email["_id"], [])
            if email["state"] not in seen:
                seen.append(email["state"])
        if all(ENDS & {*states.get(str(email), ())} for email in (sent, cancelled)):
            break
    emit("seen", sent=states[sent], cancelled=states[str(cancelled)])


if __name__ == "__main__":
    plays(ConvexClient(sys.argv[2]))

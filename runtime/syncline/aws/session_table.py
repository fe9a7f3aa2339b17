"""The item of the sessions table: one per connection, and parts of states too large for it."""

from pynamodb.attributes import BinaryAttribute, BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.models import Model


class SessionItem(Model):
    """A connection's session, or a part of its state: then it has `state` and `expires` only."""

    connection = UnicodeAttribute(hash_key=True, attr_name="c")
    """Of a part: connection id, "#", digest, "#", number. No connection id has a "#"."""
    version = NumberAttribute(null=True)
    sequence = NumberAttribute(null=True)
    sending = BooleanAttribute(null=True)
    interest = NumberAttribute(null=True)
    state = BinaryAttribute(legacy_encoding=False, null=True)
    """Compressed; absent if it is in parts."""
    digest = UnicodeAttribute(null=True)
    """Names the parts: equal states have the same ones."""
    parts = NumberAttribute(null=True)
    """How many; 0: the state is in the item."""
    writer = UnicodeAttribute(null=True)
    """A random name of the call that stored this version."""
    due = NumberAttribute(null=True)
    """When a tick is due, ms since the epoch; absent once the session is closed and all is sent."""
    silence = NumberAttribute(null=True)
    """Milliseconds that the client bears without a frame; 0 once the session is closed."""
    expires = NumberAttribute()
    """Epoch seconds; set when the connection is opened, and never again."""


def part_name(connection: str, digest: str, number: int) -> str:
    """The key of a part; numbers begin with 0."""
    return f"{connection}#{digest}#{number}"

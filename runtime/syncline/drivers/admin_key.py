"""Admin keys: `name|hex(hmac-sha256(secret, name))` (convex-protocol.md 7.1).

Whoever has the deployment's secret can make the key; the server keeps no list of keys. The key has
no ":" because that character separates an impersonated identity in headers.
"""

import hashlib
import hmac
import re
from typing import Final

_TYPE_PREFIX: Final = re.compile(r"^(prod|dev|preview|project|local|custom):")
"""Deployment types that the official tools put in front of the name."""


def admin_key(name: str, secret: bytes) -> str:
    """The admin key of the deployment `name`, whose `secret` is at least 16 bytes of entropy."""
    return f"{name}|{hmac.new(secret, name.encode(), hashlib.sha256).hexdigest()}"


def without_type_prefix(key: str) -> str:
    """The key as it was made: "prod:name|..." and the like lose their deployment type."""
    return _TYPE_PREFIX.sub("", key, count=1)


def is_admin_key(key: str, name: str, secret: bytes) -> bool:
    """Whether `key` is the admin key of this deployment; takes equally long for every wrong key."""
    given = without_type_prefix(key).encode()
    return hmac.compare_digest(given, admin_key(name, secret).encode())
